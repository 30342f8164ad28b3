#include <fmt/format.h>

#include <array>
#include <functional>
#include <utility>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/library.h"
#include "core/error.h"

namespace attune {
namespace {

/// Runs `load` and turns its EnvironmentError, "what is missing; how to mend it", into a capability: `doctor` reports
/// what is missing where every other command stops.
Capability probe(std::string what, const std::function<std::string()>& load) {
    Capability capability;
    capability.what = std::move(what);
    try {
        capability.detail = load();
        capability.available = true;
    } catch (const EnvironmentError& error) {
        const std::string text = error.what();
        const std::size_t end = text.find("; ");
        capability.detail = text.substr(0, end);
        if (end != std::string::npos) capability.remedy = text.substr(end + 2);
    }
    return capability;
}

std::string cuda_release(int version) {
    return fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
}

std::string list_gpus(const cuda::DriverApi& api) {
    int count = 0;
    if (api.cuDeviceGetCount(&count) != CUDA_SUCCESS || count == 0) {
        throw EnvironmentError("the driver shows no GPU; compare `nvidia-smi -L` with CUDA_VISIBLE_DEVICES");
    }
    std::string names;
    for (int ordinal = 0; ordinal < count; ++ordinal) {
        CUdevice device = 0;
        std::array<char, 256> name{};
        if (api.cuDeviceGet(&device, ordinal) != CUDA_SUCCESS) continue;
        if (api.cuDeviceGetName(name.data(), static_cast<int>(name.size()), device) != CUDA_SUCCESS) continue;
        names += fmt::format("{}cuda:{} {}", names.empty() ? "" : ", ", ordinal, name.data());
    }
    return names;
}

/// 0 when the driver does not say.
int arch_of(const cuda::DriverApi& api, int ordinal) {
    CUdevice device = 0;
    int major = 0;
    int minor = 0;
    const bool is_known =
        api.cuDeviceGet(&device, ordinal) == CUDA_SUCCESS &&
        api.cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device) == CUDA_SUCCESS &&
        api.cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device) == CUDA_SUCCESS;
    return is_known ? 10 * major + minor : 0;
}

}  // namespace

bool cuda_backend_built() {
    return true;
}

std::vector<int> cuda_device_archs() {
    std::vector<int> archs;
    static_cast<void>(probe("", [&archs] {
        const auto api = cuda::load_driver();
        int count = 0;
        if (api->cuDeviceGetCount(&count) != CUDA_SUCCESS) count = 0;
        for (int ordinal = 0; ordinal < count; ++ordinal)
            archs.push_back(arch_of(*api, ordinal));
        return std::string();
    }));
    return archs;
}

int cuda_device_count() {
    return static_cast<int>(cuda_device_archs().size());
}

std::vector<Capability> cuda_capabilities(const LibrarySearch& search) {
    std::shared_ptr<const cuda::DriverApi> driver;
    std::shared_ptr<const cuda::NvrtcApi> nvrtc;
    std::vector<Capability> capabilities;
    capabilities.push_back(probe("CUDA driver", [&driver] {
        driver = cuda::load_driver();
        return cuda_release(driver->cuda_version);
    }));
    if (driver) capabilities.push_back(probe("CUDA GPU", [&driver] { return list_gpus(*driver); }));
    capabilities.push_back(probe("NVRTC", [&] {
        nvrtc = cuda::load_nvrtc(search);
        return fmt::format("{} in {}", nvrtc->name(), nvrtc->library.path().string());
    }));
    if (driver && nvrtc) {
        capabilities.push_back(probe("driver for NVRTC's code", [&] {
            if (driver->cuda_version / 1000 < nvrtc->major) {
                throw EnvironmentError(
                    fmt::format("{} is newer than the driver, which serves {}; update the driver or "
                                "name an NVRTC {} in ATTUNE_NVRTC",
                                nvrtc->name(), cuda_release(driver->cuda_version), driver->cuda_version / 1000));
            }
            return fmt::format("{} serves {}", cuda_release(driver->cuda_version), nvrtc->name());
        }));
    }
    return capabilities;
}

}  // namespace attune
