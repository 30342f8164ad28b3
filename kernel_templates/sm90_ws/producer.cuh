// The producer warpgroup: one warp walks the mask and keeps TMA busy; the other three clear what no task covers, and
// convert V where the knob asks for it.
#pragma once

#include "scheduler.cuh"

/// The key blocks of one query block, newest first. Lists ascend, so what lies above the diagonal is a suffix to skip;
/// blocks past seq_len lie above the diagonal of every live query block.
struct KeyList {
    const int* end;  // one past the last block to visit
    int blocks;
    bool diagonal;
    int cached;  // lane i holds the block i places before the end of the current 32

    DEVICE KeyList() : end(nullptr), blocks(0), diagonal(false), cached(0) {}

    DEVICE KeyList(const AttnArgs& args, const QueryTile& tile, int lane) {
        const int* row = args.row_ptr + tile.bh * (args.q_blocks + 1) + tile.q_block;
        const int* list = args.col_idx + static_cast<u64>(tile.bh) * args.max_nnz;
        const int* begin = list + __ldg(row);
        end = list + __ldg(row + 1);
        cached = load(begin, lane);
        while (end > begin) {
            const u32 wanted = __ballot_sync(~0u, end - 1 - lane >= begin && cached <= tile.q_block);
            if (wanted == ~0u || (wanted & 1)) break;
            end -= wanted ? __ffs(static_cast<int>(wanted)) - 1 : kWarp;
            cached = load(begin, lane);
        }
        blocks = max(0, static_cast<int>(end - begin));
        diagonal = blocks > 0 && warp_uniform(cached) == tile.q_block;
    }

    DEVICE int load(const int* begin, int lane) const { return end - 1 - lane >= begin ? __ldg(end - 1 - lane) : 0; }

    /// To be called with i = 0, 1, 2, ... by the whole warp.
    DEVICE int block(int i, int lane) {
        if (i > 0 && i % kWarp == 0) cached = i + lane < blocks ? __ldg(end - 1 - i - lane) : 0;
        return __shfl_sync(~0u, cached, i % kWarp);
    }
};

/// o = 0 and lse = -inf for `rows` rows from `row` on, by one warp.
DEVICE void clear_rows(const AttnArgs& args, int bh, int row, int rows, int lane) {
    const u64 first = static_cast<u64>(bh) * args.t_max + row;
    uint4* o = reinterpret_cast<uint4*>(args.o + first * kHeadDim);
#pragma unroll 4
    for (int i = lane; i < rows * kHeadDim / 8; i += kWarp)
        o[i] = make_uint4(0, 0, 0, 0);
    for (int i = lane; i < rows; i += kWarp)
        args.lse[first + i] = negative_infinity();
}

/// Query blocks that begin at or past seq_len, shared out over the helper warps of the grid.
DEVICE void clear_dead_blocks(const AttnArgs& args, int helper, int helpers, int lane) {
    const int blocks = args.batch * args.heads * args.q_blocks;
    for (int i = static_cast<int>(blockIdx.x) * helpers + helper; i < blocks;
         i += static_cast<int>(gridDim.x) * helpers) {
        const int bh = i / args.q_blocks, row = i % args.q_blocks * kBlockSize;
        if (row >= __ldg(args.seq_lens + bh / args.heads)) clear_rows(args, bh, row, kBlockSize, lane);
    }
}

class Producer {
  public:
    DEVICE Producer(const AttnArgs& args, Shared shared, int lane)
        : args_(args), shared_(shared), lane_(lane), scheduler_(args, lane) {
        if (Tune::cache_hints) keep_ = l2_evict_last(), drop_ = l2_evict_first();
    }

    DEVICE void run() {
        QueryTile tile{}, next_tile{};
        KeyList keys, next_keys;
        // The stream begins with a task of nothing, during which the first real one is looked up. There as everywhere,
        // the following task is looked up behind the first tiles of this one, while consumers are busy with them.
        int index = kNoTask;
        do {
            const Task task = describe(tile, keys);
            if (task.tiles > 0)
                load_q(task);
            else if (index != kNoTask)
                clear_rows(args_, task.bh, task.row, kTileM, lane_);
            const int look_up_at = task.tiles > 1 ? 1 : 0;
            for (int i = 0; i < max(task.tiles, 1); ++i) {
                if (i < task.tiles) load_tile(task.bh, key_row(keys, i + (task.tiles % kTilesPerBlock > 0 && i > 0)));
                if (i == look_up_at) look_up_next(index, next_tile, next_keys);
            }
            tile = next_tile;
            keys = next_keys;
        } while (index < scheduler_.count());
        end_stream();
    }

