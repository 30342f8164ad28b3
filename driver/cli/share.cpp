#include "cli/share.h"

#include <fmt/format.h>

#include <array>

#include "backend/cuda/cuda_backend.h"
#include "core/error.h"
#include "version.h"

namespace attune {
namespace {

bool holds_share(const std::filesystem::path& folder) {
    return std::filesystem::is_directory(folder / "kernel_templates") &&
           std::filesystem::is_directory(folder / "configs");
}

}  // namespace

std::filesystem::path find_share_dir(const std::filesystem::path& executable, const std::string& override_dir) {
    if (!override_dir.empty()) {
        if (holds_share(override_dir)) return override_dir;
        throw InputError(
            fmt::format("ATTUNE_SHARE={}: no kernel_templates/ and configs/ there; name the folder that "
                        "holds both, or unset it",
                        override_dir));
    }
    const std::filesystem::path bin = executable.parent_path();
    for (const auto& folder : std::array{bin, bin.parent_path(), bin.parent_path() / "share/attune"}) {
        if (holds_share(folder)) return folder;
    }
    return {};
}

std::string version_text() {
    return fmt::format("{} (commit {}, backends: {}cpu)", kVersion, kCommit, cuda_backend_built() ? "cuda " : "");
}

}  // namespace attune
