// libcuda and libnvrtc, loaded at run time: one binary runs on machines with and without them. Function types come from
// NVIDIA's headers, which are needed to build this folder but never to run.
#pragma once

#include <cuda.h>
#include <nvrtc.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "backend/cuda/library_search.h"

namespace attune::cuda {

/// Owns a dlopen handle. The libraries themselves stay mapped: NVIDIA's start threads that outlive a dlclose.
class SharedLibrary {
  public:
    /// Nothing when the loader refuses; `why` then holds its words.
    static std::optional<SharedLibrary> open(const std::filesystem::path& file, std::string& why);

    ~SharedLibrary();
    SharedLibrary(SharedLibrary&& other) noexcept;
    SharedLibrary& operator=(SharedLibrary&& other) noexcept;

    /// nullptr when the library has no such symbol.
    [[nodiscard]] void* symbol(const char* name) const;
    /// The file the loader chose.
    [[nodiscard]] std::filesystem::path path() const;

  private:
    explicit SharedLibrary(void* handle) : handle_(handle) {}
    void* handle_ = nullptr;
};

// Driver functions in use. They are asked for in their CUDA 12.0 form, the oldest driver that encodes tensor maps, so
// only those whose signature has not changed since belong here.
#define ATTUNE_DRIVER_FUNCTIONS(X) \
    X(cuInit)                      \
    X(cuDriverGetVersion)          \
    X(cuGetErrorName)              \
    X(cuGetErrorString)            \
    X(cuDeviceGet)                 \
    X(cuDeviceGetCount)            \
    X(cuDeviceGetName)             \
    X(cuDeviceGetUuid)             \
    X(cuDeviceGetAttribute)        \
    X(cuDevicePrimaryCtxRetain)    \
    X(cuDevicePrimaryCtxRelease)   \
    X(cuCtxSetCurrent)             \
    X(cuCtxSynchronize)            \
    X(cuMemGetInfo)                \
    X(cuMemAlloc)                  \
    X(cuMemFree)                   \
    X(cuMemcpyHtoDAsync)           \
    X(cuMemcpyDtoHAsync)           \
    X(cuMemsetD8Async)             \
    X(cuMemsetD32Async)            \
    X(cuModuleLoadData)            \
    X(cuModuleUnload)              \
    X(cuModuleGetFunction)         \
    X(cuFuncSetAttribute)          \
    X(cuLaunchKernelEx)            \
    X(cuTensorMapEncodeTiled)      \
    X(cuStreamCreate)              \
    X(cuStreamDestroy)             \
    X(cuStreamSynchronize)         \
    X(cuEventCreate)               \
    X(cuEventDestroy)              \
    X(cuEventRecord)               \
    X(cuEventQuery)                \
    X(cuEventElapsedTime)

#define ATTUNE_NVRTC_FUNCTIONS(X) \
    X(nvrtcVersion)               \
    X(nvrtcGetErrorString)        \
    X(nvrtcGetNumSupportedArchs)  \
    X(nvrtcGetSupportedArchs)     \
    X(nvrtcCreateProgram)         \
    X(nvrtcDestroyProgram)        \
    X(nvrtcCompileProgram)        \
    X(nvrtcGetProgramLogSize)     \
    X(nvrtcGetProgramLog)         \
    X(nvrtcGetCUBINSize)          \
    X(nvrtcGetCUBIN)

#define ATTUNE_DECLARE_FUNCTION(name) decltype(&::name) name = nullptr;

/// The driver API, initialised. Immutable; whoever owns a handle keeps it alive.
struct DriverApi {
    SharedLibrary library;
    int cuda_version = 0;  ///< 13000: the newest CUDA the driver serves
    ATTUNE_DRIVER_FUNCTIONS(ATTUNE_DECLARE_FUNCTION)
};

/// NVRTC with its builtins library at hand.
struct NvrtcApi {
    SharedLibrary library;
    std::optional<SharedLibrary> builtins;
    int major = 0;
    int minor = 0;
    ATTUNE_NVRTC_FUNCTIONS(ATTUNE_DECLARE_FUNCTION)

    /// "NVRTC 13.0"
    [[nodiscard]] std::string name() const;
};

#undef ATTUNE_DECLARE_FUNCTION

/// Loads libcuda and initialises it. EnvironmentError says what is missing and how to mend it.
[[nodiscard]] std::shared_ptr<const DriverApi> load_driver();

/// Loads the first usable NVRTC. EnvironmentError says what was tried and how to get one.
[[nodiscard]] std::shared_ptr<const NvrtcApi> load_nvrtc(const LibrarySearch& search);

}  // namespace attune::cuda
