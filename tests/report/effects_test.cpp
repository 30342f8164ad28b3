#include "report/effects.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace attune {
namespace {

/// Results of kernels whose knobs act independently: `a` costs 10 % a step, `b` nothing, `c` 40 % when on.
std::vector<Observation> results(int count, double noise, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal(0.0, noise);
    std::vector<Observation> observations;
    for (int i = 0; i < count; ++i) {
        const int a = static_cast<int>(random() % 3), b = static_cast<int>(random() % 2),
                  c = static_cast<int>(random() % 2);
        const double log = std::log(0.05) + a * std::log(1.1) + c * std::log(1.4) + normal(random);
        observations.push_back(
            {{{"a", std::to_string(a)}, {"b", std::to_string(b)}, {"c", c == 1 ? "on" : "off"}}, std::exp(log)});
    }
    return observations;
}

const std::vector<std::pair<std::string, std::string>> kBest{{"a", "0"}, {"b", "0"}, {"c", "off"}};

TEST(Effects, FindsWhatEachValueCosts) {
    const Effects effects = knob_effects(results(300, 0.02, 1), kBest);
    ASSERT_EQ(effects.knobs.size(), 3U);
    EXPECT_EQ(effects.knobs[0].name, "c");  // the most important first
    EXPECT_NEAR(effects.knobs[0].values[0].share, 0.4, 0.02);
    EXPECT_EQ(effects.knobs[1].name, "a");
    EXPECT_NEAR(effects.knobs[1].values[0].share, 0.1, 0.02);
    EXPECT_NEAR(effects.knobs[1].values[1].share, 0.21, 0.02);
    EXPECT_NEAR(effects.unexplained, 0.02, 0.005);
}

TEST(Effects, IntervalsHoldTheTruthAsOftenAsTheySay) {
    int covered = 0;
    constexpr int kRuns = 200;
    for (std::uint32_t seed = 0; seed < kRuns; ++seed) {
        const Effects effects = knob_effects(results(60, 0.05, seed), kBest);
        for (const KnobEffect& knob : effects.knobs) {
            if (knob.name == "c") covered += knob.values[0].low <= 0.4 && 0.4 <= knob.values[0].high ? 1 : 0;
        }
    }
    EXPECT_GE(covered, 180);
    EXPECT_LE(covered, 199);
}

TEST(Effects, LittleDataGivesWideIntervalsAndNoneGivesNone) {
    std::vector<Observation> observations = results(40, 0.02, 3);
    observations.push_back({{{"a", "7"}, {"b", "0"}, {"c", "off"}}, 0.05});
    const Effects effects = knob_effects(observations, kBest);
    for (const KnobEffect& knob : effects.knobs) {
        if (knob.name != "a") continue;
        const auto width = [&](const char* value) {
            for (const ValueEffect& item : knob.values) {
                if (item.value == value) return item.high - item.low;
            }
            return 0.0;
        };
        EXPECT_GT(width("7"), 2.0 * width("1"));
    }
    EXPECT_TRUE(knob_effects({}, kBest).knobs.empty());
    EXPECT_TRUE(knob_effects(results(5, 0.02, 1), kBest).knobs.empty());
}

TEST(Effects, KnobsThatAlwaysChangeTogetherStayUncertain) {
    std::vector<Observation> observations;
    for (int i = 0; i < 40; ++i) {
        const std::string both = i % 2 == 0 ? "0" : "1";
        observations.push_back({{{"a", both}, {"b", both}}, i % 2 == 0 ? 0.05 : 0.06});
    }
    const Effects effects = knob_effects(observations, {{"a", "0"}, {"b", "0"}});
    ASSERT_EQ(effects.knobs.size(), 2U);
    for (const KnobEffect& knob : effects.knobs) {
        EXPECT_LT(knob.values[0].low, 0.0);  // either could be the one that costs nothing
        EXPECT_GT(knob.values[0].high, 0.2);
    }
}

}  // namespace
}  // namespace attune
