// A study that starts from an earlier one of the same template, through the built program on the CPU device.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/shell.h"

namespace attune {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class WarmStart : public testing::Test {
  protected:
    /// A study file of its own suite: `length` tokens.
    void write_study(const std::string& name, int length) const {
        json cases = json::array();
        for (const char* family : {"sliding_window", "sliding_window_global", "sliding_window_retrieval"}) {
            cases.push_back({{"case_id", family},
                             {"family", family},
                             {"batch_size", 1},
                             {"num_heads", 1},
                             {"t_max", length},
                             {"window_blocks", 1},
                             {"global_blocks", 1},
                             {"retrieval_blocks", 1},
                             {"seed", 5}});
        }
        folder_.write(name + "-suite.json", cases.dump());
        folder_.write(name + ".json", json{{"name", name},
                                           {"template", ATTUNE_SOURCE_DIR "/tests/backend/data/naive_cpu"},
                                           {"suite", (folder_.path() / (name + "-suite.json")).string()},
                                           {"space", {{"values", {{"fault", {"none"}}}}}},
                                           {"strategy", "random"},
                                           {"measure",
                                            {{"draws", 1},
                                             {"min_samples", 2},
                                             {"max_samples", 2},
                                             {"warm_samples", 1},
                                             {"min_pairs", 8},
                                             {"max_pairs", 8},
                                             {"early_stop", false}}}}
                                          .dump());
    }

    [[nodiscard]] Ran tune(const std::string& study, const std::string& db, const std::string& more) const {
        return shell(fmt::format("ATTUNE_CACHE={0}/cache {1} tune --device cpu --db {0}/{3}.db {4} {0}/{2}.json",
                                 folder_.path().string(), ATTUNE_BINARY, study, db, more));
    }
    [[nodiscard]] static Ran replay(const std::string& more) {
        return shell(fmt::format("{} replay quick-sm90_ws --db {}/results/h200/attune.db {}", ATTUNE_BINARY,
                                 ATTUNE_SOURCE_DIR, more));
    }
    [[nodiscard]] std::string rows(const std::string& study) const {
        return read_file(folder_.path() / study / "iters.tsv");
    }

    TempFolder folder_;
};

TEST_F(WarmStart, TakesTheBestOfOtherStudiesOfTheTemplate) {
    write_study("first", 128);
    write_study("second", 256);
    write_study("third", 256);
    ASSERT_EQ(tune("first", "attune", "--max-iters 4").code, 0);
    EXPECT_THAT(rows("first"), Not(HasSubstr("earlier studies")));

    const Ran second = tune("second", "attune", "--max-iters 2");
    ASSERT_EQ(second.code, 0) << second.err;
    EXPECT_THAT(second.err, HasSubstr("warm start: 4 results of earlier studies"));
    EXPECT_THAT(rows("second"), HasSubstr("of earlier studies, "));

    const Ran cold = tune("third", "attune", "--cold --max-iters 2");
    ASSERT_EQ(cold.code, 0) << cold.err;
    EXPECT_THAT(cold.err, Not(HasSubstr("warm start")));

    const std::string from = fmt::format("--warm-from {}/attune.db --max-iters 2", folder_.path().string());
    const Ran elsewhere = tune("third", "other", from);
    ASSERT_EQ(elsewhere.code, 0) << elsewhere.err;
    EXPECT_THAT(elsewhere.err, HasSubstr("warm start: 8 results of earlier studies"));
}

/// Mean evaluations until near the best, of `attune replay --format json`.
double mean_evaluations(const Ran& ran) {
    double sum = 0.0;
    const json answer = json::parse(ran.out);
    for (const json& count : answer["evaluations_to_near_best"])
        sum += count.is_null() ? 500.0 : count.get<double>();
    return sum / static_cast<double>(answer["evaluations_to_near_best"].size());
}

// What was tuned on the suite `full` is near the best of `quick`.
TEST_F(WarmStart, ARecordedStudyOfAnotherSuiteSavesMuchOfTheSearch) {
    const std::string arguments = "--runs 10 --until-near --format json";
    const Ran cold = replay(arguments);
    const Ran warm = replay(arguments + " --warm-from " ATTUNE_SOURCE_DIR "/results/h200/attune.db");
    ASSERT_EQ(cold.code, 0) << cold.err;
    ASSERT_EQ(warm.code, 0) << warm.err;
    EXPECT_LT(mean_evaluations(warm), 0.75 * mean_evaluations(cold));
}

TEST_F(WarmStart, ReplayAnswersBySecondsToo) {
    const Ran ran = replay("--runs 3 --max-evaluations 20 --by-seconds --format tsv");
    ASSERT_EQ(ran.code, 0) << ran.err;
    EXPECT_THAT(ran.out, testing::StartsWith("elapsed_s\tbest_ms\tbest_low_ms\tbest_high_ms\n1\t"));
}

TEST_F(WarmStart, ADatabaseWithNothingToGiveIsAMistake) {
    write_study("study", 128);
    const std::string absent = fmt::format("--warm-from {}/absent.db --max-iters 1", folder_.path().string());
    EXPECT_EQ(tune("study", "attune", absent).code, 2);
    const Ran ran = tune("study", "attune", "--warm-from " ATTUNE_SOURCE_DIR "/results/h200/robust.db --max-iters 1");
    EXPECT_EQ(ran.code, 2);
    EXPECT_THAT(ran.err, HasSubstr("holds no times of template"));
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "attune.db"));
}

}  // namespace
}  // namespace attune
