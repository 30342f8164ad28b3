// `attune cases`: what a suite holds, with hashes that prove its masks equal those of the harness.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <nlohmann/json.hpp>

#include "cli/cli.h"
#include "config/suite.h"
#include "core/sha256.h"

namespace attune {
namespace {

struct CasesOptions {
    std::string suite;
    bool as_json = false;
};

/// Over the little-endian int32 bytes, which is how this machine stores them.
std::string hash_of(const std::vector<std::int32_t>& values) {
    static_assert(std::endian::native == std::endian::little);
    return sha256_hex(std::as_bytes(std::span(values)));
}

nlohmann::ordered_json case_json(const CaseSpec& spec, const BlockMask& mask) {
    return {{"case_id", spec.case_id},
            {"family", to_string(spec.family)},
            {"batch_size", spec.batch_size},
            {"num_heads", spec.num_heads},
            {"t_max", spec.t_max},
            {"window_blocks", spec.window_blocks},
            {"global_blocks", spec.global_blocks},
            {"retrieval_blocks", spec.retrieval_blocks},
            {"retrieval_local_bias", spec.retrieval_local_bias},
            {"seq_len_min_ratio", spec.seq_len_min_ratio},
            {"seed", spec.seed},
            {"profile", spec.profile},
            {"seq_lens", mask.seq_lens},
            {"nnz", mask.nnz},
            {"max_nnz", mask.max_nnz},
            {"density", mask.density},
            {"seq_lens_sha256", hash_of(mask.seq_lens)},
            {"row_ptr_sha256", hash_of(mask.row_ptr)},
            {"col_idx_sha256", hash_of(mask.col_idx)}};
}

void print_text(const CaseSpec& spec, const BlockMask& mask, std::ostream& out) {
    out << fmt::format("{}  {}  batch {}  heads {}  t_max {}  seed {}\n", spec.case_id, to_string(spec.family),
                       spec.batch_size, spec.num_heads, spec.t_max, spec.seed)
        << fmt::format("  seq_lens  {}\n", fmt::join(mask.seq_lens, " "))
        << fmt::format("  nnz       {}  max_nnz {}  density {:.4f}\n", mask.nnz, mask.max_nnz, mask.density)
        << fmt::format("  sha256    seq_lens  {}\n", hash_of(mask.seq_lens))
        << fmt::format("            row_ptr   {}\n", hash_of(mask.row_ptr))
        << fmt::format("            col_idx   {}\n", hash_of(mask.col_idx));
}

void run(const CasesOptions& options, const CliContext& context) {
    const Suite suite = find_suite(options.suite, context.share_dir);
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const CaseSpec& spec : suite.cases) {
        const BlockMask mask = generate_mask(spec);
        if (options.as_json) {
            list.push_back(case_json(spec, mask));
        } else {
            print_text(spec, mask, context.out);
        }
    }
    if (options.as_json) context.out << list.dump(2) << '\n';
}

}  // namespace

void add_cases(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<CasesOptions>();
    CLI::App* command = app.add_subcommand("cases", "the cases of a suite: lengths, listed blocks, hashes");
    command->add_option("suite", options->suite, "suite file, or a built-in one: smoke, local-dev, quick, full, broad")
        ->required();
    command->add_flag("--json", options->as_json, "as JSON");
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
