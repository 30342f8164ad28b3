#include "core/noise_floor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace attune {
namespace {

/// The floor after `count` timings of one incumbent, each `next()` away from 1 in logarithms.
template <class Next>
double floor_after(int count, Next next) {
    NoiseFloor floor;
    for (int i = 0; i < count; ++i)
        floor.add(std::exp(next()));
    return floor.share();
}

TEST(NoiseFloorTest, IsTheUsualOneUntilTheDeviceHasShownItsOwn) {
    EXPECT_DOUBLE_EQ(floor_after(1, [] { return 0.0; }), 0.005);
    EXPECT_DOUBLE_EQ(floor_after(4, [] { return 0.0; }), 0.005);
    EXPECT_DOUBLE_EQ(floor_after(5, [] { return 0.0; }), 0.002);
}

TEST(NoiseFloorTest, FollowsNormalNoise) {
    std::mt19937_64 random(1);
    std::normal_distribution<double> noise(0.0, 0.004);
    // Two timings differ by the root of two deviations; the floor is two of those.
    EXPECT_NEAR(floor_after(400, [&] { return noise(random); }), 2.0 * std::sqrt(2.0) * 0.004, 0.0015);
}

TEST(NoiseFloorTest, OutliersDoNotMoveIt) {
    int count = 0;
    EXPECT_LT(floor_after(60, [&] { return ++count % 10 == 0 ? 0.5 : 0.001 * (count % 2); }), 0.004);
}

TEST(NoiseFloorTest, RisesUnderDriftAndUnderChangingClocks) {
    double drift = 0.0;
    EXPECT_GT(floor_after(30, [&] { return drift += 0.004; }), 0.008);
    std::mt19937_64 random(2);
    EXPECT_DOUBLE_EQ(floor_after(60, [&] { return random() % 2 == 0 ? 0.06 : 0.0; }), 0.03);  // two clocks 6 % apart
}

TEST(NoiseFloorTest, AFasterIncumbentIsNoNoise) {
    NoiseFloor floor;
    for (int i = 0; i < 20; ++i) {
        floor.add(std::pow(0.9, i));
        floor.add(std::pow(0.9, i));
        floor.restart();
    }
    EXPECT_DOUBLE_EQ(floor.share(), 0.002);
}

}  // namespace
}  // namespace attune
