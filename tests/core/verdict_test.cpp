#include "core/verdict.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace attune {
namespace {

CaseRecord timed(Family family, std::optional<double> cold_ms) {
    CaseRecord record;
    record.family = family;
    record.cold_median_ms = cold_ms;
    return record;
}

TEST(VerdictTest, ScoreIsTheGeometricMeanOfFamilyMedians) {
    const FamilyTimes times =
        family_medians({timed(Family::sliding_window, 1.0), timed(Family::sliding_window, 4.0),
                        timed(Family::sliding_window, 2.0), timed(Family::sliding_window_global, 8.0),
                        timed(Family::sliding_window_retrieval, 3.0), timed(Family::sliding_window_retrieval, 5.0)});
    EXPECT_EQ(times[0], 2.0);
    EXPECT_EQ(times[1], 8.0);
    EXPECT_EQ(times[2], 4.0);
    EXPECT_NEAR(*score_ms(times), 4.0, 1e-12);
}

TEST(VerdictTest, NoScoreBeforeEveryFamilyIsTimed) {
    const FamilyTimes times =
        family_medians({timed(Family::sliding_window, 1.0), timed(Family::sliding_window_global, 2.0),
                        timed(Family::sliding_window_global, std::nullopt)});
    EXPECT_EQ(times[0], 1.0);
    EXPECT_EQ(times[1], std::nullopt);
    EXPECT_EQ(times[2], std::nullopt);
    EXPECT_EQ(score_ms(times), std::nullopt);
}

TEST(VerdictTest, StopsAVariantThatCannotWinAnyMore) {
    const FamilyTimes best{1.0, 2.0, 4.0};
    EXPECT_NEAR(score_bound_ms({8.0, std::nullopt, std::nullopt}, best), 4.0, 1e-12);
    EXPECT_EQ(score_bound_ms({8.0, std::nullopt, std::nullopt}, {1.0, 2.0, std::nullopt}), 0.0);
    EXPECT_TRUE(can_still_win(0.0, 2.0, 0.005));
    EXPECT_TRUE(can_still_win(1.9, 2.0, 0.005));
    EXPECT_TRUE(can_still_win(2.009, 2.0, 0.005));  // within the noise of two timings
    EXPECT_FALSE(can_still_win(2.011, 2.0, 0.005));
    EXPECT_TRUE(can_still_win(2.011, 2.0, 0.01));
}

TEST(VerdictTest, TheBestOfEachFamilyIsTheLowestTimeThereIs) {
    FamilyTimes best{2.0, std::nullopt, 4.0};
    keep_best(best, {3.0, 5.0, std::nullopt});
    EXPECT_EQ(best, (FamilyTimes{2.0, 5.0, 4.0}));
    keep_best(best, {1.0, 6.0, 4.0});
    EXPECT_EQ(best, (FamilyTimes{1.0, 5.0, 4.0}));
}

/// What a device does to latencies, one factor a sample in the order taken.
using Noise = std::function<double(std::mt19937_64&)>;

struct NoiseModel {
    const char* name;
    std::function<Noise()> start;  ///< fresh state for a case
};

double normal(std::mt19937_64& random, double deviation) {
    return std::normal_distribution<double>(0.0, deviation)(random);
}
bool chance(std::mt19937_64& random, double probability) {
    return std::bernoulli_distribution(probability)(random);
}

const std::vector<NoiseModel>& noise_models() {
    static const std::vector<NoiseModel> models{
        {"normal, 2 %", [] { return [](std::mt19937_64& r) { return 1.0 + normal(r, 0.02); }; }},
        {"heavy tails: 1 %, and every 15th sample up to several times slower",
         [] {
             return [](std::mt19937_64& r) {
                 const double spike = chance(r, 1.0 / 15) ? std::exp(std::abs(normal(r, 0.7))) : 1.0;
                 return spike * (1.0 + normal(r, 0.01));
             };
         }},
        {"Student t with 2 degrees of freedom, 1 %",
         [] {
             return [](std::mt19937_64& r) { return std::exp(0.01 * std::student_t_distribution<double>(2.0)(r)); };
         }},
        {"drift: 8 % slower over the run, a random walk and 1 %",
         [] {
             return [walk = 0.0, step = 0](std::mt19937_64& r) mutable {
                 walk += normal(r, 0.002);
                 return (1.0 + 0.0002 * step++) * (1.0 + walk) * (1.0 + normal(r, 0.01));
             };
         }},
        {"two clocks 6 % apart, held for some 25 samples, and 1 %",
         [] {
             return [slow = false](std::mt19937_64& r) mutable {
                 if (chance(r, 0.04)) slow = !slow;
                 return (slow ? 1.06 : 1.0) * (1.0 + normal(r, 0.01));
             };
         }},
        {"two clocks 6 % apart, drawn anew each sample, and 1 %",
         [] { return [](std::mt19937_64& r) { return (chance(r, 0.3) ? 1.06 : 1.0) * (1.0 + normal(r, 0.01)); }; }},
        {"the first of a pair 2 % slower, and 1 %",
         [] {
             return [second = true](std::mt19937_64& r) mutable {
                 second = !second;
                 return (second ? 1.0 : 1.02) * (1.0 + normal(r, 0.01));
             };
         }},
        {"a timer of 1 % resolution and 0.5 %",
         [] { return [](std::mt19937_64& r) { return std::round(100.0 * (1.0 + normal(r, 0.005))) / 100.0; }; }},
    };
    return models;
}

/// What a load of a binary into a place costs by itself: the place's share, and one drawn at each load.
struct PlaceEffect {
    double constant = 0.0;
    double deviation = 0.0;
};

/// The challenge as the loop runs it: rounds until decided or out of budget. Returns whether the challenger won.
bool wins(const NoiseModel& model, double true_ratio, std::mt19937_64& random, PlaceEffect effect = {}) {
    const MeasureSettings settings;
    std::vector<CasePairs> pairs;
    std::vector<Noise> noises;
    for (const Family family : kFamilies) {
        pairs.push_back({family, {}});
        noises.push_back(model.start());
    }
    for (int taken = 0; taken < settings.max_pairs; taken += settings.min_pairs) {
        for (int at = 0; at < settings.min_pairs; ++at) {
            const bool changed = at % 2 == 1;
            const double first_load = 1.0 + effect.constant + normal(random, effect.deviation);
            const double second_load = 1.0 + normal(random, effect.deviation);
            for (std::size_t c = 0; c < pairs.size(); ++c) {
                const double base = 0.05 * static_cast<double>(c + 1);
                const double first = base * first_load * noises[c](random);
                const double second = base * second_load * noises[c](random);
                PairedSamples& samples = pairs[c].places[changed ? 1 : 0];
                samples.a_ms.push_back(static_cast<float>(true_ratio * (changed ? second : first)));
                samples.b_ms.push_back(static_cast<float>(changed ? first : second));
            }
        }
        const PairedVerdict verdict = judge_pairs(pairs, settings);
        if (verdict.ratio_high < 1.0) return true;
        if (verdict.decided) return false;
    }
    return false;
}

constexpr int kTrials = 1000;

TEST(VerdictTest, AnEqualVariantIsKeptInAtMostOneOfAHundredChallenges) {
    for (const NoiseModel& model : noise_models()) {
        std::mt19937_64 random(11);
        int kept = 0;
        for (int trial = 0; trial < kTrials; ++trial)
            kept += wins(model, 1.0, random) ? 1 : 0;
        EXPECT_LE(kept, kTrials / 100) << model.name;
        RecordProperty(model.name, kept);
    }
}

TEST(VerdictTest, AGainOfOnePercentIsKeptInNineOfTenChallenges) {
    for (const NoiseModel& model : noise_models()) {
        std::mt19937_64 random(12);
        int kept = 0;
        for (int trial = 0; trial < kTrials; ++trial)
            kept += wins(model, 0.99, random) ? 1 : 0;
        EXPECT_GE(kept, kTrials * 9 / 10) << model.name;
        RecordProperty(model.name, kept);
    }
}

TEST(VerdictTest, WhereABinaryLiesInMemoryDecidesNothing) {
    const NoiseModel& quiet = noise_models().back();
    const std::vector<std::pair<const char*, PlaceEffect>> effects{
        {"one slot 1.2 % slower", {0.012, 0.0}},
        {"one slot 1.2 % faster, each load 0.3 %", {-0.012, 0.003}},
        {"each load 0.6 %", {0.0, 0.006}},
    };
    for (const auto& [name, effect] : effects) {
        std::mt19937_64 random(13);
        int kept = 0, gains_kept = 0;
        for (int trial = 0; trial < kTrials; ++trial) {
            kept += wins(quiet, 1.0, random, effect) ? 1 : 0;
            gains_kept += wins(quiet, 0.99, random, effect) ? 1 : 0;
        }
        EXPECT_LE(kept, kTrials / 100) << name;
        EXPECT_GE(gains_kept, kTrials * 9 / 10) << name;
        RecordProperty(name, std::to_string(kept) + " and " + std::to_string(gains_kept));
    }
}

TEST(VerdictTest, RatioIsTheMeanOverFamiliesNotOverCases) {
    std::vector<CasePairs> pairs;
    const auto add = [&](Family family, double ratio) {
        CasePairs item{family, {}};
        for (int i = 0; i < 20; ++i) {
            PairedSamples& samples = item.places[static_cast<std::size_t>(i % 2)];
            samples.a_ms.push_back(static_cast<float>(ratio));
            samples.b_ms.push_back(1.0F);
        }
        pairs.push_back(item);
    };
    add(Family::sliding_window, 0.5);
    add(Family::sliding_window, 0.5);
    add(Family::sliding_window, 0.5);
    add(Family::sliding_window_global, 1.0);
    add(Family::sliding_window_retrieval, 1.0);
    const PairedVerdict verdict = judge_pairs(pairs, MeasureSettings());
    EXPECT_NEAR(verdict.ratio, std::cbrt(0.5), 1e-6);
    EXPECT_LT(verdict.ratio_high, 1.0);
    EXPECT_TRUE(verdict.decided);
}

TEST(VerdictTest, TooFewPairsDecideNothing) {
    const PairedVerdict verdict =
        judge_pairs({{Family::sliding_window, {PairedSamples{{1.0F, 1.0F}, {2.0F, 2.0F}}}}}, MeasureSettings());
    EXPECT_FALSE(verdict.decided);
    EXPECT_GT(verdict.ratio_high, 1.0);
}

}  // namespace
}  // namespace attune
