// Online softmax on wgmma accumulators (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).
//
// Accumulator layout of m64nNk16: thread t of the warpgroup holds, as element i, row 16 (t / 32) + (t % 32) / 4 +
// 8 ((i / 2) % 2) and column 8 (i / 4) + 2 (t % 4) + i % 2. So a thread has parts of two rows, and the four threads of
// a quad share them.
//
// While one consumer warpgroup is here, the other is busy with its products: each scheduler has a single warp to issue
// from, and the length of this code, not the throughput of any unit, sets the pace (docs/kernels.md). Hence the ways
// below to leave instructions out.
#pragma once

#include "geometry.cuh"

constexpr int kRowsPerThread = 2;
constexpr float kLn2 = 0.69314718055994531f;
constexpr float kLog2E = 1.4426950408889634f;

/// The exponentials are relative to a reference, which the textbook moves whenever a row's maximum grows. Any reference
/// gives the same quotient o / sum as long as nothing overflows, and bf16 and fp32 reach 2^127. So there is a choice:
/// - always: the textbook;
/// - lazy: only when a score exceeds it by a factor of 2^kLazyLimit (FlashAttention-4 does this; fp16 P allows 2^15);
/// - never: the largest of a task's first tile stays the reference, no maximum is looked for after that, and the rare
///   task whose sums pass kLargestSum is computed once more by other means (exact.cuh).
/// The exponential of the reference itself is 1, which bf16 holds exactly: rounding then spares one of a row's largest
/// probabilities wherever the reference is its maximum.
constexpr bool kLazy = Tune::rescale == Tune::rescale_lazy;
constexpr bool kFixed = Tune::rescale == Tune::rescale_never;
constexpr float kLazyLimit = 8.f;
constexpr float kLargestSum = 1.8446744e19f;  // 2^64: leaves room for |v| up to 2^62

/// Running statistics of a thread's two rows, in units of the raw product q.k unless said otherwise.
struct RowStats {
    float reference[kRowsPerThread];  // subtracted before exponentiation; the largest score when it was last moved
    float shift[kRowsPerThread];      // the reference in units of log2
    float limit[kRowsPerThread];      // scores above it move the reference; NaN: always look
    float sum[kRowsPerThread];        // of this thread's exponentials

    DEVICE void reset() {
#pragma unroll
        for (int r = 0; r < kRowsPerThread; ++r) {
            reference[r] = negative_infinity();
            limit[r] = not_a_number();
            sum[r] = 0.f;
        }
    }
};

DEVICE float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

