#include "backend/cuda/library_search.h"

#include <glob.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <string>

namespace attune {
namespace {

constexpr std::array kNvrtcNames{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};

std::vector<std::filesystem::path> matching(const std::string& pattern) {
    glob_t found{};
    std::vector<std::filesystem::path> paths;
    if (::glob(pattern.c_str(), GLOB_ONLYDIR, nullptr, &found) == 0) {
        paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    }
    ::globfree(&found);
    return paths;
}

/// "cuda-9.2" < "cuda-12.4" < "cuda": numbers compare as numbers, and the unversioned link is the machine's choice.
double toolkit_release(const std::filesystem::path& lib64) {
    const std::string name = lib64.parent_path().filename().string();
    const std::string prefix = "cuda-";
    return name.starts_with(prefix) ? std::strtod(name.c_str() + prefix.size(), nullptr) : 1e9;
}

std::vector<std::filesystem::path> usual_folders(const std::filesystem::path& home) {
    std::vector<std::filesystem::path> folders = matching("/usr/local/cuda*/lib64");
    std::ranges::stable_sort(folders, std::ranges::greater(), toolkit_release);
    std::vector<std::string> site_packages = {
        "/opt/*/.venv/lib/python3*/site-packages", "/opt/*/lib/python3*/site-packages",
        "/usr/local/lib/python3*/dist-packages", "/usr/lib/python3/dist-packages"};
    if (!home.empty()) site_packages.push_back((home / ".local/lib/python3*/site-packages").string());
    for (const std::string& packages : site_packages) {
        for (const char* wheel : {"/nvidia/cu13/lib", "/nvidia/cuda_nvrtc/lib"}) {
            std::ranges::copy(matching(packages + wheel), std::back_inserter(folders));
        }
    }
    return folders;
}

}  // namespace

std::vector<std::filesystem::path> nvrtc_candidates(const LibrarySearch& search) {
    std::vector<std::filesystem::path> candidates;
    std::vector<std::filesystem::path> folders;
    if (search.nvrtc.empty()) {
        candidates.assign(kNvrtcNames.begin(), kNvrtcNames.end());
        folders = usual_folders(search.home);
    }
    std::error_code ignored;
    for (const std::filesystem::path& given : search.nvrtc) {
        if (std::filesystem::is_directory(given, ignored)) {
            folders.insert(folders.end(), {given, given / "lib64", given / "lib"});
        } else {
            candidates.push_back(given);
        }
    }
    for (const std::filesystem::path& folder : folders) {
        for (const char* name : kNvrtcNames) {
            if (std::filesystem::exists(folder / name, ignored)) candidates.push_back(folder / name);
        }
    }
    return candidates;
}

}  // namespace attune
