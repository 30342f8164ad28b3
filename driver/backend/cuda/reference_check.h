// The device's own generator and reference against the CPU's.
#pragma once

#include "backend/cuda/draw_store.h"

namespace attune::cuda {

/// Compares inputs bit by bit and a sample of output rows with core/reference.h, in the first and the last head of the
/// case. EnvironmentError, saying where, when they disagree: then no verdict of this GPU can be trusted.
void verify_draw(const DriverApi& api, CUstream stream, const CaseSpec& spec, Draw draw, const DrawData& data);

}  // namespace attune::cuda
