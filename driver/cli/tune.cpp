// `attune tune`: the sweep.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "cli/progress.h"
#include "cli/sweep.h"
#include "cli/usage.h"
#include "core/error.h"

namespace attune {
namespace {

constexpr int kStoppedBySignal = 130;

struct TuneOptions {
    SweepOptions sweep;
    std::string shard;
    std::int64_t max_iters = 0;
    double hours = 0.0;
    bool forever = false;
    bool cold = false;
};

std::string_view words(LoopEnd end) {
    switch (end) {
        case LoopEnd::limit_reached:
            return "limit reached";
        case LoopEnd::exhausted:
            return "every legal candidate has been tried";
        case LoopEnd::stopped:
            return "stopped; run the same command again to go on";
    }
    return "";
}

// "2/8": the second of eight parts, counted from 1 as people and job arrays do.
void parse_shard(const std::string& text, SweepOptions& sweep) {
    const char* end = text.data() + text.size();
    const auto index = std::from_chars(text.data(), end, sweep.shard_index);
    const bool slash = index.ec == std::errc() && index.ptr != end && *index.ptr == '/';
    const auto count = slash ? std::from_chars(index.ptr + 1, end, sweep.shard_count) : index;
    const bool whole = slash && count.ec == std::errc() && count.ptr == end;
    if (!whole || sweep.shard_index < 1 || sweep.shard_index > sweep.shard_count) {
        throw InputError(fmt::format("--shard {}: write i/n with 1 <= i <= n, as in 2/8", text));
    }
    --sweep.shard_index;
}

void run(TuneOptions options, const CliContext& context) {
    if (options.max_iters > 0) options.sweep.limits.max_iters = options.max_iters;
    if (options.hours > 0) options.sweep.limits.hours = options.hours;
    if (!options.shard.empty()) parse_shard(options.shard, options.sweep);
    options.sweep.warm_from_own = !options.cold;
    options.sweep.baseline_of_each_edition = true;
    LoopEnd end = LoopEnd::exhausted;
    {
        ProgressPrinter progress(context.err, context.err_is_terminal);
        end = run_sweep(
            options.sweep, context,
            [](const std::string& name, const SweptSpace& swept) {
                return make_strategy(name, swept.space, swept.study.seed);
            },
            progress);
    }
    context.err << words(end) << '\n';
    if (end == LoopEnd::stopped) throw CommandExit{kStoppedBySignal};
    const std::string db = db_option(options.sweep.database, context);
    context.err << fmt::format("`attune best{0}` names the winner, `attune report{0} --to FILE.html` says why\n", db);
}

}  // namespace

void add_tune(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<TuneOptions>();
    options->sweep.database = context.default_db;
    CLI::App* command =
        app.add_subcommand("tune", "run a study: compile, check, time, keep or discard, record; resumes");
    command->add_option("study", options->sweep.study_path,
                        "study file, or the name of one in configs/studies (default: what suits the device)");
    command->add_option("--device", options->sweep.device, "cuda:all, cuda:0,1 and the like for several GPUs")
        ->type_name("{auto,cpu,cuda,cuda:all,…}")
        ->capture_default_str();
    command->add_option("--max-iters", options->max_iters, "stop after this many more iterations")
        ->check(at_least<std::int64_t>(1));
    command->add_option("--hours", options->hours, "stop after this many hours")->check(some_time());
    command->add_flag("--forever", options->forever, "no limit (also the default): until the space is exhausted")
        ->excludes("--max-iters")
        ->excludes("--hours");
    command->add_option("--strategy", options->sweep.strategy, "instead of the study's; see docs/search.md")
        ->type_name(strategy_type_name());
    command->add_option("--seed", options->sweep.seed, "instead of the study's")->check(at_least<std::uint64_t>(0));
    command->add_option("--shard", options->shard, "i/n: only the i-th of n parts of the space, 1 <= i <= n");
    command->add_flag("--remeasure", options->sweep.remeasure, "measure again what earlier runs have recorded");
    command
        ->add_option(
            "--warm-from", options->sweep.warm_from,
            "database of earlier studies of the template, on any device and suite, to start from; again for more")
        ->allow_extra_args(false);
    command->add_flag("--cold", options->cold, "take nothing from other studies in the database");
    command->add_option("--db", options->sweep.database, "the database")->capture_default_str();
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
