// TMA loads: each fills one stage of a ring and completes on the stage's barrier. By one thread.
#pragma once

#include "pipeline.cuh"

class Loads {
  public:
    DEVICE Loads(const AttnArgs& args, Shared shared) : args_(args), shared_(shared) {
        if (Tune::cache_hints) keep_ = l2_evict_last(), drop_ = l2_evict_first();
    }

    /// The rows of Q of a task that begins at `row`.
    DEVICE void q(int stage, int bh, int row) const {
        for (int wg = 0; wg < kConsumers; ++wg)
            halves(shared_.q(stage, wg), kRowsHalfBytes, kMapQ, shared_.q_full(stage), row + wg * kRowsPerWarpgroup, bh,
                   drop_);
    }

    /// kTileN keys from `row` on.
    DEVICE void k(int stage, int bh, int row) const {
        halves(shared_.k(stage), kTileHalfBytes, kMapK, shared_.k_full(stage), row, bh, keep_);
    }

    /// Completes on `full`, which is not the consumers' barrier where V is converted in between.
    DEVICE void v(int stage, u32 full, int bh, int row) const {
        halves(shared_.v(stage), kTileHalfBytes, kVMap, full, row, bh, keep_);
    }

  private:
    static constexpr int kVMap = Tune::p_mode == Tune::p_mode_fp16_prepass ? kMapVFp16 : kMapV;

    DEVICE void halves(u32 target, int half_bytes, int map, u32 barrier, int row, int bh, u64 policy) const {
#pragma unroll
        for (int half = 0; half < kColumnHalves; ++half) {
            if (Tune::cache_hints)
                tma_load(target + half * half_bytes, &args_.maps[map], barrier, half * kColumnsPerHalf, row, bh,
                         policy);
            else
                tma_load(target + half * half_bytes, &args_.maps[map], barrier, half * kColumnsPerHalf, row, bh);
        }
    }

    const AttnArgs& args_;
    Shared shared_;
    u64 keep_ = 0, drop_ = 0;
};
