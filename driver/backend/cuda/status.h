// What a driver call answered, as a value: whether it is a candidate's failure or a broken machine is the caller's to
// say.
#pragma once

#include <string>
#include <string_view>

#include "backend/cuda/library.h"

namespace attune::cuda {

/// Where in the driver a call stands (std::source_location, which Clang 14 lacks).
struct CallSite {
    const char* file;
    int line;
    static constexpr CallSite here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {file, line};
    }
};

struct [[nodiscard]] CudaStatus {
    CUresult code = CUDA_SUCCESS;
    std::string
        text;  ///< "cuModuleLoadData: CUDA_ERROR_INVALID_IMAGE (device kernel image is invalid) at variant.cpp:40"

    [[nodiscard]] bool ok() const { return code == CUDA_SUCCESS; }
};

/// The answer `code` of `call`, put into words when it is an error.
CudaStatus check(const DriverApi& api, CUresult code, std::string_view call, CallSite where = CallSite::here());

/// Throws EnvironmentError unless `status` is success: for work in which no candidate has a part.
void require(const CudaStatus& status);
void require(const DriverApi& api, CUresult code, std::string_view call, CallSite where = CallSite::here());

/// Whether the error tells of failing hardware, which no candidate is to blame for.
[[nodiscard]] bool is_hardware_failure(CUresult code);

}  // namespace attune::cuda