  private:
    static constexpr int kNoTask = -1;

    DEVICE void look_up_next(int& index, QueryTile& tile, KeyList& keys) {
        const bool first = index == kNoTask;
        index = first ? scheduler_.first() : scheduler_.next(index);
        if (index >= scheduler_.count()) return;
        tile = scheduler_.tile(index);
        if (Tune::prefetch && first && lane_ == 0) prefetch_first(tile);
        keys = KeyList(args_, tile, lane_);
    }

    DEVICE Task describe(const QueryTile& tile, const KeyList& keys) const {
        // The first 64 rows of a query block never see the last 64 keys of the diagonal block: that tile is left out.
        const bool short_diagonal = kTasksPerBlock == 2 && kTileN == 64 && keys.diagonal && tile.part == 0;
        return {tile.bh, tile.q_block * kBlockSize + tile.part * kTileM, tile.seq_len,
                keys.blocks * kTilesPerBlock - (short_diagonal ? 1 : 0), keys.diagonal};
    }

    /// First key of the i-th tile of a list, counted without leaving any out.
    DEVICE int key_row(KeyList& keys, int i) const {
        return keys.block(i / kTilesPerBlock, lane_) * kBlockSize + i % kTilesPerBlock * kTileN;
    }

    DEVICE void end_stream() {
        if (Tune::overlap && v_pending_) load_v();
        if (lane_ == 0) {
            barrier_arrive(shared_.loaded());
            barrier_wait(shared_.q_empty(q_.index), q_.phase ^ 1);
            shared_.put_task(q_.index, Task{0, 0, 0, 0, false});
            barrier_arrive(shared_.q_full(q_.index));
        }
    }

    DEVICE void load_q(const Task& task) {
        if (lane_ == 0) {
            barrier_wait(shared_.q_empty(q_.index), q_.phase ^ 1);
            shared_.put_task(q_.index, task);
            barrier_arrive_expect(shared_.q_full(q_.index), kQBytes);
            for (int wg = 0; wg < kConsumers; ++wg)
                load_halves(shared_.q(q_.index, wg), kRowsHalfBytes, kMapQ, shared_.q_full(q_.index),
                            task.row + wg * kRowsPerWarpgroup, task.bh, drop_);
        }
        q_.advance();
    }

    /// Loads a tile of K, and of V: the same one, or with overlap the one before, which consumers need at the same
    /// time.
    DEVICE void load_tile(int bh, int row) {
        if (lane_ == 0) {
            barrier_wait(shared_.k_empty(k_.index), k_.phase ^ 1);
            barrier_arrive_expect(shared_.k_full(k_.index), kTileBytes);
            load_halves(shared_.k(k_.index), kTileHalfBytes, kMapK, shared_.k_full(k_.index), row, bh, keep_);
        }
        k_.advance();
        if (Tune::overlap && v_pending_) load_v();
        v_pending_ = true, v_bh_ = bh, v_row_ = row;
        if (!Tune::overlap) load_v();
    }

    DEVICE void load_v() {
        const u32 full = kConvertV ? shared_.v_loaded(v_.index) : shared_.v_full(v_.index);
        if (lane_ == 0) {
            barrier_wait(shared_.v_empty(v_.index), v_.phase ^ 1);
            barrier_arrive_expect(full, kTileBytes);
            load_halves(shared_.v(v_.index), kTileHalfBytes, kVMap, full, v_row_, v_bh_, keep_);
        }
        v_.advance();
    }

    DEVICE void load_halves(u32 target, int half_bytes, int map, u32 barrier, int row, int bh, u64 policy) {
#pragma unroll
        for (int half = 0; half < kColumnHalves; ++half) {
            if (Tune::cache_hints)
                tma_load(target + half * half_bytes, &args_.maps[map], barrier, half * kColumnsPerHalf, row, bh,
                         policy);
            else
                tma_load(target + half * half_bytes, &args_.maps[map], barrier, half * kColumnsPerHalf, row, bh);
        }
    }

