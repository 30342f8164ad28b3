// What the driver says of a GPU.
#pragma once

#include <string>

#include "backend/cuda/handles.h"
#include "core/target.h"

namespace attune::cuda {

struct GpuFacts {
    TargetFacts target;
    std::string name;  ///< "NVIDIA H200"
    std::string uuid;  ///< "GPU-0c7a…", as nvidia-smi writes it
    std::size_t l2_bytes = 0;
};

[[nodiscard]] GpuFacts read_gpu_facts(const DriverApi& api, const Context& context);

/// What NVRTC is told for a compute capability. From 9.0 on instructions such as wgmma exist only under the name with
/// an `a`.
[[nodiscard]] std::string arch_name(int major, int minor);

}  // namespace attune::cuda
