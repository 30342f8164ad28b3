#include "core/target.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <thread>
#include <vector>

#include "core/error.h"

namespace attune {
namespace {

struct ArchRow {
    std::string_view name;
    int arch;
    int sm_count;
    int shared_limit_kib;   ///< a block may use
    int shared_per_sm_kib;  ///< a multiprocessor has
};

// CUDA C++ Programming Guide, "Technical Specifications per Compute Capability". The multiprocessors are those of A100,
// RTX A6000, Jetson Orin, L40S, H100 SXM, B200, B300 and RTX PRO 6000.
constexpr std::array kArchitectures{
    ArchRow{"sm_80", 80, 108, 163, 164},   ArchRow{"sm_86", 86, 84, 99, 100},
    ArchRow{"sm_87", 87, 16, 163, 164},    ArchRow{"sm_89", 89, 142, 99, 100},
    ArchRow{"sm_90", 90, 132, 227, 228},   ArchRow{"sm_90a", 90, 132, 227, 228},
    ArchRow{"sm_100", 100, 148, 227, 228}, ArchRow{"sm_100a", 100, 148, 227, 228},
    ArchRow{"sm_103", 103, 148, 227, 228}, ArchRow{"sm_103a", 103, 148, 227, 228},
    ArchRow{"sm_120", 120, 188, 99, 100},  ArchRow{"sm_120a", 120, 188, 99, 100},
};

}  // namespace

TargetFacts target_facts(const std::string& arch_name) {
    constexpr std::int64_t kKib = 1024;
    if (arch_name == "native") {
        const auto threads = static_cast<int>(std::thread::hardware_concurrency());
        return {DeviceKind::cpu, 0, arch_name, threads > 0 ? threads : 1, 0, 0, 0};
    }
    std::vector<std::string_view> names;
    for (const ArchRow& row : kArchitectures) {
        if (row.name == arch_name) {
            return {DeviceKind::cuda,
                    row.arch,
                    arch_name,
                    row.sm_count,
                    kKib * row.shared_limit_kib,
                    kKib * row.shared_per_sm_kib,
                    65536};
        }
        names.push_back(row.name);
    }
    throw InputError(fmt::format("unknown architecture '{}'; write one of: {}", arch_name, fmt::join(names, ", ")));
}

}  // namespace attune
