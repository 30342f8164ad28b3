#include "config/built_in.h"

#include <algorithm>
#include <system_error>

namespace attune {

std::vector<std::string> built_in_names(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    std::error_code unreadable;
    for (const auto& entry : std::filesystem::directory_iterator(folder, unreadable)) {
        if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace attune
