// Whether verdicts hold on a real device: the study's baseline against itself, which must not be kept, and against
// itself with one side's times scaled, a gain that is known and must be. The alternation, its settings and the
// judgement are those of the loop (docs/search.md).
//
// Usage: verdict_bench STUDY [--trials N] [--gain SHARE] [--gain-trials N] [--seconds S] [--to FILE.tsv]

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "cli/backends.h"
#include "config/study.h"
#include "config/template.h"
#include "core/error.h"
#include "loop/alternation.h"
#include "loop/experiments.h"

namespace attune {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
    std::string study;
    int trials = 1000;
    int gain_trials = 300;
    double gain = 0.01;
    double seconds = 600.0;
    std::string to;
};

CliContext surroundings(const std::filesystem::path& scratch) {
    CliContext context{std::cout, std::cerr};
    context.share_dir = ".";
    context.cache_dir = scratch;
    if (const char* home = std::getenv("HOME")) context.home = home;
    return context;
}

/// A device of its own with the study's baseline in both slots.
struct Pair {
    std::unique_ptr<Device> device;
    Variant variant;
};

Pair open_pair(const Study& study, const KernelTemplate& kernel_template, const CliContext& context) {
    std::unique_ptr<Device> device = make_device(kernel_template.device(), 0, context).device;
    device->open_suite(study.suite);
    const TargetFacts target = device->target();
    const Space space = kernel_template.space(target);
    const Experiments experiments(study, kernel_template, space, study.name);
    const Candidate candidate = experiments.baseline(target);
    const Result<Artifact> artifact = make_compiler(target.kind, context)->compile(experiments.job(candidate, target));
    if (!artifact.ok()) throw EnvironmentError(artifact.failure().diagnostics);
    const auto plans = experiments.plans(candidate, target);
    if (!plans.ok()) throw EnvironmentError(plans.failure().diagnostics);
    return {std::move(device), {artifact.value(), plans.value()}};
}

struct Tally {
    int trials = 0;
    int kept = 0;
    double pairs = 0.0;
    double elapsed_s = 0.0;
};

/// Trials with the challenger's times multiplied by `factor`, until `count` or out of time.
Tally run_trials(Pair& pair, const Study& study, int count, double factor, double seconds, std::ostream& log) {
    bool changed = false;
    const auto scaled = [&](std::size_t index) {
        Result<PairedSamples> taken = pair.device->pair(index, 1);
        if (taken.ok()) {
            for (float& time_ms : changed ? taken.value().b_ms : taken.value().a_ms)
                time_ms = static_cast<float>(time_ms * factor);
        }
        return taken;
    };
    const auto load = [&](Placing placing) {
        changed = placing.changed;
        return load_sides(*pair.device, pair.variant, pair.variant, placing);
    };
    Tally tally;
    const Clock::time_point started = Clock::now();
    while (tally.trials < count && tally.elapsed_s < seconds) {
        const auto seed = static_cast<std::uint64_t>(tally.trials);
        const Result<Alternation> ended = alternate(study.suite, study.measure, scaled, load, seed);
        if (!ended.ok()) throw EnvironmentError(ended.failure().diagnostics);
        const PairedVerdict& verdict = ended.value().verdict;
        ++tally.trials;
        tally.kept += verdict.ratio_high < 1.0 ? 1 : 0;
        tally.pairs += ended.value().pairs;
        tally.elapsed_s = std::chrono::duration<double>(Clock::now() - started).count();
        log << fmt::format("{}\t{:.6f}\t{:.6f}\t{:.6f}\t{}\n", factor, verdict.ratio, verdict.ratio_low,
                           verdict.ratio_high, ended.value().pairs);
    }
    return tally;
}

void run(const Options& options) {
    const std::filesystem::path scratch = std::filesystem::temp_directory_path() / "attune-verdict-bench";
    const CliContext context = surroundings(scratch);
    const Study study = load_study(options.study, context.share_dir);
    const KernelTemplate kernel_template = load_template(study.template_folder).restricted(study.space);
    Pair pair = open_pair(study, kernel_template, context);
    const EnvironmentFacts facts = pair.device->environment();
    std::ofstream log(options.to.empty() ? "/dev/null" : options.to);
    log << "factor\tratio\tratio_low\tratio_high\tpairs\n";
    fmt::print("{} on {}, driver {}, {} MHz, {}\n", study.name, facts.device_name, facts.driver_version,
               facts.sm_clock_mhz, facts.compiler);
    fmt::print("{:>12s} {:>8s} {:>8s} {:>12s} {:>10s}\n", "true ratio", "trials", "kept", "pairs, mean", "seconds");
    const auto report = [&](double factor, int count, double seconds) {
        const Tally tally = run_trials(pair, study, count, factor, seconds, log);
        fmt::print("{:12.4f} {:8d} {:8d} {:12.1f} {:10.1f}\n", factor, tally.trials, tally.kept,
                   tally.pairs / std::max(1, tally.trials), tally.elapsed_s);
        std::cout.flush();
    };
    report(1.0 - options.gain, options.gain_trials, 0.3 * options.seconds);
    report(1.0, options.trials, 0.7 * options.seconds);
    std::filesystem::remove_all(scratch);
}

}  // namespace
}  // namespace attune

int main(int argc, char** argv) {
    attune::Options options;
    CLI::App app("verdicts on a real device");
    app.add_option("study", options.study, "study file")->required();
    app.add_option("--trials", options.trials, "of the variant against itself")->capture_default_str();
    app.add_option("--gain", options.gain, "share of time the scaled side saves")->capture_default_str();
    app.add_option("--gain-trials", options.gain_trials, "with that gain")->capture_default_str();
    app.add_option("--seconds", options.seconds, "end by then")->capture_default_str();
    app.add_option("--to", options.to, "every trial, as TSV");
    CLI11_PARSE(app, argc, argv);
    try {
        attune::run(options);
    } catch (const std::exception& error) {
        std::cerr << "verdict_bench: " << error.what() << '\n';
        return 1;
    }
}
