// `attune replay`: runs a strategy on recorded results instead of a device.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/cli.h"
#include "cli/row_printer.h"
#include "cli/sweep.h"
#include "cli/usage.h"
#include "cli/warm_start.h"
#include "config/json_reader.h"
#include "config/kernel_tuner_cache.h"
#include "core/error.h"
#include "loop/experiments.h"
#include "search/recorded_space.h"
#include "store/reader.h"

namespace attune {
namespace {

struct ReplayOptions {
    std::filesystem::path db;
    std::string source;
    std::string strategy;
    int runs = 100;
    std::uint64_t seed = 0;
    std::size_t max_evaluations = 0;
    bool until_near = false;
    bool by_seconds = false;
    std::vector<std::filesystem::path> warm_from;
    std::string format;
};

struct Quartiles {
    double low = 0.0;
    double median = 0.0;
    double high = 0.0;
};

Quartiles quartiles(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const auto at = [&](double share) {
        return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
    };
    return {at(0.25), at(0.5), at(0.75)};
}

/// Times of different devices or of different editions of a kernel are no one space: the largest group is replayed.
RecordedSpace recorded_study(const Reader& reader, const std::string& name, const CliContext& context) {
    std::map<std::pair<std::string, std::string>, std::vector<RecordedRow>> groups;
    std::size_t total = 0;
    reader.each_iteration(name, [&](const IterationRow& row) {
        if (row.params.empty()) return;
        groups[{row.device_uuid, row.template_hash}].push_back({split_params(row.params), result_of(row)});
        ++total;
    });
    if (groups.empty()) throw InputError(fmt::format("study {} has no iterations yet; run `attune tune` first", name));
    const auto largest = std::max_element(
        groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    if (largest->second.size() < total) {
        context.err << fmt::format(
            "attune: replaying the {} iterations of device {}; {} of other devices or editions of "
            "the kernel are left out\n",
            largest->second.size(), largest->first.first, total - largest->second.size());
    }
    return {name, std::move(largest->second)};
}

/// What is searched, and the template it is of; a Kernel Tuner cache file has none.
struct Recording {
    RecordedSpace space;
    std::string study;
    std::string template_name;
};

/// A study's name, its study file, or a Kernel Tuner cache file.
Recording load_recorded(const ReplayOptions& options, const CliContext& context) {
    std::string name = options.source;
    if (name.ends_with(".json")) {
        const JsonValue root = read_json_file(name);
        for (const auto& [key, value] : root.members()) {
            if (key == "tune_params_keys") return {{name, read_kernel_tuner_cache(name)}, "", ""};
            if (key == "name") name = value.text();
        }
        if (name == options.source) root.fail("is neither a study (no key 'name') nor a Kernel Tuner cache file");
    }
    const Reader reader(options.db);
    const StudyInfo study = reader.study(name);
    return {recorded_study(reader, study.name, context), study.name, study.template_name};
}

/// Trials of earlier studies; the one that is replayed is not its own past.
std::vector<Trial> load_earlier(const ReplayOptions& options, const Recording& recording) {
    EarlierStudies earlier(recording.template_name, recording.space.space());
    for (const std::filesystem::path& database : options.warm_from) {
        const bool own = std::filesystem::exists(database) && std::filesystem::exists(options.db) &&
                         std::filesystem::equivalent(database, options.db);
        if (earlier.add(database, own ? recording.study : "") == 0) {
            throw InputError(
                fmt::format("--warm-from {}: holds no times of another study of template '{}' in this space; name a "
                            "database that does, or leave the option out",
                            database.string(), recording.template_name));
        }
    }
    return earlier.trials();
}

/// 1, 2, 5, 10, 20, 50, … up to the longest run, and that run's length.
std::vector<std::size_t> checkpoints(const std::vector<ReplayRun>& runs) {
    std::size_t longest = 0;
    for (const ReplayRun& run : runs)
        longest = std::max(longest, run.best_ms.size());
    std::vector<std::size_t> points;
    for (std::size_t decade = 1; decade <= longest; decade *= 10) {
        for (const std::size_t factor : {1U, 2U, 5U}) {
            if (decade * factor < longest) points.push_back(decade * factor);
        }
    }
    if (longest > 0) points.push_back(longest);
    return points;
}

/// Quartiles over the runs of a series after `evaluations`; a run that ended earlier counts with its last value.
Quartiles quartiles_at(const std::vector<ReplayRun>& runs, std::vector<double> ReplayRun::*series,
                       std::size_t evaluations) {
    std::vector<double> values;
    for (const ReplayRun& run : runs)
        values.push_back((run.*series)[std::min(evaluations, run.best_ms.size()) - 1]);
    return quartiles(std::move(values));
}

/// Best scores at 1, 2, 5, 10, … simulated seconds; infinite before the first result.
void print_by_seconds(const std::vector<ReplayRun>& runs, RowFormat format, const CliContext& context) {
    double longest_s = 0.0;
    for (const ReplayRun& run : runs) {
        if (!run.elapsed_s.empty()) longest_s = std::max(longest_s, run.elapsed_s.back());
    }
    const auto best_by = [](const ReplayRun& run, double second) {
        const auto after = std::upper_bound(run.elapsed_s.begin(), run.elapsed_s.end(), second);
        if (after == run.elapsed_s.begin()) return std::numeric_limits<double>::infinity();
        return run.best_ms[static_cast<std::size_t>(after - run.elapsed_s.begin()) - 1];
    };
    const auto printer = make_row_printer(format, context.out, context.width_columns);
    printer->columns({"elapsed_s", "best_ms", "best_low_ms", "best_high_ms"});
    const auto cell = [](double value) { return std::isfinite(value) ? Cell(value) : Cell(); };
    bool wanted = true;
    for (double decade = 1.0; wanted && decade <= longest_s; decade *= 10.0) {
        for (const double factor : {1.0, 2.0, 5.0}) {
            std::vector<double> values;
            for (const ReplayRun& run : runs)
                values.push_back(best_by(run, decade * factor));
            const Quartiles best = quartiles(std::move(values));
            const std::array cells{Cell(decade * factor), cell(best.median), cell(best.low), cell(best.high)};
            wanted = wanted && printer->row(cells);
        }
    }
    printer->finish();
}

void print_rows(const std::vector<ReplayRun>& runs, RowFormat format, const CliContext& context) {
    const auto printer = make_row_printer(format, context.out, context.width_columns);
    printer->columns({"evaluations", "elapsed_s", "best_ms", "best_low_ms", "best_high_ms"});
    const auto cell = [](double value) { return std::isfinite(value) ? Cell(value) : Cell(); };
    for (const std::size_t evaluations : checkpoints(runs)) {
        const Quartiles best = quartiles_at(runs, &ReplayRun::best_ms, evaluations);
        const Quartiles elapsed = quartiles_at(runs, &ReplayRun::elapsed_s, evaluations);
        const std::array cells{Cell(static_cast<std::int64_t>(evaluations)), cell(elapsed.median), cell(best.median),
                               cell(best.low), cell(best.high)};
        if (!printer->row(cells)) break;
    }
    printer->finish();
}

void print_json(const RecordedSpace& recorded, const std::string& strategy, const std::vector<ReplayRun>& runs,
                const CliContext& context) {
    nlohmann::ordered_json answer{{"recorded", recorded.name()},
                                  {"candidates", recorded.size()},
                                  {"best_ms", recorded.best_ms()},
                                  {"strategy", strategy}};
    for (const ReplayRun& run : runs) {
        const std::size_t count = run.evaluations_to_near_best;
        answer["evaluations_to_near_best"].push_back(count > 0 ? nlohmann::ordered_json(count) : nullptr);
        answer["elapsed_s"].push_back(run.elapsed_s.empty() ? 0.0 : run.elapsed_s.back());
    }
    const auto number = [](double value) { return std::isfinite(value) ? nlohmann::ordered_json(value) : nullptr; };
    for (const std::size_t evaluations : checkpoints(runs)) {
        const Quartiles best = quartiles_at(runs, &ReplayRun::best_ms, evaluations);
        answer["progress"].push_back({{"evaluations", evaluations},
                                      {"elapsed_s", quartiles_at(runs, &ReplayRun::elapsed_s, evaluations).median},
                                      {"best_ms", number(best.median)},
                                      {"best_low_ms", number(best.low)},
                                      {"best_high_ms", number(best.high)}});
    }
    context.out << answer.dump(1) << '\n';
}

std::string summary(const RecordedSpace& recorded, const std::string& strategy, const std::vector<ReplayRun>& runs,
                    double evaluations_per_s) {
    std::vector<double> counts;
    for (const ReplayRun& run : runs) {
        if (run.evaluations_to_near_best > 0) counts.push_back(static_cast<double>(run.evaluations_to_near_best));
    }
    std::string reached = "no run came within 1 % of the best";
    if (!counts.empty()) {
        const Quartiles near = quartiles(counts);
        reached =
            fmt::format("within 1 % of the best after {:.0f} evaluations (quartiles {:.0f} to {:.0f}) in {} of {} runs",
                        near.median, near.low, near.high, counts.size(), runs.size());
    }
    return fmt::format("{} on {}: {} candidates, best {:.6g} ms; {}; {:.0f} evaluations/s\n", strategy, recorded.name(),
                       recorded.size(), recorded.best_ms(), reached, evaluations_per_s);
}

void run(const ReplayOptions& options, const CliContext& context) {
    const bool as_json = options.format == "json";
    const RowFormat format = parse_row_format(options.format, context);
    const std::string strategy =
        options.strategy.empty() ? std::string(strategy_names().front().name) : options.strategy;
    const Recording recording = load_recorded(options, context);
    const RecordedSpace& recorded = recording.space;
    const std::vector<Trial> earlier = load_earlier(options, recording);
    ReplayLimits limits;
    limits.stop_when_near = options.until_near;
    if (options.max_evaluations > 0) limits.max_evaluations = options.max_evaluations;
    std::vector<ReplayRun> runs;
    const auto started = std::chrono::steady_clock::now();
    double evaluations = 0.0;
    for (int i = 0; i < options.runs; ++i) {
        runs.push_back(replay(recorded, strategy, options.seed + static_cast<std::uint64_t>(i), limits, earlier));
        evaluations += static_cast<double>(runs.back().best_ms.size());
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
    if (as_json) {
        print_json(recorded, strategy, runs, context);
    } else if (options.by_seconds) {
        print_by_seconds(runs, format, context);
    } else {
        print_rows(runs, format, context);
    }
    context.err << summary(recorded, strategy, runs, evaluations / took.count());
}

}  // namespace

void add_replay(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<ReplayOptions>();
    options->db = context.default_db;
    CLI::App* command = app.add_subcommand("replay", "a strategy on recorded results instead of a device");
    command->add_option("study", options->source, "a study's name or file, or a Kernel Tuner cache file")->required();
    command
        ->add_option("--strategy", options->strategy,
                     "strategy to run; the default is " + std::string(strategy_names().front().name))
        ->type_name(strategy_type_name());
    command->add_option("--runs", options->runs, "runs, with seeds one after the other")
        ->check(at_least(1))
        ->capture_default_str();
    command->add_option("--seed", options->seed, "seed of the first run")
        ->check(at_least<std::uint64_t>(0))
        ->capture_default_str();
    command->add_option("--max-evaluations", options->max_evaluations, "end of a run; 0: the whole space")
        ->check(at_least<std::size_t>(0))
        ->capture_default_str();
    command->add_flag("--by-seconds", options->by_seconds, "rows at simulated seconds instead of evaluations");
    command->add_flag("--until-near", options->until_near, "end a run within 1 % of the best");
    command
        ->add_option("--warm-from", options->warm_from,
                     "database of earlier studies of the template to start from; again for more")
        ->allow_extra_args(false);
    command->add_option("--db", options->db, "database")->capture_default_str();
    command->add_option("--format", options->format, "a table on a terminal, else tsv")
        ->type_name("{table,tsv,csv,json}");
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
