// The driver's own kernels on one GPU, launched on one stream without waiting. Their refusal is a value: while a
// candidate's kernels are in flight it may well be the candidate's error that comes back.
#pragma once

#include <cstdint>
#include <string>

#include "attune/attn_args.h"
#include "backend/backend.h"
#include "backend/cuda/device_code/device_args.h"
#include "backend/cuda/handles.h"
#include "core/philox.h"

namespace attune::cuda {

/// Grid, block and resources of one launch.
struct LaunchShape {
    unsigned grid_x = 1;
    unsigned grid_y = 1;
    unsigned grid_z = 1;
    unsigned threads = 1;
    unsigned shared_bytes = 0;  ///< dynamic
    unsigned cluster = 1;       ///< blocks along x
};

/// Launches a kernel whose one parameter is the struct at `args`, which is copied.
[[nodiscard]] CUresult launch(const DriverApi& api, CUstream stream, CUfunction function, const LaunchShape& shape,
                              const void* args);

/// The function `name` of a module.
CudaStatus find_function(const DriverApi& api, const Module& module, const std::string& name, CUfunction& function);

class DeviceKernels {
  public:
    /// Compiles (or takes from the cache) for `arch_name` and loads into the current context. EnvironmentError when the
    /// compiler or the driver refuses.
    DeviceKernels(DriverPtr api, CUstream stream, Compiler& compiler, const std::string& arch_name, int sm_count);

    /// Name of the compiler that made them: "NVRTC 13.0".
    [[nodiscard]] const std::string& compiler_name() const { return compiler_name_; }

    CudaStatus generate(const GenerateArgs& args) const;
    /// Writes o and lse of the call described by `args`.
    CudaStatus reference(const AttnArgs& args) const;
    CudaStatus compare(const CompareArgs& args) const;
    CudaStatus guards(const GuardArgs& args) const;
    CudaStatus checksum(const ChecksumArgs& args) const;
    CudaStatus flush(const FlushArgs& args) const;
    CudaStatus delay(const DelayArgs& args) const;

  private:
    template <class Args>
    CudaStatus launch_wide(CUfunction function, const Args& args) const;

    DriverPtr api_;
    CUstream stream_;
    unsigned wide_blocks_;  ///< of a grid-stride loop: enough to fill the GPU
    std::string compiler_name_;
    Module module_;
    CUfunction generate_ = nullptr;
    CUfunction reference_ = nullptr;
    CUfunction compare_ = nullptr;
    CUfunction guards_ = nullptr;
    CUfunction checksum_ = nullptr;
    CUfunction flush_ = nullptr;
    CUfunction delay_ = nullptr;
};

}  // namespace attune::cuda
