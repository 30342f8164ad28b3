// How fast a case could be at most on a device whose limits have been measured.
#pragma once

#include <optional>
#include <string>

#include "core/record.h"
#include "core/workload.h"

namespace attune {

/// What a device was measured to reach with plain work: large bf16 matrix products, and copies.
struct DeviceLimits {
    double tflops;       ///< bf16 matrix products
    double terabytes_s;  ///< copies
};

/// Nothing for a device nobody has measured.
[[nodiscard]] std::optional<DeviceLimits> device_limits(const std::string& device_name);

/// The larger of two times, in ms: multiplying every listed block whole, and moving q, k, v and o once.
[[nodiscard]] double floor_ms(const CaseSpec& spec, const DeviceLimits& limits);

/// Median floor of each family's cases, to compare family times with.
[[nodiscard]] FamilyTimes family_floors(const Suite& suite, const DeviceLimits& limits);

}  // namespace attune
