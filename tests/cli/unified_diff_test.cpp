#include "cli/unified_diff.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>
#include <vector>

namespace attune {
namespace {

std::string diff(const std::string& a, const std::string& b) {
    return unified_diff(a, b, "a", "b");
}

/// What `patch` would make of `before`: an independent reading of the format.
std::string patched(const std::string& before, const std::string& patch) {
    std::vector<std::string> lines;
    std::istringstream stream(before);
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    std::string after;
    std::size_t at = 0;
    std::istringstream hunks(patch);
    std::string line;
    std::getline(hunks, line);
    std::getline(hunks, line);
    while (std::getline(hunks, line)) {
        if (line.starts_with("@@ -")) {
            std::size_t start = std::stoul(line.substr(4));
            const std::string range = line.substr(4, line.find(' ', 4) - 4);
            if (!range.ends_with(",0")) --start;
            while (at < start)
                after += lines[at++] + '\n';
        } else if (line[0] == '+') {
            after += line.substr(1) + '\n';
        } else {
            EXPECT_EQ(line.substr(1), lines.at(at));
            if (line[0] == ' ') after += lines[at] + '\n';
            ++at;
        }
    }
    while (at < lines.size())
        after += lines[at++] + '\n';
    return after;
}

TEST(UnifiedDiffTest, WritesWhatDiffWrites) {
    EXPECT_EQ(diff("a\n", "a\n"), "");
    EXPECT_EQ(diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
              "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
    EXPECT_EQ(diff("", "x\ny\n"), "--- a\n+++ b\n@@ -0,0 +1,2 @@\n+x\n+y\n");
    EXPECT_EQ(diff("x\n", ""), "--- a\n+++ b\n@@ -1 +0,0 @@\n-x\n");
    EXPECT_EQ(diff("x", "x\n"), "--- a\n+++ b\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+x\n");
}

TEST(UnifiedDiffTest, NearChangesShareAHunkAndFarOnesDoNot) {
    std::string before, near, far;
    for (int i = 0; i < 30; ++i) {
        before += fmt::format("{}\n", i);
        near += i == 5 || i == 12 ? "x\n" : fmt::format("{}\n", i);
        far += i == 5 || i == 13 ? "x\n" : fmt::format("{}\n", i);
    }
    const auto hunks = [](const std::string& text) {
        int count = 0;
        for (auto at = text.find("\n@@"); at != std::string::npos; at = text.find("\n@@", at + 1))
            ++count;
        return count;
    };
    EXPECT_EQ(hunks(diff(before, near)), 1);
    EXPECT_EQ(hunks(diff(before, far)), 2);
}

TEST(UnifiedDiffTest, RandomTextsAreRebuilt) {
    std::mt19937 random(1);
    for (int round = 0; round < 500; ++round) {
        const auto text = [&](unsigned most) {
            std::string lines;
            for (auto i = random() % most; i > 0; --i)
                lines += fmt::format("line {}\n", random() % 6);
            return lines;
        };
        const std::string a = text(40), b = text(40);
        const std::string patch = diff(a, b);
        if (a == b) continue;
        ASSERT_EQ(patched(a, patch), b) << patch;
    }
}

TEST(UnifiedDiffTest, HugeDifferencesStayRight) {
    std::string a, b;
    for (int i = 0; i < 5000; ++i) {
        a += fmt::format("old {}\n", i);
        b += fmt::format("new {}\n", i);
    }
    EXPECT_EQ(patched("same\n" + a + "end\n", diff("same\n" + a + "end\n", "same\n" + b + "end\n")),
              "same\n" + b + "end\n");
}

}  // namespace
}  // namespace attune
