#include "core/space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "core/error.h"

namespace attune {
namespace {

using testing::HasSubstr;

std::vector<Parameter> parameters() {
    return {{"tile", {32, 64, 128}, {}, 1, ""},
            {"mode", {0, 1}, {"slow", "fast"}, 0, ""},
            {"stages", {1, 2, 3, 4}, {}, 0, ""}};
}

Space everything() {
    return {parameters(), [](const Candidate&) { return true; }};
}

std::string error_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const InputError& error) {
        return error.what();
    }
    return "no error";
}

TEST(SpaceTest, RanksAndCandidatesAreInverse) {
    const Space space = everything();
    EXPECT_EQ(space.combinations(), 24U);
    std::set<Candidate> seen;
    for (std::uint64_t index = 0; index < space.combinations(); ++index) {
        const Candidate candidate = space.at(index);
        EXPECT_EQ(space.index_of(candidate), index);
        seen.insert(candidate);
    }
    EXPECT_EQ(seen.size(), 24U);
}

TEST(SpaceTest, DescribesInParameterOrderAndParsesBack) {
    const Space space = everything();
    EXPECT_EQ(space.describe(space.defaults()), "tile=64,mode=slow,stages=1");
    for (std::uint64_t index = 0; index < space.combinations(); ++index) {
        EXPECT_EQ(space.parse(space.describe(space.at(index)), space.defaults()), space.at(index));
    }
    EXPECT_EQ(space.describe(space.parse("stages=3", space.defaults())), "tile=64,mode=slow,stages=3");
    EXPECT_EQ(space.parse("", space.at(5)), space.at(5));
}

TEST(SpaceTest, ParseNamesTheMistake) {
    const Space space = everything();
    const auto error = [&](const char* text) {
        return error_of([&] { static_cast<void>(space.parse(text, space.defaults())); });
    };
    EXPECT_EQ(error("tile=48"), "parameter 'tile' has no value '48'; write one of: 32, 64, 128");
    EXPECT_EQ(error("mode=fst"), "parameter 'mode' has no value 'fst'; write one of: slow, fast");
    EXPECT_EQ(error("stage=1"), "no parameter 'stage'; did you mean 'stages'?");
    EXPECT_THAT(error("tile"), HasSubstr("'tile' is no key=value pair"));
    EXPECT_THAT(error("tile=32,,mode=fast"), HasSubstr("'' is no key=value pair"));
    EXPECT_EQ(error("tile=32,tile=64"), "parameter 'tile' is given twice");
}

TEST(SpaceTest, NeighboursDifferInOneParameterAndAreLegal) {
    const Space space(parameters(), [](const Candidate& c) { return c.choice[2] != 3; });
    const Candidate from = space.defaults();
    const std::vector<Candidate> neighbours = space.neighbours(from);
    EXPECT_EQ(neighbours.size(), 2U + 1U + 2U);
    for (const Candidate& candidate : neighbours) {
        int differences = 0;
        for (std::size_t i = 0; i < 3; ++i)
            differences += candidate.choice[i] != from.choice[i] ? 1 : 0;
        EXPECT_EQ(differences, 1);
        EXPECT_TRUE(space.legal(candidate));
    }
}

TEST(SpaceTest, CountsLegalCandidatesUpToALimit) {
    const Space space(parameters(), [](const Candidate& c) { return c.choice[0] == 0; });
    EXPECT_EQ(space.count_legal(24), 8U);
    EXPECT_EQ(space.count_legal(23), std::nullopt);
}

TEST(SpaceTest, HugeProductsCostNothingUntilTheyOverflow) {
    Parameter wide{"p", {}, {}, 0, ""};
    wide.values.resize(1000);
    std::iota(wide.values.begin(), wide.values.end(), 0);
    std::vector<Parameter> six(6, wide);
    const Space space(six, [](const Candidate&) { return true; });
    EXPECT_EQ(space.combinations(), 1'000'000'000'000'000'000U);
    EXPECT_EQ(space.index_of(space.at(999'999'999'999'999'999U)), 999'999'999'999'999'999U);
    std::vector<Parameter> seven(7, wide);
    EXPECT_THAT(error_of([&] { Space(seven, [](const Candidate&) { return true; }); }), HasSubstr("2^63"));
    EXPECT_THAT(error_of([&] {
                    Space({Parameter{"none", {}, {}, 0, ""}}, [](const Candidate&) { return true; });
                }),
                HasSubstr("'none' has 0 values"));
}

}  // namespace
}  // namespace attune
