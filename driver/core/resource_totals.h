// What a variant's kernels need, added up: in the record, and as features of a strategy's model.
#pragma once

#include "core/measurement.h"

namespace attune {

/// Over all kernels of a variant; -1 where none was reported.
struct ResourceTotals {
    int registers = -1;     ///< of the kernel with most
    int shared_bytes = -1;  ///< of the kernel with most
    int spill_bytes = -1;   ///< stores and loads of all kernels
};

[[nodiscard]] ResourceTotals totals_of(const Artifact& artifact);

}  // namespace attune
