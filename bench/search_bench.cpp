// What searching costs: legality, walks over huge spaces, strategies' answers, replays (docs/search.md).
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "config/template.h"
#include "search/random.h"
#include "search/random_walk.h"
#include "search/recorded_space.h"

namespace attune {
namespace {

Parameter integers(const std::string& name, std::size_t count) {
    Parameter parameter{name, {}, {}, 0, ""};
    parameter.values.resize(count);
    std::iota(parameter.values.begin(), parameter.values.end(), 0);
    return parameter;
}

/// A score of main effects and pairs, as kernels have.
double score_ms(const Candidate& candidate) {
    double level = 0.0;
    for (std::size_t i = 0; i < candidate.choice.size(); ++i) {
        level += 0.05 * candidate.choice[i] * static_cast<double>(i % 3);
        if (i > 0 && candidate.choice[i] == candidate.choice[i - 1]) level += 0.03;
    }
    return std::exp(level);
}

Trial trial_of(const Candidate& candidate) {
    return {candidate, Status::discard, Outcome::ok, score_ms(candidate), std::nullopt, 1.0, {}};
}

void legality(benchmark::State& state, const char* name) {
    const KernelTemplate kernel_template =
        load_template(std::filesystem::path(ATTUNE_SOURCE_DIR) / "kernel_templates" / name);
    const Space space = kernel_template.space(kernel_template.usual_target());
    Random random(1);
    std::vector<Candidate> candidates(4096);
    for (Candidate& candidate : candidates)
        space.at(random.below(space.combinations()), candidate);
    std::size_t i = 0;
    for (auto _ : state)
        benchmark::DoNotOptimize(space.legal(candidates[i++ % candidates.size()]));
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(legality, mma_sync, "mma_sync");
BENCHMARK_CAPTURE(legality, sm90_ws, "sm90_ws");
BENCHMARK_CAPTURE(legality, cpu_blocked, "cpu_blocked");

/// Opening 10^9 combinations and drawing the first legal one.
void open_a_billion(benchmark::State& state) {
    const std::vector<Parameter> parameters(3, integers("p", 1000));
    for (auto _ : state) {
        const Space space(parameters, [](const Candidate& c) { return c.choice[0] % 100 == 0; });
        RandomWalk walk(space, 1);
        benchmark::DoNotOptimize(walk.next());
    }
}
BENCHMARK(open_a_billion);

/// The same from a template as people write it: JSON, and constraints that are parsed.
void open_a_billion_from_json(benchmark::State& state) {
    std::string values = "[0";
    for (int value = 1; value < 1000; ++value)
        values += fmt::format(", {}", value);
    std::string parameters;
    for (const char* name : {"x", "y", "z"})
        parameters += fmt::format(R"({}{{"name": "{}", "values": {}], "default": 0, "meaning": "a knob"}})",
                                  parameters.empty() ? "" : ", ", name, values);
    const std::string json = fmt::format(
        R"({{"name": "huge", "device": "cpu", "summary": "three wide knobs", "source": "k.cpp", "parameters": [{}],
            "constraints": [{{"require": "(x * y + z) % 100 == 0", "because": "one in a hundred"}}],
            "kernels": [{{"entry": "k", "grid": ["1", "1", "1"], "block": "1"}}]}})",
        parameters);
    for (auto _ : state) {
        const KernelTemplate kernel_template = make_template({{"k.cpp", ""}, {"template.json", json}}, "huge");
        const Space space = kernel_template.space(kernel_template.usual_target());
        RandomWalk walk(space, 1);
        benchmark::DoNotOptimize(walk.next());
    }
}
BENCHMARK(open_a_billion_from_json)->Unit(benchmark::kMillisecond);

/// One ask and its tell after `state.range(0)` results, over a space as large as a kernel's.
void ask(benchmark::State& state, const std::string& strategy_name) {
    std::vector<Parameter> parameters;
    for (std::size_t i = 0; i < 18; ++i)
        parameters.push_back(integers("p" + std::to_string(i), 2 + i % 4));
    const Space space(parameters,
                      [](const Candidate& c) { return (c.choice[0] + c.choice[1] + c.choice[2]) % 2 == 0; });
    const auto strategy = make_strategy(strategy_name, space, 1);
    RandomWalk history(space, 2);
    for (std::int64_t i = 0; i < state.range(0); ++i)
        strategy->tell(trial_of(*history.next()));
    for (auto _ : state)
        strategy->tell(trial_of(strategy->ask()->candidate));
}
BENCHMARK_CAPTURE(ask, auto, "auto") -> Arg(100) -> Arg(1000) -> Iterations(100) -> Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ask, model, "model")->Arg(100)->Arg(1000)->Iterations(100)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ask, genetic, "genetic")->Arg(1000)->Iterations(100)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ask, hill_climb, "hill_climb")->Arg(1000)->Iterations(100)->Unit(benchmark::kMillisecond);

void replay_random(benchmark::State& state) {
    std::vector<RecordedRow> rows;
    for (int a = 0; a < 100; ++a) {
        for (int b = 0; b < 100; ++b) {
            RecordedRow& row = rows.emplace_back();
            row.params = {{"a", std::to_string(a)}, {"b", std::to_string(b)}};
            row.trial.score_ms = 1.0 + a + b;
        }
    }
    const RecordedSpace recorded("grid", std::move(rows));
    for (auto _ : state)
        benchmark::DoNotOptimize(replay(recorded, "random", 1, {}));
    state.SetItemsProcessed(state.iterations() * 10000);
}
BENCHMARK(replay_random)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace attune

BENCHMARK_MAIN();
