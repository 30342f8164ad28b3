// One query row by the definition, without tensor cores: for the rare rows whose exponentials overflow a fixed
// reference (softmax.cuh). A hundred times slower than the main path, and right for any finite scores.
#pragma once

#include "geometry.cuh"
#include "softmax.cuh"

/// A NaN no arithmetic produces: stands in lse for a row that is still to be computed exactly.
constexpr int kOverflowMark = 0x7fc0a77e;

DEVICE float warp_sum(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        x += __shfl_xor_sync(~0u, x, step);
    return x;
}

/// q.k of two rows of 128 bf16, spread over the warp: lane l holds elements 4 l to 4 l + 3 of q.
DEVICE float dot_row(const float (&q)[4], const u16* k, int lane) {
    const uint2 pairs = *reinterpret_cast<const uint2*>(k + 4 * lane);
    return warp_sum(q[0] * bf16_low(pairs.x) + q[1] * bf16_high(pairs.x) + q[2] * bf16_low(pairs.y) +
                    q[3] * bf16_high(pairs.y));
}

/// o and lse of row `row` of (batch, head) `bh`, by one warp.
DEVICE void compute_row_exactly(const AttnArgs& args, int bh, int row, int lane) {
    const u64 head = static_cast<u64>(bh) * args.t_max * kHeadDim;
    const int q_block = row / kBlockSize;
    const int* row_ptr = args.row_ptr + bh * (args.q_blocks + 1) + q_block;
    const int* list = args.col_idx + static_cast<u64>(bh) * args.max_nnz;
    const uint2 q_pairs = *reinterpret_cast<const uint2*>(args.q + head + row * kHeadDim + 4 * lane);
    const float q[4] = {bf16_low(q_pairs.x), bf16_high(q_pairs.x), bf16_low(q_pairs.y), bf16_high(q_pairs.y)};
    float max = negative_infinity(), sum = 0.f, o[4] = {0.f, 0.f, 0.f, 0.f};
#pragma unroll 1
    for (int i = row_ptr[0]; i < row_ptr[1] && list[i] <= q_block; ++i) {
        const int end = min(row + 1, (list[i] + 1) * kBlockSize);
#pragma unroll 1
        for (int key = list[i] * kBlockSize; key < end; ++key) {
            const float score = dot_row(q, args.k + head + key * kHeadDim, lane) * args.scale;
            const float larger = fmaxf(max, score);
            const float scale = exp2_approx((max - larger) * kLog2E), p = exp2_approx((score - larger) * kLog2E);
            const uint2 v = *reinterpret_cast<const uint2*>(args.v + head + key * kHeadDim + 4 * lane);
            const float values[4] = {bf16_low(v.x), bf16_high(v.x), bf16_low(v.y), bf16_high(v.y)};
#pragma unroll
            for (int d = 0; d < 4; ++d)
                o[d] = o[d] * scale + p * values[d];
            sum = sum * scale + p;
            max = larger;
        }
    }
    const float inverse = reciprocal_approx(sum);
    *reinterpret_cast<uint2*>(args.o + head + row * kHeadDim + 4 * lane) =
        make_uint2(pack_bf16(o[0] * inverse, o[1] * inverse), pack_bf16(o[2] * inverse, o[3] * inverse));
    if (lane == 0) args.lse[static_cast<u64>(bh) * args.t_max + row] = max + log2_approx(sum) * kLn2;
}
