// The C++ compiler of the machine the CPU device runs on.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "backend/artifact_cache.h"
#include "backend/backend.h"

namespace attune::cpu {

struct SystemCompiler {
    std::string program;               ///< as looked up in PATH
    std::string version;               ///< first line of --version
    std::vector<std::string> options;  ///< everything but input and output
};

/// The first of `preferred` ($CXX, may be empty), c++, g++ and clang++ that builds a shared object with OpenMP, tried
/// in scratch of `cache`. A `preferred` that does not is an EnvironmentError, as is having none at all; both say what
/// to do.
[[nodiscard]] SystemCompiler find_system_compiler(const std::string& preferred, const ArtifactCache& cache);

/// The same for `attune doctor`, with a cache at `cache_root`.
[[nodiscard]] Capability cpu_compiler_capability(const std::string& preferred, const std::filesystem::path& cache_root);

}  // namespace attune::cpu
