// What a check looks at after a variant ran: its outputs, the guard bands around them, and all it was only to read.
#pragma once

#include "attune/attn_args.h"
#include "device_args.h"

/// A thread's share of a comparison.
struct ErrorTally {
    float max_abs_error = 0.0F;
    float worst_ratio = 0.0F;
    unsigned long long bad_elements = 0;
    unsigned long long first_bad = ~0ULL;

    __device__ void add(float error, float ratio, long long index) {
        max_abs_error = fmaxf(max_abs_error, error);
        worst_ratio = fmaxf(worst_ratio, ratio);
        if (ratio <= 1.0F) return;
        ++bad_elements;
        if (first_bad > static_cast<unsigned long long>(index)) first_bad = static_cast<unsigned long long>(index);
    }
};

/// |a - b| <= atol + rtol |b|. Infinities must match in place and sign, and NaN, whose comparisons are all false,
/// counts as an infinite error: it never passes.
__device__ inline void compare_element(ErrorTally& tally, float actual, float expected, float atol, float rtol,
                                       long long index) {
    const float infinity = __uint_as_float(0x7f800000U);
    if (actual == expected) return;
    const float error = fabsf(actual - expected);
    if (!(error < infinity) || fabsf(expected) == infinity) {
        tally.add(infinity, infinity, index);
    } else {
        tally.add(error, error / (atol + rtol * fabsf(expected)), index);
    }
}

__device__ inline void merge(const ErrorTally& tally, TensorErrors* total) {
    if (tally.max_abs_error == 0.0F) return;
    atomicMax(&total->max_abs_error_bits, __float_as_uint(tally.max_abs_error));
    atomicMax(&total->worst_ratio_bits, __float_as_uint(tally.worst_ratio));
    if (tally.bad_elements == 0) return;
    atomicAdd(&total->bad_elements, tally.bad_elements);
    atomicMin(&total->first_bad, tally.first_bad);
}

extern "C" __global__ void __launch_bounds__(kDeviceThreads) attune_compare(const __grid_constant__ CompareArgs args) {
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    const long long first = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const float minus_infinity = __uint_as_float(0xff800000U);
    ErrorTally o;
    ErrorTally lse;
    for (long long element = first; element < args.rows * kHeadDim; element += stride) {
        const float actual = __uint_as_float(static_cast<unsigned int>(args.o[element]) << 16);
        const float expected = __uint_as_float(static_cast<unsigned int>(args.o_reference[element]) << 16);
        // Rows that attend to nothing are exactly zero: no tolerance.
        const bool exact = args.lse_reference[element / kHeadDim] == minus_infinity;
        compare_element(o, actual, expected, exact ? 0.0F : args.o_atol, exact ? 0.0F : args.o_rtol, element);
    }
    for (long long row = first; row < args.rows; row += stride) {
        compare_element(lse, args.lse[row], args.lse_reference[row], args.lse_atol, args.lse_rtol, row);
    }
    merge(o, &args.result->o);
    merge(lse, &args.result->lse);
}

extern "C" __global__ void __launch_bounds__(kDeviceThreads) attune_guards(const __grid_constant__ GuardArgs args) {
    const int stride = static_cast<int>(gridDim.x * blockDim.x);
    unsigned int damaged = 0;
    for (int word = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); word < args.words; word += stride) {
        for (int band = 0; band < kGuardBands; ++band) {
            damaged += args.bands[band][word] != args.pattern ? 1U : 0U;
        }
    }
    if (damaged != 0) atomicAdd(args.damaged, damaged);
}

extern "C" __global__ void __launch_bounds__(kDeviceThreads)
    attune_checksum(const __grid_constant__ ChecksumArgs args) {
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    unsigned long long sum = 0;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < args.count; i += stride) {
        // Odd multipliers that differ from word to word: a changed, swapped or zeroed word changes the sum.
        const unsigned long long odd = 2ULL * static_cast<unsigned long long>(i) * 0x9E3779B97F4A7C15ULL + 1ULL;
        sum += (args.words[i] + 1ULL) * odd;
    }
    for (int lane = 16; lane > 0; lane /= 2)
        sum += __shfl_xor_sync(0xffffffffU, sum, lane);
    if (threadIdx.x % 32 == 0) atomicAdd(args.sum, sum);
}
