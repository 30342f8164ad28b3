// Whether a file is a GPU's machine code, before the driver is asked to load it: a cut-off image can crash the driver.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace attune::cuda {

/// What is wrong with a cubin's outer form (magic, machine, tables within its size), empty when nothing is.
[[nodiscard]] std::string cubin_defect(std::span<const std::byte> bytes);

/// The bytes of the file, or nothing and the reason in `why`.
[[nodiscard]] std::vector<std::byte> read_cubin(const std::filesystem::path& file, std::string& why);

}  // namespace attune::cuda
