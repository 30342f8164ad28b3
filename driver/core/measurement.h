// What compiling, checking and timing a variant yields: plain values that cross process borders and reach the store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/workload.h"

namespace attune {

/// What the compiler says a kernel needs. -1: not reported.
struct KernelResources {
    std::string entry;
    int registers = -1;
    int shared_bytes = -1;  ///< static
    int spill_store_bytes = -1;
    int spill_load_bytes = -1;
    int stack_bytes = -1;
};

/// A compiled variant in the cache.
struct Artifact {
    std::string path;         ///< cubin or shared object
    std::string source_hash;  ///< SHA-256 of the source bundle
    std::string options;      ///< compiler options, joined by spaces
    std::string compiler;     ///< "NVRTC 13.0" or "g++ 12.2.0"
    std::string log;          ///< compiler's diagnostics, possibly long
    std::vector<KernelResources> kernels;
    bool performance_warning = false;  ///< a diagnostic that means a slow kernel (serialised wgmma, setmaxnreg ignored)
    double compile_s = 0.0;            ///< 0 when it came from the cache
    bool from_cache = false;
};

/// Errors of one check against the reference.
struct CheckReport {
    bool passed = false;
    double o_max_abs_error = 0.0;
    double o_worst_ratio = 0.0;  ///< worst |a-b| / (atol + rtol |b|); passes at <= 1
    double lse_max_abs_error = 0.0;
    double lse_worst_ratio = 0.0;
    std::int64_t o_bad_elements = 0;
    std::int64_t lse_bad_elements = 0;
    bool guards_intact = true;  ///< bands around o and lse unharmed
    std::string detail;         ///< first mismatch, in words; empty when passed
};

/// Raw latencies of one case, in the order taken.
struct Samples {
    std::vector<float> cold_ms;
    std::vector<float> warm_ms;
    bool throttled = false;  ///< the device reported a throttle reason while sampling
};

/// Alternating latencies of two variants on one case: pair i is (a_ms[i], b_ms[i]), taken next to each other.
struct PairedSamples {
    std::vector<float> a_ms;
    std::vector<float> b_ms;
};

/// How many samples to take. Counts are per case.
struct SampleRequest {
    int warmup = 3;
    int cold = 20;
    int warm = 10;
};

/// The machine a number was measured on; a row of `environments`.
struct EnvironmentFacts {
    std::string device_name;     ///< "NVIDIA H200", or the CPU's model name
    std::string device_uuid;     ///< GPU UUID; on a CPU "cpu:<host>"
    std::string driver_version;  ///< "580.159" ; kernel release on a CPU
    std::string compiler;        ///< "NVRTC 13.0"
    std::string host;
    std::string attune_version;
    int sm_clock_mhz = 0;  ///< at the time of reading; 0 unknown
    int memory_clock_mhz = 0;
    int temperature_c = 0;
    std::string throttle_reasons;  ///< comma-separated, "none", or empty when unknown
};

}  // namespace attune
