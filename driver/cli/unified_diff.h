// Differences between two texts, as `diff -u` writes them.
#pragma once

#include <string>

namespace attune {

/// The unified diff from `before` to `after` with three lines of context; empty when they are equal. `before_name` and
/// `after_name` are printed in its first two lines.
[[nodiscard]] std::string unified_diff(const std::string& before, const std::string& after,
                                       const std::string& before_name, const std::string& after_name);

}  // namespace attune