DEVICE float quad_sum(float x) {
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

/// Row of element i within the thread's rows.
DEVICE constexpr int row_of(int i) {
    return (i >> 1) & 1;
}

/// Causal mask. `last_key[r]` is the last key that row r may see, counted from the tile's first column of this thread.
template <int kCount>
DEVICE void mask_causal(float (&s)[kCount], const int (&last_key)[kRowsPerThread]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
        if ((i / 4) * 8 + (i & 1) > last_key[row_of(i)]) s[i] = negative_infinity();
}

/// Whether any of elements [kBegin, kEnd) exceeds its row's limit. Compares bit patterns as integers, three at a time
/// (VIMNMX3 halves the instructions): that finds the largest score if one is positive. If all are negative it finds
/// another of them, which is right as well, since only a limit below zero could tell and that one is NaN.
template <int kBegin, int kEnd, int kCount>
DEVICE bool exceeds_limit(const float (&s)[kCount], const RowStats& stats) {
    bool exceeds = false;
#pragma unroll
    for (int r = 0; r < kRowsPerThread; ++r) {
        int even = __float_as_int(s[kBegin + 2 * r]), odd = __float_as_int(s[kBegin + 2 * r + 1]);
#pragma unroll
        for (int i = kBegin + 4; i + 4 < kEnd; i += 8) {
            even = max(max(even, __float_as_int(s[i + 2 * r])), __float_as_int(s[i + 2 * r + 1]));
            odd = max(max(odd, __float_as_int(s[i + 4 + 2 * r])), __float_as_int(s[i + 4 + 2 * r + 1]));
        }
        const int i = kEnd - 4 + 2 * r;
        const int largest = max(max(even, odd), max(__float_as_int(s[i]), __float_as_int(s[i + 1])));
        exceeds |= !(__int_as_float(largest) <= stats.limit[r]);
    }
    return exceeds;
}

/// Largest of elements [kBegin, kEnd) of each row, over the quad.
template <int kBegin, int kEnd, int kCount>
DEVICE void row_max(const float (&s)[kCount], float (&result)[kRowsPerThread]) {
#pragma unroll
    for (int r = 0; r < kRowsPerThread; ++r) {
        float even = s[kBegin + 2 * r], odd = s[kBegin + 2 * r + 1];
#pragma unroll
        for (int i = kBegin + 4; i < kEnd; i += 4) {
            even = fmaxf(even, s[i + 2 * r]);
            odd = fmaxf(odd, s[i + 2 * r + 1]);
        }
        result[r] = quad_max(fmaxf(even, odd));
    }
}

/// Moves the references if the scores in [kBegin, kEnd) ask for it, with everything computed from them so far: sums,
/// the exponentials in [0, kBegin), and by way of `factor` what the caller holds. Returns whether it did; all threads
/// of a warp agree. `first`: the first scores of a task.
template <int kBegin, int kEnd, int kCount>
DEVICE bool raise_reference(float (&s)[kCount], RowStats& stats, float scale_log2, float (&factor)[kRowsPerThread],
                            bool first) {
    if (kFixed && !first) return false;
    if (kLazy && !__any_sync(~0u, exceeds_limit<kBegin, kEnd>(s, stats))) return false;
    float largest[kRowsPerThread], moved[kRowsPerThread];
    row_max<kBegin, kEnd>(s, largest);
#pragma unroll
    for (int r = 0; r < kRowsPerThread; ++r) {
        const float reference = fmaxf(stats.reference[r], largest[r]);
        moved[r] = exp2_approx((stats.reference[r] - reference) * scale_log2);
        stats.reference[r] = reference;
        stats.shift[r] = reference * scale_log2;
        stats.limit[r] = stats.shift[r] >= -kLazyLimit ? reference + kLazyLimit / scale_log2 : not_a_number();
        stats.sum[r] *= moved[r];
        factor[r] *= moved[r];
    }
#pragma unroll
    for (int i = 0; i < kBegin; ++i)
        s[i] *= moved[row_of(i)];
    return true;
}

/// Turns scores in [kBegin, kEnd) into exponentials relative to the references and adds them to the sums.
template <int kBegin, int kEnd, int kCount>
DEVICE void exponentiate(float (&s)[kCount], RowStats& stats, float scale_log2) {
#pragma unroll
    for (int r = 0; r < kRowsPerThread; ++r) {
        float sum[2] = {0.f, 0.f};
#pragma unroll
        for (int i = kBegin + 2 * r; i < kEnd; i += 4) {
#pragma unroll
            for (int odd = 0; odd < 2; ++odd) {
                s[i + odd] = exp2_approx(__fmaf_rn(s[i + odd], scale_log2, -stats.shift[r]));
                sum[odd] += s[i + odd];
            }
        }
        stats.sum[r] += sum[0] + sum[1];
    }
}

DEVICE void scale_rows(float (&o)[64], const float (&factor)[kRowsPerThread]) {
#pragma unroll
    for (int i = 0; i < 64; ++i)
        o[i] *= factor[row_of(i)];
}

/// Probabilities as the left operand of P.V: pairs of accumulators are already in the layout that wgmma wants of A.
template <int kCount, int kPairs>
DEVICE void pack_probabilities(const float (&s)[kCount], u32 (&p)[kPairs]) {
    static_assert(kPairs >= kCount / 2, "p must hold a pair for every two scores");
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i)
        p[i] = kFp16 ? pack_fp16(s[2 * i], s[2 * i + 1]) : pack_bf16(s[2 * i], s[2 * i + 1]);
}

/// What rounding to bf16 lost, itself as bf16: p + lost carries 16 bits.
template <int kCount, int kPairs>
DEVICE void pack_rounding_errors(const float (&s)[kCount], const u32 (&p)[kPairs], u32 (&lost)[kPairs]) {
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i)
        lost[i] = pack_bf16(s[2 * i] - bf16_low(p[i]), s[2 * i + 1] - bf16_high(p[i]));
}
