// What is read from this machine's /proc and /sys.
#pragma once

#include <cstdint>
#include <string>

namespace attune::cpu {

struct HostFacts {
    std::string cpu_model;       ///< "AMD EPYC", or the architecture when the kernel names none
    std::string cpu_identity;    ///< model and instruction-set flags: what `-march=native` depends on
    std::string kernel_release;  ///< uname -r
    std::string host;
    std::int64_t cache_bytes = 0;  ///< all data caches of level 2 and up, over all processors; a guess when unknown
    std::int64_t memory_bytes = 0;
    int clock_mhz = 0;  ///< of the first processor, now; 0 unknown
};

[[nodiscard]] HostFacts read_host_facts();

}  // namespace attune::cpu
