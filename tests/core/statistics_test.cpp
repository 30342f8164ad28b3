#include "core/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace attune {
namespace {

std::vector<float> normal_samples(std::size_t count, double middle, double deviation, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> noise(middle, deviation);
    std::vector<float> samples;
    for (std::size_t i = 0; i < count; ++i)
        samples.push_back(static_cast<float>(noise(random)));
    return samples;
}

TEST(StatisticsTest, MedianOfOddAndEvenCounts) {
    EXPECT_EQ(median(std::vector<float>{3, 1, 2}), 2.0);
    EXPECT_EQ(median(std::vector<float>{4, 1, 3, 2}), 2.5);
    EXPECT_EQ(median(std::vector<double>{7}), 7.0);
}

TEST(StatisticsTest, MedianIntervalUsesTheRanksOfTheBinomial) {
    std::vector<float> samples;
    for (int i = 1; i <= 20; ++i)
        samples.push_back(static_cast<float>(i));
    // P(Binomial(20, 1/2) < 6) = 0.0207 <= 0.025 < P(< 7) = 0.0577: the 6th smallest and largest (standard tables).
    const Interval interval = median_interval(samples, 0.95);
    EXPECT_EQ(interval.low, 6.0);
    EXPECT_EQ(interval.high, 15.0);
    EXPECT_NEAR(relative_half_width(interval), 4.5 / 10.5, 1e-12);
    EXPECT_EQ(median_interval(std::vector<float>{1, 2, 3}, 0.95).high, 3.0);
}

TEST(StatisticsTest, MedianIntervalCoversSkewedNoise) {
    std::mt19937_64 random(5);
    std::exponential_distribution<double> tail(1.0);
    int covered = 0;
    constexpr int kTrials = 2000;
    for (int trial = 0; trial < kTrials; ++trial) {
        std::vector<float> samples;
        for (int i = 0; i < 25; ++i)
            samples.push_back(static_cast<float>(tail(random)));
        const Interval interval = median_interval(samples, 0.95);
        covered += interval.low <= std::log(2.0) && std::log(2.0) <= interval.high ? 1 : 0;
    }
    EXPECT_GE(covered, kTrials * 94 / 100);
}

TEST(StatisticsTest, StudentQuantilesMatchPublishedTables) {
    EXPECT_NEAR(student_t_quantile(0.025, 1), 12.7062, 1e-4);
    EXPECT_NEAR(student_t_quantile(0.025, 10), 2.22814, 1e-5);
    EXPECT_NEAR(student_t_quantile(0.001, 5), 5.89343, 1e-5);
    EXPECT_NEAR(student_t_quantile(0.0005, 30), 3.64596, 1e-5);
    EXPECT_NEAR(student_t_quantile(0.025, 1e7), 1.95996, 1e-4);
    EXPECT_NEAR(student_t_quantile(0.5, 7), 0.0, 1e-9);
}

TEST(StatisticsTest, TrimmedMeanIgnoresOutliersAndKnowsItsError) {
    const std::vector<Series> one{{1.0, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1e9}}};
    EXPECT_NEAR(trimmed_mean_of_sum(one).mean, 5.5, 1e-12);
    EXPECT_EQ(trimmed_mean_of_sum(one).freedom, 5.0);
    // Two series with noise of their own, and with noise that they share.
    for (const double shared : {0.0, 0.7, 3.0}) {
        std::mt19937_64 random(9);
        std::normal_distribution<double> noise(0.0, 1.0);
        double squares = 0.0;
        double claimed = 0.0;
        constexpr int kTrials = 2000;
        for (int trial = 0; trial < kTrials; ++trial) {
            std::vector<Series> draws(2, {0.5, std::vector<double>(40)});
            for (std::size_t i = 0; i < 40; ++i) {
                const double both = shared * noise(random);
                for (Series& series : draws)
                    series.samples[i] = both + noise(random);
            }
            const TrimmedMean found = trimmed_mean_of_sum(draws);
            squares += found.mean * found.mean / kTrials;
            claimed += found.variance / kTrials;
        }
        EXPECT_NEAR(claimed / squares, 1.0, 0.12) << shared;
    }
}

TEST(StatisticsTest, NoiseShareIsTheDeviationOfSingleSamples) {
    std::vector<float> samples = normal_samples(4000, 50.0, 1.0, 3);
    EXPECT_NEAR(noise_share(samples), 0.02, 0.002);
    for (std::size_t i = 0; i < samples.size(); i += 10)
        samples[i] = 500.0F;
    EXPECT_NEAR(noise_share(samples), 0.02, 0.005);
}

TEST(StatisticsTest, DriftIsSeenAndNoiseIsNot) {
    std::vector<float> samples = normal_samples(100, 50.0, 0.5, 4);
    EXPECT_EQ(drift_share(samples), 0.0);
    for (std::size_t i = 0; i < samples.size(); ++i)
        samples[i] *= 1.0F + 0.05F * static_cast<float>(i) / 99.0F;
    EXPECT_NEAR(drift_share(samples), 0.05, 0.015);
    // A throttle in the middle is a step, not a line, and is seen as well.
    std::vector<float> stepped = normal_samples(100, 50.0, 0.5, 6);
    for (std::size_t i = 50; i < stepped.size(); ++i)
        stepped[i] *= 1.1F;
    EXPECT_GT(drift_share(stepped), 0.05);
    int alarms = 0;
    for (std::uint64_t seed = 100; seed < 600; ++seed)
        alarms += drift_share(normal_samples(60, 50, 1, seed)) != 0.0 ? 1 : 0;
    EXPECT_LE(alarms, 5);
}

}  // namespace
}  // namespace attune
