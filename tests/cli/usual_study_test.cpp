#include <gtest/gtest.h>

#include <vector>

#include "cli/backends.h"

namespace attune {
namespace {

TEST(UsualStudy, RunsOnEveryGpuOfTheMachine) {
    EXPECT_EQ(usual_gpu_study(std::vector<int>{90}), "quick-sm90_ws");
    EXPECT_EQ(usual_gpu_study(std::vector<int>{90, 90}), "quick-sm90_ws");
    EXPECT_EQ(usual_gpu_study(std::vector<int>{90, 80}), "quick-mma_sync");
    EXPECT_EQ(usual_gpu_study(std::vector<int>{89}), "quick-mma_sync");
    EXPECT_EQ(usual_gpu_study(std::vector<int>{120}), "quick-mma_sync") << "a Hopper binary does not run there";
}

}  // namespace
}  // namespace attune
