// Arguments of the driver's own kernels, each one struct passed by value. Both compilers include this text, so that
// they agree on every layout; it includes nothing, so that NVRTC needs no include path.
#pragma once

/// Threads a block of every kernel here has.
constexpr int kDeviceThreads = 256;

/// Writes one tensor of a draw (core/philox.h).
struct GenerateArgs {
    unsigned short* out;          ///< 4 * groups bf16
    const unsigned short* table;  ///< 2^kQuantileBits quantiles, a stress's factor applied
    long long groups;
    unsigned long long seed;
    unsigned int draw;
    unsigned int tensor;
};

/// What a comparison found of one tensor. Maxima are bits of floats that are not negative, which order like integers.
struct TensorErrors {
    unsigned int max_abs_error_bits;
    unsigned int worst_ratio_bits;
    unsigned long long bad_elements;
    unsigned long long first_bad;  ///< index of the first bad element; all ones when there is none
};

struct CompareResult {
    TensorErrors o;
    TensorErrors lse;
};

/// Compares o and lse with a reference.
struct CompareArgs {
    const unsigned short* o;
    const unsigned short* o_reference;
    const float* lse;
    const float* lse_reference;
    CompareResult* result;
    long long rows;  ///< elements of lse; o has 128 for each
    float o_atol;
    float o_rtol;
    float lse_atol;
    float lse_rtol;
};

/// Adds a checksum of `words` to `sum`.
struct ChecksumArgs {
    const unsigned int* words;
    long long count;
    unsigned long long* sum;
};

/// Bands of `words` words each, which should hold `pattern` throughout.
constexpr int kGuardBands = 4;
struct GuardArgs {
    const unsigned int* bands[kGuardBands];
    int words;
    unsigned int pattern;
    unsigned int* damaged;  ///< words that do not
};

/// Overwrites a buffer larger than the L2 cache.
struct FlushArgs {
    unsigned int* words;
    long long count;
    unsigned int salt;
    int evict_last;  ///< 1: the lines written are the last to leave the cache
};

/// Keeps the stream busy while the host enqueues what is to be timed.
struct DelayArgs {
    unsigned long long duration_ns;
};
