// Reads a template folder (docs/templates.md).
#pragma once

#include <filesystem>
#include <vector>

#include "core/kernel_template.h"

namespace attune {

/// Bounds on a template folder, so that pointing at the wrong one costs nothing.
inline constexpr std::size_t kMaxTemplateFiles = 64;
inline constexpr std::size_t kMaxTemplateFileBytes = 1U << 20U;

/// Reads `folder`/template.json and the sources beside it. Nothing outside the folder is read: a symbolic link in it is
/// an error. Files whose names begin with a dot or end with ~ are left out.
/// Throws InputError naming file, key and what to write instead.
[[nodiscard]] KernelTemplate load_template(const std::filesystem::path& folder);

/// As load_template, from files already read: those of a folder, or those an iteration was recorded with. `where`
/// stands for the folder in messages.
[[nodiscard]] KernelTemplate make_template(std::vector<SourceFile> files, const std::string& where);

/// The sources of a template folder, sorted by name; names are relative to it, with forward slashes.
[[nodiscard]] std::vector<SourceFile> read_template_files(const std::filesystem::path& folder);

}  // namespace attune
