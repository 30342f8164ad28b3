#include "backend/cuda/status.h"

#include <fmt/format.h>

#include "core/error.h"

namespace attune::cuda {

CudaStatus check(const DriverApi& api, CUresult code, std::string_view call, CallSite where) {
    if (code == CUDA_SUCCESS) return {};
    const char* name = nullptr;
    const char* text = nullptr;
    static_cast<void>(api.cuGetErrorName(code, &name));
    static_cast<void>(api.cuGetErrorString(code, &text));
    const std::string_view path = where.file;
    return {code, fmt::format("{}: {} ({}) at {}:{}", call, name != nullptr ? name : fmt::format("error {}", int{code}),
                              text != nullptr ? text : "no description", path.substr(path.rfind('/') + 1), where.line)};
}

void require(const CudaStatus& status) {
    if (status.ok()) return;
    const char* remedy = "see `nvidia-smi` and `dmesg` for the state of the GPU";
    if (status.code == CUDA_ERROR_OUT_OF_MEMORY) remedy = "free memory of the GPU (`nvidia-smi` lists who holds it)";
    throw EnvironmentError(fmt::format("the GPU refuses its work: {}; {}", status.text, remedy));
}

void require(const DriverApi& api, CUresult code, std::string_view call, CallSite where) {
    require(check(api, code, call, where));
}

bool is_hardware_failure(CUresult code) {
    return code == CUDA_ERROR_ECC_UNCORRECTABLE || code == CUDA_ERROR_NVLINK_UNCORRECTABLE ||
           code == CUDA_ERROR_DEVICE_UNAVAILABLE || code == CUDA_ERROR_SYSTEM_NOT_READY;
}

}  // namespace attune::cuda
