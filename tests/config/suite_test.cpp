// Suites: the schema, its defaults, and what each kind of mistake is told.
#include "config/suite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/temp_folder.h"

namespace attune {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kShare = ATTUNE_SOURCE_DIR;

/// A case of all required keys, `extra` replacing or adding some.
std::string suite_with(const std::string& from, const std::string& to) {
    std::string text = R"([{"case_id": "c1", "family": "sliding_window", "batch_size": 1, "num_heads": 2, )"
                       R"("t_max": 256, "window_blocks": 2}])";
    text.replace(text.find(from), from.size(), to);
    return text;
}

std::string complaint(const std::string& json) {
    try {
        (void)parse_suite(json, "my.json");
    } catch (const InputError& error) {
        return error.what();
    }
    return "accepted";
}

TEST(Suite, BuiltInSuitesLoadByName) {
    for (const auto& [name, cases] : std::vector<std::pair<std::string, std::size_t>>{
             {"smoke", 3}, {"local-dev", 6}, {"quick", 3}, {"full", 9}, {"broad", 9}}) {
        const Suite suite = find_suite(name, kShare);
        EXPECT_EQ(suite.name, name);
        EXPECT_EQ(suite.cases.size(), cases);
        for (const Family family : kFamilies) {
            EXPECT_EQ(std::count_if(suite.cases.begin(), suite.cases.end(),
                                    [&](const CaseSpec& spec) { return spec.family == family; }),
                      static_cast<std::ptrdiff_t>(cases / 3));
        }
    }
}

TEST(Suite, AbsentKeysHaveTheHarnessDefaults) {
    const Suite suite = parse_suite(suite_with("256", "384"), "my.json");
    ASSERT_EQ(suite.cases.size(), 1U);
    CaseSpec expected;
    expected.case_id = "c1";
    expected.num_heads = 2;
    expected.t_max = 384;
    expected.window_blocks = 2;
    EXPECT_EQ(suite.cases[0], expected);
    EXPECT_EQ(suite.cases[0].retrieval_local_bias, 0.7);
    EXPECT_EQ(suite.cases[0].seq_len_min_ratio, 0.625);
    EXPECT_EQ(suite.cases[0].profile, "smoke");
    EXPECT_EQ(suite.name, "my");
}

TEST(Suite, EveryFieldIsRead) {
    const Suite suite = parse_suite(
        R"([{"case_id": "x", "family": "sliding_window_retrieval", "batch_size": 3, "num_heads": 4, "t_max": 512,
            "window_blocks": 5, "global_blocks": 6, "retrieval_blocks": 7, "retrieval_local_bias": 1,
            "seq_len_min_ratio": 0.25, "seed": 18446744073709551615, "profile": "p"}])",
        "my.json");
    EXPECT_EQ(suite.cases[0], (CaseSpec{"x", Family::sliding_window_retrieval, 3, 4, 512, 5, 6, 7, 1.0, 0.25,
                                        18446744073709551615ULL, "p"}));
}

TEST(Suite, MistakesNameFileCaseAndKey) {
    EXPECT_EQ(complaint(suite_with(R"("num_heads": 2)", R"("num_heads": "x")")),
              R"(my.json: case 'c1': key 'num_heads': must be an integer from 1 to 16777216, got "x")");
    EXPECT_EQ(complaint(suite_with(R"("window_blocks")", R"("window_block")")),
              "my.json: case 'c1': unknown key 'window_block'; did you mean 'window_blocks'?");
    EXPECT_EQ(complaint(suite_with(R"(, "window_blocks": 2)", "")),
              "my.json: case 'c1': key 'window_blocks' is missing");
    EXPECT_EQ(complaint(suite_with("sliding_window", "sliding_windw_global")),
              R"(my.json: case 'c1': key 'family': unknown value "sliding_windw_global"; did you mean )"
              "'sliding_window_global'?");
    EXPECT_EQ(complaint(suite_with("256", "300")),
              "my.json: case 'c1': key 't_max': must be a multiple of 128, got 300; the nearest is 256");
    EXPECT_EQ(complaint(R"([{"family": "sliding_window"}])"), "my.json: item 1: key 'case_id' is missing");
}

class ImpossibleValue : public testing::TestWithParam<const char*> {};

TEST_P(ImpossibleValue, IsRefused) {
    EXPECT_THAT(complaint(suite_with(R"("window_blocks": 2)", GetParam())), HasSubstr("my.json: case 'c1': key '"));
}

INSTANTIATE_TEST_SUITE_P(
    Suite, ImpossibleValue,
    testing::Values(R"("window_blocks": 0)", R"("window_blocks": -1)", R"("window_blocks": 2.0)",
                    R"("window_blocks": true)", R"("window_blocks": null)", R"("window_blocks": 99999999999999999999)",
                    R"("window_blocks": 1, "global_blocks": -1)", R"("window_blocks": 1, "retrieval_blocks": -1)",
                    R"("window_blocks": 1, "retrieval_local_bias": 1.01)",
                    R"("window_blocks": 1, "retrieval_local_bias": -0.1)",
                    R"("window_blocks": 1, "seq_len_min_ratio": 0)", R"("window_blocks": 1, "seq_len_min_ratio": 1.5)",
                    R"("window_blocks": 1, "seed": -1)", R"("window_blocks": 1, "seed": 1.5)",
                    R"("window_blocks": 1, "profile": 3)"));

TEST(Suite, CasesTooLargeForAnyMachineAreRefusedBeforeAnythingIsAllocated) {
    EXPECT_THAT(complaint(suite_with(R"("batch_size": 1)", R"("batch_size": 16000000)")), HasSubstr("16 GiB a tensor"));
    EXPECT_THAT(
        complaint(suite_with(R"("t_max": 256, "window_blocks": 2)", R"("t_max": 16777216, "window_blocks": 16777216)")),
        HasSubstr("lower window_blocks"));
}

TEST(Suite, ShapeOfTheFileIsChecked) {
    EXPECT_EQ(complaint("{}"), "my.json: must be a list of cases");
    EXPECT_EQ(complaint("[]"), "my.json: must list at least one case");
    EXPECT_THAT(complaint("[3]"), HasSubstr("my.json: item 1: must be an object"));
    const std::string one = suite_with("256", "256");
    const std::string item = one.substr(1, one.size() - 2);
    EXPECT_EQ(complaint("[" + item + "," + item + "]"), "my.json: item 2: case_id 'c1' is taken by an earlier case");
}

std::string find_complaint(const std::string& name) {
    try {
        (void)find_suite(name, kShare);
    } catch (const InputError& error) {
        return error.what();
    }
    return "accepted";
}

TEST(Suite, MissingFilesAndFoldersAreNamed) {
    const TempFolder folder;
    EXPECT_THAT(find_complaint("quik"), AllOf(HasSubstr("no suite named 'quik'"), HasSubstr("did you mean 'quick'?")));
    EXPECT_THAT(find_complaint("nowhere/at/all.json"), HasSubstr("nowhere/at/all.json: no such file"));
    EXPECT_THAT(find_complaint(folder.path().string()), HasSubstr("is a directory"));
}

}  // namespace
}  // namespace attune
