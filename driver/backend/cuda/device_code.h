// The driver's own kernels: sources, arguments and launches.
#pragma once

#include <string>

#include "backend/backend.h"

namespace attune::cuda {

/// The compile job of all of them, self-contained like a candidate's.
[[nodiscard]] CompileJob device_code_job(const std::string& arch_name);

}  // namespace attune::cuda
