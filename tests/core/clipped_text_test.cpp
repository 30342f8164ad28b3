#include "core/clipped_text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace attune {
namespace {

/// `whole`, given in parts of `size` bytes.
std::string clip(const std::string& whole, std::size_t most, std::size_t size) {
    ClippedText text(most);
    for (std::size_t at = 0; at < whole.size(); at += size)
        text.append(std::string_view(whole).substr(at, size));
    return text.text();
}

TEST(ClippedTextTest, KeepsTheFirstAndTheLastHoweverItComes) {
    std::string whole;
    for (char letter = 'a'; letter <= 'z'; ++letter)
        whole += letter;
    for (std::size_t size = 1; size <= 27; ++size) {
        EXPECT_EQ(clip(whole, 10, size), "abcde\n... 16 bytes left out ...\nvwxyz") << size;
        EXPECT_EQ(clip(whole, 26, size), whole) << size;
        EXPECT_EQ(clip(whole, 24, size), "abcdefghijkl\n... 2 bytes left out ...\nopqrstuvwxyz") << size;
        EXPECT_EQ(clip("", 10, size), "");
    }
}

TEST(ClippedTextTest, ForgetsWhatCameBefore) {
    ClippedText text(4);
    text.append("something long");
    text.clear();
    text.append("new");
    EXPECT_EQ(text.text(), "new");
}

}  // namespace
}  // namespace attune
