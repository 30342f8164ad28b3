// The first wrong element of a check, in words.
#pragma once

#include <string>

#include "backend/cuda/draw_store.h"

namespace attune::cuda {

/// Names batch, head, row, column and both values of the first element of lse, or else of o, that `result` calls bad.
[[nodiscard]] std::string describe_mismatch(const DriverApi& api, CUstream stream, const CaseSpec& spec,
                                            const DrawData& data, const CompareArgs& compared,
                                            const CompareResult& result);

}  // namespace attune::cuda
