#include "report/floors.h"

#include <gtest/gtest.h>

#include "config/suite.h"

namespace attune {
namespace {

TEST(Floors, MatchWhatTheQuickSuiteMustMoveAndMultiply) {
    const auto limits = device_limits("NVIDIA H200");
    ASSERT_TRUE(limits);
    const Suite suite = load_suite(ATTUNE_SOURCE_DIR "/configs/suites/quick.json");
    ASSERT_EQ(suite.cases.size(), 3U);
    EXPECT_NEAR(floor_ms(suite.cases[0], *limits), 0.0156, 5e-5);  // moving 67 MB takes longer than multiplying
    EXPECT_NEAR(floor_ms(suite.cases[1], *limits), 0.0212, 5e-5);
    EXPECT_NEAR(floor_ms(suite.cases[2], *limits), 0.0199, 5e-5);
    const FamilyTimes families = family_floors(suite, *limits);
    EXPECT_DOUBLE_EQ(*families[1], floor_ms(suite.cases[1], *limits));
}

TEST(Floors, AreUnknownForADeviceNobodyMeasured) {
    EXPECT_FALSE(device_limits("NVIDIA A100"));
    EXPECT_FALSE(device_limits("NVIDIA H200 NVL"));
}

}  // namespace
}  // namespace attune
