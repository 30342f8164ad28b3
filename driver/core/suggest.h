// "Did you mean": the one way error messages point at the name a person probably meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace attune {

/// The element of `known` nearest to `word` by edit distance, or empty when none is near enough to be a typing slip.
[[nodiscard]] std::string_view nearest_name(std::string_view word, std::span<const std::string_view> known);

/// Tail of an error message about an unknown name: "; did you mean 'x'?" or "; known: a, b, c".
[[nodiscard]] std::string name_hint(std::string_view word, std::span<const std::string_view> known);

}  // namespace attune
