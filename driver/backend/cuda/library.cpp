#include "backend/cuda/library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <utility>

#include "core/error.h"

namespace attune::cuda {
namespace {

/// Driver functions are resolved as of this CUDA version.
constexpr int kDriverAbi = 12000;

SharedLibrary open_driver_library() {
    std::string why;
    auto library = SharedLibrary::open("libcuda.so.1", why);
    if (!library) {
        throw EnvironmentError(
            fmt::format("no CUDA driver: {}; install NVIDIA's driver 525 or newer "
                        "(Debian, Ubuntu: apt install nvidia-driver), or use --device cpu",
                        why));
    }
    return std::move(*library);
}

void initialise(DriverApi& api) {
    const auto outdated = [](const char* name) {
        return EnvironmentError(
            fmt::format("the CUDA driver has no {}: update NVIDIA's driver to 525 (CUDA 12.0) or newer", name));
    };
    using GetProcAddress = CUresult (*)(const char*, void**, int, cuuint64_t, CUdriverProcAddressQueryResult*);
    const auto get = reinterpret_cast<GetProcAddress>(api.library.symbol("cuGetProcAddress_v2"));
    if (get == nullptr) throw outdated("cuGetProcAddress_v2");
    const auto resolve = [&](const char* name) {
        void* address = nullptr;
        CUdriverProcAddressQueryResult found{};
        if (get(name, &address, kDriverAbi, CU_GET_PROC_ADDRESS_DEFAULT, &found) != CUDA_SUCCESS ||
            address == nullptr) {
            throw outdated(name);
        }
        return address;
    };
#define ATTUNE_RESOLVE(name) api.name = reinterpret_cast<decltype(api.name)>(resolve(#name));
    ATTUNE_DRIVER_FUNCTIONS(ATTUNE_RESOLVE)
#undef ATTUNE_RESOLVE

    const CUresult status = api.cuInit(0);
    if (status != CUDA_SUCCESS) {
        const char* name = "an unknown error";
        const char* text = "";
        static_cast<void>(api.cuGetErrorName(status, &name));
        static_cast<void>(api.cuGetErrorString(status, &text));
        throw EnvironmentError(
            fmt::format("the CUDA driver does not start: {} ({}); see whether nvidia-smi lists a GPU "
                        "and this user may open /dev/nvidia*, or use --device cpu",
                        name, text));
    }
    static_cast<void>(api.cuDriverGetVersion(&api.cuda_version));
}

/// Fills the table from an opened library; false when a function is missing.
bool resolve_nvrtc(NvrtcApi& api) {
    bool complete = true;
#define ATTUNE_RESOLVE(name)                                                    \
    api.name = reinterpret_cast<decltype(api.name)>(api.library.symbol(#name)); \
    complete = complete && api.name != nullptr;
    ATTUNE_NVRTC_FUNCTIONS(ATTUNE_RESOLVE)
#undef ATTUNE_RESOLVE
    return complete && api.nvrtcVersion(&api.major, &api.minor) == NVRTC_SUCCESS;
}

}  // namespace

std::optional<SharedLibrary> SharedLibrary::open(const std::filesystem::path& file, std::string& why) {
    void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == nullptr) {
        const char* words = ::dlerror();
        why = words != nullptr ? words : file.string() + " cannot be loaded";
        return std::nullopt;
    }
    return SharedLibrary(handle);
}

SharedLibrary::~SharedLibrary() {
    if (handle_ != nullptr) ::dlclose(handle_);
}

SharedLibrary::SharedLibrary(SharedLibrary&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

SharedLibrary& SharedLibrary::operator=(SharedLibrary&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
}

void* SharedLibrary::symbol(const char* name) const {
    return ::dlsym(handle_, name);
}

std::filesystem::path SharedLibrary::path() const {
    const link_map* map = nullptr;
    if (::dlinfo(handle_, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr) return {};
    return map->l_name;
}

std::string NvrtcApi::name() const {
    return fmt::format("NVRTC {}.{}", major, minor);
}

std::shared_ptr<const DriverApi> load_driver() {
    auto api = std::make_shared<DriverApi>(DriverApi{open_driver_library()});
    initialise(*api);
    return api;
}

std::shared_ptr<const NvrtcApi> load_nvrtc(const LibrarySearch& search) {
    std::string first_refusal;
    for (const std::filesystem::path& file : nvrtc_candidates(search)) {
        std::string why;
        auto library = SharedLibrary::open(file, why);
        if (!library) {
            if (first_refusal.empty()) first_refusal = why;
            continue;
        }
        auto api = std::make_shared<NvrtcApi>(NvrtcApi{std::move(*library), std::nullopt});
        if (!resolve_nvrtc(*api)) {
            if (first_refusal.empty()) first_refusal = file.string() + " lacks functions of NVRTC 12";
            continue;
        }
        // NVRTC asks the loader for its builtins by bare name, which fails outside the loader's path unless they are
        // loaded already.
        const auto builtins = fmt::format("libnvrtc-builtins.so.{}.{}", api->major, api->minor);
        api->builtins = SharedLibrary::open(api->library.path().parent_path() / builtins, why);
        return api;
    }
    std::string places =
        search.nvrtc.empty() ? "the loader's path, /usr/local/cuda*/lib64 and Python's site-packages" : "";
    for (const std::filesystem::path& given : search.nvrtc)
        places += (places.empty() ? "" : ", ") + given.string();
    if (first_refusal.empty()) first_refusal = "no libnvrtc.so";
    throw EnvironmentError(
        fmt::format("no NVRTC in {}: {}; install it (pip install nvidia-cuda-nvrtc, or the CUDA "
                    "toolkit) or name its folder in ATTUNE_NVRTC",
                    places, first_refusal));
}

}  // namespace attune::cuda
