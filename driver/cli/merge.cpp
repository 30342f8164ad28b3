// `attune merge`: joins the databases of shards.

#include "store/merge.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/cli.h"

namespace attune {
namespace {

struct MergeOptions {
    std::vector<std::filesystem::path> inputs;
    std::filesystem::path into;
};

void run(const MergeOptions& options, const CliContext& context) {
    const std::vector<MergeSummary> summaries = merge_databases(options.inputs, options.into);
    for (std::size_t i = 0; i < summaries.size(); ++i) {
        context.out << fmt::format("{}: {} iteration{} added, {} already there\n", options.inputs[i].string(),
                                   summaries[i].added, summaries[i].added == 1 ? "" : "s", summaries[i].present);
    }
    for (const std::string& remark : merge_remarks(options.into))
        context.err << "attune: " << remark << '\n';
}

}  // namespace

void add_merge(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<MergeOptions>();
    CLI::App* command = app.add_subcommand("merge", "joins the databases of shards; again changes nothing");
    command->add_option("databases", options->inputs, "databases to read")->required();
    command->add_option("--into", options->into, "database to add them to; made when missing")->required();
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
