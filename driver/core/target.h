// Facts of a machine that geometry and legality depend on.
#pragma once

#include <cstdint>
#include <string>

namespace attune {

enum class DeviceKind { cuda, cpu };

/// Facts of the machine a variant is compiled for; enough to reject by arithmetic what cannot run there.
struct TargetFacts {
    DeviceKind kind = DeviceKind::cuda;
    int arch = 90;                     ///< compute capability x 10; 0 on a CPU
    std::string arch_name = "sm_90a";  ///< what the compiler is told: sm_80, sm_90a; "native" on a CPU
    int sm_count = 132;                ///< multiprocessors, or hardware threads on a CPU
    std::int64_t shared_limit_bytes = 232448;
    std::int64_t shared_per_sm_bytes = 233472;
    int registers_per_sm = 65536;
};

/// Facts of `arch_name` ("sm_80", "sm_90a") from NVIDIA's tables, for compiling with no GPU present; multiprocessors
/// are those of the architecture's usual data-centre part. "native" is this machine's CPU. InputError when unknown.
[[nodiscard]] TargetFacts target_facts(const std::string& arch_name);

}  // namespace attune