    /// The diagonal block is nearly always in the list: bring it into L2, and Q, while the list is still being read.
    DEVICE void prefetch_first(const QueryTile& tile) {
        const int row = tile.q_block * kBlockSize;
#pragma unroll
        for (int half = 0; half < kColumnHalves; ++half) {
            for (int at = 0; at < kBlockSize; at += kTileN)
                tma_prefetch(&args_.maps[kMapK], half * kColumnsPerHalf, row + at, tile.bh);
            for (int at = 0; at < kTileM; at += kRowsPerWarpgroup)
                tma_prefetch(&args_.maps[kMapQ], half * kColumnsPerHalf, row + tile.part * kTileM + at, tile.bh);
        }
    }

    static constexpr int kVMap = Tune::p_mode == Tune::p_mode_fp16_prepass ? kMapVFp16 : kMapV;

    const AttnArgs& args_;
    Shared shared_;
    int lane_;
    Scheduler scheduler_;
    Ring<kQStages> q_;
    Ring<kKStages> k_;
    Ring<kVStages> v_;
    bool v_pending_ = false;
    int v_bh_ = 0, v_row_ = 0;
    u64 keep_ = 0, drop_ = 0;
};

/// Rewrites each V tile from bf16 to fp16 in place, between TMA and the consumers. It follows the stream of tasks
/// through the Q ring, which it lets go of as consumers do.
DEVICE void convert_v_tiles(Shared shared, int thread) {
    Ring<kQStages> q;
    Ring<kVStages> v;
    for (;;) {
        barrier_wait(shared.q_full(q.index), q.phase);
        const int tiles = shared.get_task(q.index).tiles;
        __syncwarp();
        if (thread % kWarp == 0) barrier_arrive(shared.q_empty(q.index));
        q.advance();
        if (tiles == 0) return;
        for (int i = 0; i < tiles; ++i) {
            barrier_wait(shared.v_loaded(v.index), v.phase);
#pragma unroll 2
            for (u32 at = thread * 16; at < kTileBytes; at += Shared::kConverterThreads * 16) {
                u32 a, b, c, d;
                const u32 address = shared.v(v.index) + at;
                asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                             : "=r"(a), "=r"(b), "=r"(c), "=r"(d)
                             : "r"(address));
                asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(bf16_to_fp16(a)),
                             "r"(bf16_to_fp16(b)), "r"(bf16_to_fp16(c)), "r"(bf16_to_fp16(d))
                             : "memory");
            }
            async_proxy_fence();
            barrier_arrive(shared.v_full(v.index));
            v.advance();
        }
    }
}

/// Touches the mask's lists in L2, each line by one thread of the grid: producers read them one dependent load after
/// the other, and would otherwise pay DRAM's latency for each.
DEVICE void prefetch_mask(const AttnArgs& args, int helper_thread) {
    constexpr int kHelpers = kWarpgroup - kWarp, kInts = 32;
    const int heads = args.batch * args.heads;
    const int first = (static_cast<int>(blockIdx.x) * kHelpers + helper_thread) * kInts;
    const int step = static_cast<int>(gridDim.x) * kHelpers * kInts;
    for (int i = first; i < heads * (args.q_blocks + 1); i += step)
        prefetch_l2(args.row_ptr + i);
    for (int i = first; i < heads * args.max_nnz; i += step)
        prefetch_l2(args.col_idx + i);
}

DEVICE void produce(const AttnArgs& args, Shared shared) {
    const int warp = warp_uniform(threadIdx.x / kWarp), lane = threadIdx.x % kWarp;
    if (warp == 0) {
        Producer(args, shared, lane).run();
    } else {
        if (Tune::prefetch) prefetch_mask(args, threadIdx.x - kWarp);
        if (kConvertV) convert_v_tiles(shared, threadIdx.x - kWarp);
        // Only when all loads have been asked for, so that these writes do not stand in their way.
        barrier_wait(shared.loaded(), 0);
        clear_dead_blocks(args, warp - 1, kWarpgroup / kWarp - 1, lane);
    }
}
