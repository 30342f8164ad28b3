#pragma once

#include <filesystem>
#include <string>

namespace attune {

/// The folder that holds kernel_templates/ and configs/: `override_dir` when given, else beside the binary (a copied
/// one), above it (a build folder), or under share/attune of its installation. InputError when an override holds
/// neither; an empty path when nothing is found, for commands that need no template.
[[nodiscard]] std::filesystem::path find_share_dir(const std::filesystem::path& executable,
                                                   const std::string& override_dir);

/// "0.1.0 (commit abc, backends: cuda cpu)"
[[nodiscard]] std::string version_text();

}  // namespace attune
