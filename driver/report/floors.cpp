#include "report/floors.h"

#include <algorithm>
#include <vector>

#include "core/statistics.h"

namespace attune {

std::optional<DeviceLimits> device_limits(const std::string& device_name) {
    if (device_name == "NVIDIA H200") return DeviceLimits{790.0, 4.3};
    return std::nullopt;
}

double floor_ms(const CaseSpec& spec, const DeviceLimits& limits) {
    constexpr double kBlock = 128.0;
    constexpr double kFlopPerBlock = 4.0 * kBlock * kBlock * kBlock;  // two products of 128 x 128 x 128
    constexpr double kMsPerSecond = 1e3;
    const double flop = static_cast<double>(generate_mask(spec).nnz) * kFlopPerBlock;
    const double bytes = 4.0 * spec.batch_size * spec.num_heads * static_cast<double>(spec.t_max) * kBlock * 2.0;
    return std::max(flop / (limits.tflops * 1e12), bytes / (limits.terabytes_s * 1e12)) * kMsPerSecond;
}

FamilyTimes family_floors(const Suite& suite, const DeviceLimits& limits) {
    FamilyTimes floors;
    for (std::size_t i = 0; i < kFamilies.size(); ++i) {
        std::vector<double> times;
        for (const CaseSpec& spec : suite.cases) {
            if (spec.family == kFamilies[i]) times.push_back(floor_ms(spec, limits));
        }
        if (!times.empty()) floors[i] = median(times);
    }
    return floors;
}

}  // namespace attune
