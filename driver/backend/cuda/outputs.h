// Where variants write: o and lse with guard bands around them.
#pragma once

#include <cstdint>

#include "backend/cuda/device_kernels.h"

namespace attune::cuda {

class Outputs {
  public:
    /// Room for calls of up to `max_rows` rows (batch * heads * t_max).
    Outputs(DriverPtr api, const DeviceKernels& kernels, CUstream stream, std::int64_t max_rows);

    /// Makes o and lse NaN throughout and renews the guard bands, for a call of `rows` rows.
    void poison(std::int64_t rows);
    /// Whether the bands that `poison(rows)` wrote are unharmed, and that of a workspace (nullptr: it has none). Waits
    /// for the stream.
    [[nodiscard]] bool guards_intact(std::int64_t rows, const unsigned* workspace_guard) const;

    [[nodiscard]] unsigned short* o() const;
    [[nodiscard]] float* lse(std::int64_t rows) const;

  private:
    DriverPtr api_;
    const DeviceKernels& kernels_;
    CUstream stream_;
    DeviceBuffer memory_;  ///< guard, o, guard, lse, guard
    DeviceBuffer damaged_;
};

}  // namespace attune::cuda
