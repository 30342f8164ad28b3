// How a variant is launched, with everything known but the call itself: what a package's runtimes are generated from.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/kernel_template.h"

namespace attune {

/// A launch whose grid is code over the call (export/expression_code.h).
struct KernelCode {
    std::string entry;
    std::array<std::string, 3> grid;
    int threads = 1;
    int shared_bytes = 0;
    int cluster = 1;
};

struct TensorMapCode {
    TensorMapPlan::Tensor tensor = TensorMapPlan::Tensor::q;
    bool fp16 = false;
    int rows = 0;
    int cols = 0;
    int swizzle_bytes = 0;
    std::string offset_bytes;
};

struct GeometryCode {
    std::vector<KernelCode> kernels;
    std::vector<TensorMapCode> tensor_maps;
    std::string workspace_bytes;
    std::string workspace_clear_bytes;
};

/// Names a call's code may read, as members of `c`.
[[nodiscard]] const std::vector<std::string>& call_names();

/// The geometry of a candidate (in the template's own parameter order), its parameters and derived values folded in.
[[nodiscard]] GeometryCode geometry_code(const KernelTemplate& kernel_template, const Candidate& candidate);

[[nodiscard]] std::string_view tensor_name(TensorMapPlan::Tensor tensor);

}  // namespace attune
