// Recorded rows in the formats other auto-tuning tools read.
#pragma once

#include <string>

#include "store/reader.h"

namespace attune {

/// A Kernel Tuner cache file: the configurations of the edition of the template that was tried last, on whichever
/// shard, each with its score as `time` in ms. A failed one has the name of Kernel Tuner's error instead, a pruned one
/// the bound it was pruned by. Its kernel is called as the study, its problem size is the number of cases.
/// `device_name` may be empty while there is only one; InputError otherwise, or when nothing was measured.
[[nodiscard]] std::string kernel_tuner_text(const Reader& reader, const std::string& study,
                                            const std::string& device_name);

/// T4 1.0.0 results: every iteration of the study.
[[nodiscard]] std::string t4_text(const Reader& reader, const std::string& study, const std::string& device_name);

}  // namespace attune
