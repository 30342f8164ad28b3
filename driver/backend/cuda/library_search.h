// Where NVIDIA's libraries may lie.
#pragma once

#include <filesystem>
#include <vector>

namespace attune {

/// What main knows of the surroundings. libcuda and NVML belong to the driver and come from the loader's path alone.
struct LibrarySearch {
    /// Where NVRTC is taken from instead of the usual places: a library, its folder or a toolkit's root. Mostly empty.
    std::vector<std::filesystem::path> nvrtc;
    /// For libraries of `pip install --user`; may be empty.
    std::filesystem::path home;
};

/// Files that may be NVRTC, best first. The first entries are plain names, which leave the search to the loader; then
/// come toolkits under /usr/local, newest first, and the wheels nvidia-cuda-nvrtc of virtual environments under /opt,
/// of the distribution's Python and of the user. `search.nvrtc` replaces all of them.
[[nodiscard]] std::vector<std::filesystem::path> nvrtc_candidates(const LibrarySearch& search);

}  // namespace attune
