#include "core/resource_totals.h"

#include <algorithm>

namespace attune {

ResourceTotals totals_of(const Artifact& artifact) {
    ResourceTotals totals;
    for (const KernelResources& kernel : artifact.kernels) {
        totals.registers = std::max(totals.registers, kernel.registers);
        totals.shared_bytes = std::max(totals.shared_bytes, kernel.shared_bytes);
        if (kernel.spill_store_bytes < 0 && kernel.spill_load_bytes < 0) continue;
        totals.spill_bytes = std::max(totals.spill_bytes, 0) + std::max(kernel.spill_store_bytes, 0) +
                             std::max(kernel.spill_load_bytes, 0);
    }
    return totals;
}

}  // namespace attune
