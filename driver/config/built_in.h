// Studies, suites and spaces that come with attune, by name: each is a JSON file in a folder under configs/.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace attune {

/// The names in `folder`, sorted; none when it cannot be read.
[[nodiscard]] std::vector<std::string> built_in_names(const std::filesystem::path& folder);

}  // namespace attune
