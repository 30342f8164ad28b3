#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace attune {
namespace {

using ::testing::IsEmpty;
using ::testing::StartsWith;

std::string ticked(bool live) {
    std::ostringstream out;
    ProgressPrinter printer(out, live);
    LoopProgress progress;
    progress.recorded = 12;
    progress.best_ms = 0.05;
    progress.elapsed_s = 60.0;
    printer.on_tick(progress);
    return out.str();
}

TEST(Progress, TheLiveLineStaysOneRowOnANarrowTerminal) {
    EXPECT_THAT(ticked(true), StartsWith("\r\033[K\033[?7l12 done, best 0.0500 ms")) << "the terminal cuts it";
    EXPECT_TRUE(ticked(true).ends_with("\033[?7h")) << "and wraps whatever comes next";
}

TEST(Progress, PlainLinesHoldNoControlCharacters) {
    EXPECT_THAT(ticked(false), IsEmpty());
    std::ostringstream out;
    ProgressPrinter(out, false).on_message("device lost: gone");
    EXPECT_EQ(out.str(), "device lost: gone\n");
}

}  // namespace
}  // namespace attune
