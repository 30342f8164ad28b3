// Reads a Kernel Tuner cache file (schema 1.0.0): somebody's measurements of somebody's kernel, to try strategies on.
#pragma once

#include <filesystem>
#include <vector>

#include "search/recorded_space.h"

namespace attune {

/// Rows of the file in its order. A configuration whose `time` is a text (an error's name) is a crash; times are in ms.
/// Costs are the seconds Kernel Tuner recorded for compiling, checking and measuring.
[[nodiscard]] std::vector<RecordedRow> read_kernel_tuner_cache(const std::filesystem::path& path);

}  // namespace attune
