// What strategies make of earlier studies: a better start, and no other promise broken.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "search/random_walk.h"
#include "search/strategy.h"

namespace attune {
namespace {

Space grid(std::int64_t levels, Space::Legality legal) {
    std::vector<Parameter> parameters;
    for (const char* name : {"a", "b", "c", "d"}) {
        Parameter& parameter = parameters.emplace_back(Parameter{name, {}, {}, 0, ""});
        parameter.values.resize(static_cast<std::size_t>(levels));
        std::iota(parameter.values.begin(), parameter.values.end(), 0);
    }
    return {parameters, std::move(legal)};
}

bool always(const Candidate&) {
    return true;
}

/// Log score with its optimum at `centre`, `centre` + 1, …
double level(const Candidate& candidate, double centre) {
    double sum = 0.0;
    for (std::size_t i = 0; i < candidate.choice.size(); ++i)
        sum += 0.03 * std::abs(candidate.choice[i] - centre - static_cast<double>(i));
    return sum;
}

Trial trial(const Candidate& candidate, double log_score, std::uint32_t origin) {
    return {candidate, Status::discard, Outcome::ok, std::exp(log_score), std::nullopt, 1.0, {}, origin};
}

class WarmStartTest : public testing::TestWithParam<std::string> {};

TEST_P(WarmStartTest, AsksForTheBestOfEarlierStudiesFirst) {
    const Space space = grid(6, [](const Candidate& c) { return c.choice[0] != 1; });
    const auto strategy = make_strategy(GetParam(), space, 1);
    // Another device may be faster as a whole: each origin counts from its own best. The fourth is not legal here.
    strategy->tell(trial({{2, 2, 2, 2}}, 0.3, 1));
    strategy->tell(trial({{3, 3, 3, 3}}, 0.1, 1));
    strategy->tell(trial({{4, 4, 4, 4}}, -5.0, 2));
    strategy->tell(trial({{1, 1, 1, 1}}, -6.0, 2));
    std::vector<Candidate> asked;
    for (int i = 0; i < 3; ++i)
        asked.push_back(strategy->ask()->candidate);
    EXPECT_THAT(asked, testing::ElementsAre(Candidate{{3, 3, 3, 3}}, Candidate{{2, 2, 2, 2}}, Candidate{{4, 4, 4, 4}}));
}

TEST_P(WarmStartTest, StillVisitsEveryCandidateOnce) {
    const Space space = grid(3, [](const Candidate& c) { return (c.choice[0] + c.choice[3]) % 2 == 0; });
    const auto strategy = make_strategy(GetParam(), space, 1);
    for (std::uint64_t rank = 0; rank < space.combinations(); rank += 2)
        strategy->tell(trial(space.at(rank), level(space.at(rank), 0.0), static_cast<std::uint32_t>(1 + rank % 3)));
    std::set<Candidate> seen;
    while (const auto proposal = strategy->ask()) {
        EXPECT_TRUE(space.legal(proposal->candidate));
        EXPECT_TRUE(seen.insert(proposal->candidate).second);
        strategy->tell(trial(proposal->candidate, level(proposal->candidate, 1.0), 0));
    }
    EXPECT_EQ(seen.size(), *space.count_legal(1000));
}

TEST_P(WarmStartTest, AResumedSearchDoesNotAskForThemAgain) {
    const Space space = grid(6, always);
    const auto strategy = make_strategy(GetParam(), space, 1);
    std::vector<Candidate> earlier;
    for (std::uint16_t i = 0; i < 6; ++i) {
        earlier.push_back({{i, i, i, i}});
        strategy->tell(trial(earlier.back(), 0.1 * i, 1));
    }
    for (int i = 0; i < 4; ++i)
        strategy->tell(trial(earlier[static_cast<std::size_t>(i)], 1.0, 0));
    EXPECT_THAT(earlier, testing::Not(testing::Contains(strategy->ask()->candidate)));
}

std::vector<std::string> all_names() {
    std::vector<std::string> names;
    for (const StrategyName& entry : strategy_names())
        names.emplace_back(entry.name);
    return names;
}

INSTANTIATE_TEST_SUITE_P(All, WarmStartTest, testing::ValuesIn(all_names()),
                         [](const testing::TestParamInfo<std::string>& test) { return test.param; });

/// Evaluations until the optimum of a space of 20,736, after 200 random results of a study whose optimum lies one step
/// away in every parameter and whose scores are three times as high.
double evaluations_to_optimum(std::uint64_t seed, bool warm) {
    const Space space = grid(12, always);
    const auto strategy = make_strategy("model", space, seed);
    RandomWalk past(space, seed + 100);
    for (int i = 0; warm && i < 200; ++i) {
        const Candidate candidate = *past.next();
        strategy->tell(trial(candidate, level(candidate, 2.0) + std::log(3.0), 1));
    }
    for (int count = 1; count < 300; ++count) {
        const Candidate candidate = strategy->ask()->candidate;
        if (level(candidate, 3.0) < 0.01) return count;
        strategy->tell(trial(candidate, level(candidate, 3.0), 0));
    }
    return 300;
}

TEST(WarmModelTest, LearnsFromAStudyWithAnotherOptimum) {
    double warm = 0.0;
    double cold = 0.0;
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        warm += evaluations_to_optimum(seed, true);
        cold += evaluations_to_optimum(seed, false);
    }
    RecordProperty("warm", static_cast<int>(warm));
    RecordProperty("cold", static_cast<int>(cold));
    EXPECT_LT(warm, 0.75 * cold);
}

}  // namespace
}  // namespace attune
