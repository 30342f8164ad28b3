// The way out of a consumer: normalise, store, and mend what a fixed reference could not hold.
#pragma once

#include "consumer.cuh"
#include "exact.cuh"

/// Normalises o, stores it and lse. Rows at or past seq_len become 0 and -inf.
DEVICE void Consumer::finish(const Task& task, const RowStats& stats, int q_stage) {
    const int lane = thread_ % kWarp;
    const int row = first_row(task) + thread_ / kWarp * 16 + lane / 4;
    float inverse[kRowsPerThread];
#pragma unroll
    for (int r = 0; r < kRowsPerThread; ++r) {
        const float sum = quad_sum(stats.sum[r]);
        const bool valid = row + 8 * r < task.seq_len;
        inverse[r] = reciprocal_approx(sum);
        float lse = (stats.shift[r] + log2_approx(sum)) * kLn2;
        if (kFixed && valid && !(sum <= kLargestSum)) {
            lse = __int_as_float(kOverflowMark);
            overflowed_ = true;
        }
        if (lane % 4 == 0)
            args_.lse[static_cast<u64>(task.bh) * args_.t_max + row + 8 * r] = valid ? lse : negative_infinity();
    }
    // o_ itself stays as it is: scores may be in flight, and ptxas serialises products around whoever writes
    // accumulators (C7514).
    u32 packed[32];
#pragma unroll
    for (int i = 0; i < 32; ++i)
        packed[i] = pack_bf16(o_[2 * i] * inverse[i % 2], o_[2 * i + 1] * inverse[i % 2]);
    if (first_row(task) + kRowsPerWarpgroup > task.seq_len) {
#pragma unroll
        for (int i = 0; i < 32; ++i)
            if (row + 8 * (i % 2) >= task.seq_len) packed[i] = 0;
    }
    if constexpr (kTmaStore) {
        if (kOwnO) named_sync(kWarpgroupBarrier + warpgroup_, kWarpgroup);  // thread 0 has seen the last store read
        const u32 tile = shared_.o(q_stage, warpgroup_);
#pragma unroll
        for (int i = 0; i < 8; ++i)
            store_matrix_x4(swizzled_chunk(tile, thread_ / kWarp * 16 + lane % 16, i * 2 + lane / 16), packed[4 * i],
                            packed[4 * i + 1], packed[4 * i + 2], packed[4 * i + 3]);
        async_proxy_fence();
        named_sync(kWarpgroupBarrier + warpgroup_, kWarpgroup);
        if (thread_ == 0) {
#pragma unroll
            for (int half = 0; half < kColumnHalves; ++half)
                tma_store(&args_.maps[kMapO], tile + half * kRowsHalfBytes, half * kColumnsPerHalf, first_row(task),
                          task.bh);
            tma_store_commit();
        }
        store_pending_ = q_stage;
    } else {
        u32* out =
            reinterpret_cast<u32*>(args_.o + (static_cast<u64>(task.bh) * args_.t_max + row) * kHeadDim) + lane % 4;
#pragma unroll
        for (int i = 0; i < 32; ++i)
            out[i % 2 * 8 * (kHeadDim / 2) + i / 2 * 4] = packed[i];
    }
}

/// Waits for the last TMA store to have read its tile, long after it was issued, and frees the Q stage it lay in.
DEVICE void Consumer::release_stored_o() {
    if (!kTmaStore || store_pending_ < 0) return;
    if (thread_ == 0) {
        tma_store_wait_read();
        if (kOInQ) barrier_arrive(shared_.q_empty(store_pending_));
    }
    store_pending_ = -1;
}

/// Computes the rows again whose exponentials have overflowed; `finish` has marked them in lse. Rare, so that a
/// warpgroup which has met one looks through all rows. It may find rows of others, too: both repair them, to the same
/// bits, and the owner does so after its own store.
DEVICE void Consumer::repair_overflows() {
    if (!kFixed || !named_any(kWarpgroupBarrier + warpgroup_, kWarpgroup, overflowed_)) return;
    if (kTmaStore && thread_ == 0) tma_store_wait();
    named_sync(kWarpgroupBarrier + warpgroup_, kWarpgroup);
    const int rows = args_.batch * args_.heads * args_.t_max;
    for (int first = thread_ / kWarp * kWarp; first < rows; first += kWarpgroup) {
        const int lse = *reinterpret_cast<const volatile int*>(args_.lse + first + thread_ % kWarp);
        for (u32 marked = __ballot_sync(~0u, lse == kOverflowMark); marked != 0; marked &= marked - 1) {
            const int row = first + __ffs(static_cast<int>(marked)) - 1;
            compute_row_exactly(args_, row / args_.t_max, row % args_.t_max, thread_ % kWarp);
        }
    }
}
