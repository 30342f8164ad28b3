#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "config/kernel_tuner_cache.h"
#include "core/error.h"
#include "core/temp_folder.h"
#include "search/recorded_space.h"

namespace attune {
namespace {

using testing::HasSubstr;

RecordedRow row(const std::string& tile, const std::string& mode, std::optional<double> score_ms, double cost_s = 1.0) {
    RecordedRow result{{{"tile", tile}, {"mode", mode}}, {}};
    result.trial.score_ms = score_ms;
    result.trial.cost_s = cost_s;
    return result;
}

RecordedSpace recorded() {
    return {"study",
            {row("128", "slow", 2.0), row("64", "fast", 1.0, 4.0), row("64", "slow", std::nullopt),
             row("256", "fast", 1.005), row("64", "fast", 9.0)}};
}

TEST(ReplayTest, SpaceHoldsWhatWasRecorded) {
    const RecordedSpace space = recorded();
    EXPECT_EQ(space.size(), 4U);
    EXPECT_EQ(space.best_ms(), 1.0);
    EXPECT_THAT(space.space().parameters()[0].values, testing::ElementsAre(64, 128, 256));
    EXPECT_THAT(space.space().parameters()[1].words, testing::ElementsAre("slow", "fast"));
    EXPECT_EQ(space.space().count_legal(100), 4U);
    const Candidate best = space.space().parse("tile=64,mode=fast", space.space().defaults());
    EXPECT_EQ(space.result(best).score_ms, 1.0);  // the first result of a repeated candidate counts
    EXPECT_FALSE(space.space().legal(space.space().parse("tile=128,mode=fast", best)));
}

TEST(ReplayTest, RunFollowsTheBestAndItsCost) {
    const RecordedSpace space = recorded();
    const ReplayRun run = replay(space, "exhaustive", 0, {});
    // In the order of the parameters: 64/slow crashed, 64/fast, 128/slow, 256/fast.
    EXPECT_TRUE(std::isinf(run.best_ms[0]));
    EXPECT_THAT(std::vector<double>(run.best_ms.begin() + 1, run.best_ms.end()), testing::ElementsAre(1.0, 1.0, 1.0));
    EXPECT_THAT(run.elapsed_s, testing::ElementsAre(1.0, 5.0, 6.0, 7.0));
    EXPECT_EQ(run.evaluations_to_near_best, 2U);
    EXPECT_EQ(replay(space, "exhaustive", 0, {0.01, SIZE_MAX, true}).best_ms.size(), 2U);
    EXPECT_EQ(replay(space, "exhaustive", 0, {0.01, 1, false}).evaluations_to_near_best, 0U);
}

TEST(ReplayTest, RowsThatAreNoSpaceAreRefused) {
    const auto error = [](std::vector<RecordedRow> rows) {
        try {
            static_cast<void>(RecordedSpace("study", std::move(rows)));
        } catch (const InputError& thrown) {
            return std::string(thrown.what());
        }
        return std::string("no error");
    };
    EXPECT_THAT(error({}), HasSubstr("study: nothing is recorded"));
    EXPECT_THAT(error({row("1", "x", std::nullopt)}), HasSubstr("has a score"));
    EXPECT_THAT(error({row("1", "x", 1.0), {{{"tile", "1"}}, {}}}), HasSubstr("same parameters"));
}

TEST(ReplayTest, ReadsKernelTunerCacheFiles) {
    const TempFolder folder;
    const auto path = folder.write("cache.json", R"({"device_name": "GPU", "tune_params_keys": ["block", "mode"],
        "tune_params": {"block": [32, 64], "mode": ["a", "b"]}, "objective": "time", "cache": {
        "32,a": {"block": 32, "mode": "a", "time": 2.5, "compile_time": 500, "benchmark_time": 250, "verification_time": 0},
        "64,b": {"block": 64, "mode": "b", "time": "CompilationFailedConfig", "compile_time": 100}}})");
    const RecordedSpace space("cache", read_kernel_tuner_cache(path));
    EXPECT_EQ(space.size(), 2U);
    const Trial& good = space.result(space.space().parse("block=32,mode=a", space.space().defaults()));
    EXPECT_EQ(good.score_ms, 2.5);
    EXPECT_EQ(good.cost_s, 0.75);
    EXPECT_EQ(space.result(space.space().parse("block=64,mode=b", space.space().defaults())).score_ms, std::nullopt);
    EXPECT_THROW(static_cast<void>(read_kernel_tuner_cache(folder.write("x.json", "{}"))), InputError);
}

}  // namespace
}  // namespace attune
