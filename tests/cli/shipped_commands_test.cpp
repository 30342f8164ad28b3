// Commands that need no device, through the built program, on what is shipped: suites and the record of an H200.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "core/temp_folder.h"

namespace attune {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

const std::filesystem::path kSource = ATTUNE_SOURCE_DIR;

/// On a copy, as reading a database in WAL mode makes files beside it.
class Shipped : public ::testing::Test {
  protected:
    Shipped() { std::filesystem::copy_file(kSource / "results/h200/attune.db", database_); }
    [[nodiscard]] Ran attune(const std::vector<std::string>& arguments) const {
        return testing::run_attune(arguments, database_);
    }

    TempFolder folder_;
    std::filesystem::path database_ = folder_.path() / "attune.db";
};

TEST_F(Shipped, CasesAreThoseOfThePublicHarness) {
    const json golden = json::parse(read_file(kSource / "tests/golden/masks.json"))["suites"];
    for (const char* suite : {"smoke", "quick"}) {
        const json cases = json::parse(attune({"cases", suite, "--json"}).out);
        ASSERT_EQ(cases.size(), golden[suite].size());
        for (std::size_t i = 0; i < cases.size(); ++i) {
            for (const char* key : {"case_id", "seq_lens", "nnz", "row_ptr_sha256", "col_idx_sha256"})
                EXPECT_EQ(cases[i][key], golden[suite][i][key]) << suite << ' ' << i << ' ' << key;
        }
    }
}

TEST_F(Shipped, DoctorNamesTheRemedyOfEveryLack) {
    const Ran said = attune({"doctor", "--json"});
    EXPECT_EQ(said.code, 0) << said.err;
    const json capabilities = json::parse(said.out)["capabilities"];
    EXPECT_GE(capabilities.size(), 4U);
    for (const json& one : capabilities)
        EXPECT_EQ(one["available"].get<bool>(), one["remedy"].get<std::string>().empty()) << one;
}

TEST_F(Shipped, ReplayReachesTheRecordedBest) {
    const Ran said = attune({"replay", "quick-mma_sync", "--strategy", "random", "--runs", "2", "--format", "json"});
    ASSERT_EQ(said.code, 0) << said.err;
    const json replay = json::parse(said.out);
    EXPECT_EQ(replay["candidates"], 150);
    EXPECT_EQ(replay["evaluations_to_near_best"].size(), 2U);
    EXPECT_EQ(replay["progress"].back()["best_ms"], replay["best_ms"]);
}

TEST_F(Shipped, RecordsGoToOtherTuners) {
    struct Format {
        const char* name;
        const char* key;
        std::size_t entries;
    };
    // Every row of the study; every candidate of its latest edition, two of which were measured twice.
    for (const auto& [format, key, entries] : {Format{"t4", "results", 1502}, Format{"kernel-tuner", "cache", 1000}}) {
        const std::vector<std::string> command{"export", "--study", "quick-sm90_ws",        "--format",
                                               format,   "--to",    folder_.path().string()};
        const Ran said = attune(command);
        ASSERT_EQ(said.code, 0) << said.err;
        const json file = json::parse(read_file(said.lines().front()));
        EXPECT_EQ(file[key].size(), entries) << format;
        EXPECT_EQ(attune(command).code, 2) << "never overwritten unasked";
    }
}

TEST_F(Shipped, BestAndDiffReadSeveralStudies) {
    const json best = json::parse(attune({"best", "--json"}).out);
    ASSERT_EQ(best.size(), 7U);
    std::set<std::pair<std::string, int>> winners;
    for (const json& winner : best) {
        EXPECT_EQ(winner["device"], "NVIDIA H200");
        winners.emplace(winner["study"], winner["iter"]);
    }
    EXPECT_TRUE(winners.contains({"quick-sm90_ws", 1350})) << "573 had a keep's place until it was found incorrect";
    EXPECT_FALSE(winners.contains({"quick-sm90_ws", 573}));
    const Ran diff = attune({"diff", "quick-sm90_ws:1", "quick-sm90_ws:124"});
    EXPECT_EQ(diff.code, 0) << diff.err;
    EXPECT_THAT(diff.out, ::testing::ContainsRegex("hilo_span +4 +3"));
}

TEST_F(Shipped, AStudyThatIsNotThereIsBadInputThatNamesTheNearest) {
    const Ran said = attune({"tune", "quick-sm90"});
    EXPECT_EQ(said.code, 2);
    EXPECT_THAT(said.err, HasSubstr("no study 'quick-sm90': name a JSON file, or a study in "));
    EXPECT_THAT(said.err, HasSubstr("did you mean 'quick-sm90_ws'?"));
}

TEST_F(Shipped, WhatIsNoCommandIsBadInput) {
    for (const auto& [arguments, hint] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{}, "attune doctor"},
             {{"tuna"}, "there is no command 'tuna'; did you mean 'tune'?"},
             {{"--db", "x.db", "best"}, "no option --db before the command"},
             {{"query", "--colour", "red"}, "attune: query has no option --colour"},
             {{"tune", "--max-iters", "0"}, "--max-iters: '0' will not do; write a whole number from 1 on"},
             {{"tune", "--seed", "-1"}, "--seed: '-1' will not do"},
             {{"tune", "--hours", "soon"}, "--hours: 'soon' will not do"},
             {{"compile", "smoke-cpu", "--arch", "sm_90a"}, "--arch sm_90a: "}}) {
        const Ran said = attune(arguments);
        EXPECT_EQ(said.code, 2) << hint;
        EXPECT_THAT(said.err, StartsWith("attune: "));
        EXPECT_THAT(said.err, HasSubstr(hint));
        EXPECT_THAT(said.out, IsEmpty());
    }
}

// The strategy is looked at last, so that nothing is tuned where there is a GPU.
TEST_F(Shipped, WithoutAStudyTheDeviceThatIsNamedDecides) {
    EXPECT_THAT(attune({"tune", "--device", "cuda", "--strategy", "none"}).err, Not(HasSubstr("runs on cpu")));
    EXPECT_THAT(attune({"tune", "--device", "cpu", "--strategy", "none"}).err, HasSubstr("unknown strategy 'none'"));
}

TEST_F(Shipped, AScriptThatLacksAPackageNamesIt) {
    for (const char* script : {"check_interchange.py", "check_odd_masks.py", "compare_kernel_tuner.py",
                               "compare_peers.py", "count_misses.py", "kernel_tuner_rate.py"}) {
        // -S: without the folder that packages are installed in.
        const Ran said =
            shell(fmt::format("{} -S -E {} x.json", ATTUNE_TEST_PYTHON, (kSource / "scripts" / script).string()));
        EXPECT_EQ(said.code, 3) << script;
        EXPECT_THAT(said.err, HasSubstr("install what it needs: python3 -m pip install ")) << script;
        EXPECT_EQ(std::count(said.err.begin(), said.err.end(), '\n'), 1) << said.err;
    }
}

}  // namespace
}  // namespace attune
