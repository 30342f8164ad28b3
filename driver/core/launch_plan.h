// How one variant is launched on one shape: plain numbers that cross to the device worker.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace attune {

/// Shape of a call, for geometry expressions.
struct CallShape {
    int batch = 1;
    int heads = 1;
    int t_max = 128;
    int max_nnz = 1;
};

/// One CUtensorMap to encode, over a (batch * heads, t_max, 128) tensor of 16-bit elements.
struct TensorMapPlan {
    enum class Tensor { q, k, v, o, workspace };
    Tensor tensor = Tensor::q;
    bool fp16 = false;
    int rows = 0;
    int cols = 0;
    int swizzle_bytes = 0;
    std::int64_t workspace_offset_bytes = 0;
};

struct KernelLaunch {
    std::string entry;
    std::array<std::int64_t, 3> grid{1, 1, 1};
    int threads = 1;
    int shared_bytes = 0;  ///< dynamic
    int cluster = 1;       ///< blocks along x
};

/// All launches of one call, in order, and what they need beside the operator's tensors.
struct LaunchPlan {
    std::vector<KernelLaunch> kernels;
    std::vector<TensorMapPlan> tensor_maps;
    std::int64_t workspace_bytes = 0;
    std::int64_t workspace_clear_bytes = 0;
};

}  // namespace attune
