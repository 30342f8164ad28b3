// What ptxas says of a compiled program (--ptxas-options=-v), read from the compiler's log.
#pragma once

#include <string_view>
#include <vector>

#include "core/measurement.h"

namespace attune::cuda {

struct PtxasReport {
    std::vector<KernelResources> kernels;  ///< in the log's order; a kernel's callees are counted with it
    bool performance_warning = false;
};

/// Reads a program log. Lines it does not know are skipped; a log without `-v` output gives no kernels.
[[nodiscard]] PtxasReport parse_ptxas_log(std::string_view log);

}  // namespace attune::cuda
