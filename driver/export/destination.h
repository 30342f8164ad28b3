// Where an export goes. It is finished elsewhere, and takes its place in one step.
#pragma once

#include <filesystem>
#include <string_view>

namespace attune {

/// `folder` with its links followed, as the place of a package. Writes nothing. InputError when it is a file, the
/// current folder, or holds something that is no package, or a package that is not to be replaced; EnvironmentError
/// when nothing can be written there.
[[nodiscard]] std::filesystem::path package_place(const std::filesystem::path& folder, bool replace);

/// Puts a copy of the finished `package` at `place`, which package_place has given. Whatever dies meanwhile, either
/// what was there is there still, or the new package is, whole. EnvironmentError when it cannot.
void publish_package(const std::filesystem::path& package, const std::filesystem::path& place, bool replace);

/// The same for a file, in a folder that is made when missing.
void publish_file(std::string_view text, const std::filesystem::path& file);

/// Writes a file where nobody looks yet. EnvironmentError when it cannot.
void write_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace attune
