// Reads study.json: what to tune, over which space, how (docs/search.md names every key).
#pragma once

#include <filesystem>

#include "core/study.h"

namespace attune {

/// Reads and checks a study. `template` and `suite` are built-in names under `share_dir`, or paths relative to the
/// study file when they hold a slash; `space` is a name under configs/spaces, such a path, or the space itself. Throws
/// InputError naming file, key and what to write instead for anything that could not run: the template is loaded, the
/// space narrowed, the baseline parsed and a legal candidate found.
[[nodiscard]] Study load_study(const std::filesystem::path& path, const std::filesystem::path& share_dir);

}  // namespace attune
