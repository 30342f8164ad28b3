#include "search/random_walk.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "search/random.h"

namespace attune {
namespace {

TEST(RandomWalkTest, PermutationMeetsEveryPositionOnce) {
    for (const std::uint64_t size : {1U, 2U, 3U, 17U, 64U, 1000U, 4097U}) {
        const Permutation order(size, 3);
        std::set<std::uint64_t> seen;
        for (std::uint64_t i = 0; i < size; ++i) {
            EXPECT_LT(order(i), size);
            seen.insert(order(i));
        }
        EXPECT_EQ(seen.size(), size);
    }
}

TEST(RandomWalkTest, PermutationOfTheLargestSpaceStaysInside) {
    constexpr std::uint64_t kSize = (std::uint64_t{1} << 63U) - 25;
    const Permutation order(kSize, 9);
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        EXPECT_LT(order(i), kSize);
        seen.insert(order(i));
    }
    EXPECT_EQ(seen.size(), 1000U);
}

TEST(RandomWalkTest, FirstPositionIsUniformOverSeeds) {
    constexpr std::uint64_t kSize = 10;
    constexpr int kSeeds = 10000;
    std::vector<int> counts(kSize, 0);
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed)
        ++counts[Permutation(kSize, seed)(0)];
    double chi_squared = 0.0;
    for (const int count : counts)
        chi_squared += (count - kSeeds / 10.0) * (count - kSeeds / 10.0) / (kSeeds / 10.0);
    EXPECT_LT(chi_squared, 27.9);  // 99.9 % quantile for 9 degrees of freedom
}

TEST(RandomTest, BelowIsUniformAndInRange) {
    Random random(1);
    std::vector<int> counts(7, 0);
    for (int i = 0; i < 70000; ++i)
        ++counts[random.below(7)];
    for (const int count : counts)
        EXPECT_NEAR(count, 10000, 500);
    for (int i = 0; i < 1000; ++i) {
        const double unit = random.unit();
        EXPECT_GE(unit, 0.0);
        EXPECT_LT(unit, 1.0);
    }
}

TEST(RandomWalkTest, OpeningABillionCombinationsIsFree) {
    Parameter wide{"p", {}, {}, 0, ""};
    wide.values.resize(1000);
    std::iota(wide.values.begin(), wide.values.end(), 0);
    const Space space({wide, wide, wide}, [](const Candidate& c) { return c.choice[0] % 10 == 0; });
    RandomWalk walk(space, 4);
    std::set<Candidate> seen;
    for (int i = 0; i < 1000; ++i) {
        const auto candidate = walk.next();
        ASSERT_TRUE(candidate.has_value());
        EXPECT_TRUE(space.legal(*candidate));
        seen.insert(*candidate);
    }
    EXPECT_EQ(seen.size(), 1000U);
}

// Legal candidates are not spread evenly: x = 999 has 999 of them where x = 1 has one.
TEST(RandomWalkTest, DrawsUniformlyAmongTheLegalOfABillion) {
    constexpr int kDraws = 20000, kBuckets = 20, kWidth = 1000 / kBuckets;
    Parameter wide{"p", {}, {}, 0, ""};
    wide.values.resize(1000);
    std::iota(wide.values.begin(), wide.values.end(), 0);
    const Space space({wide, wide, wide}, [](const Candidate& c) { return c.choice[2] < c.choice[0]; });
    RandomWalk walk(space, 11);
    std::vector<int> counts(kBuckets, 0);
    for (int i = 0; i < kDraws; ++i)
        ++counts[walk.next()->choice[0] / kWidth];
    double chi_squared = 0.0;
    for (int bucket = 0; bucket < kBuckets; ++bucket) {
        const double legal = kWidth * (bucket * kWidth + (kWidth - 1) / 2.0);  // in units of 1000, the choices of y
        const double expected = kDraws * legal / (1000.0 * 999.0 / 2.0);
        chi_squared += (counts[bucket] - expected) * (counts[bucket] - expected) / expected;
    }
    EXPECT_LT(chi_squared, 43.8);  // 99.9 % quantile for 19 degrees of freedom
}

}  // namespace
}  // namespace attune
