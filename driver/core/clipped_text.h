// A text that may be without end, of which the beginning and the end are kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace attune {

/// Of a compiler's log or a worker's words: a template's backtrace can take megabytes.
inline constexpr std::size_t kMostLogBytes = 64 * 1024;

/// Keeps the first and the last half of `most` bytes: the first error is at the beginning of a log, and the reason of a
/// death at its end.
class ClippedText {
  public:
    explicit ClippedText(std::size_t most) : half_(most / 2) {}

    void append(std::string_view part);
    void clear() { *this = ClippedText(2 * half_); }
    /// What is kept, with a line in its middle that says how much is not.
    [[nodiscard]] std::string text() const;

  private:
    std::size_t half_;
    std::string beginning_;
    std::string end_;  ///< of what came after `beginning_`; up to twice as long as it need be, so that cutting is rare
    std::uintmax_t left_out_ = 0;
};

/// `text`, clipped.
[[nodiscard]] std::string clip_log(std::string_view text);

}  // namespace attune
