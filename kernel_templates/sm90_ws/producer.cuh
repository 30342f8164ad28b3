// The producer warpgroup: one warp keeps TMA busy with what another plans (planner.cuh); when that is done, all but the
// first clear what no task covers. Two convert V where the knob asks for it.
#pragma once

#include "loads.cuh"
#include "planner.cuh"

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

/// The head start, by the producing warp before it meets the others. As soon as seq_lens are known it asks for Q and
/// for the key block that the first task begins with where the mask lists it, two dependent reads before the mask can
/// say that they are wanted: they nearly always are. The rest waits for those reads anyway, which keeps it from
/// standing in the way of what is needed first.
DEVICE void head_start(const AttnArgs& args, Shared shared, int lane) {
    const Scheduler scheduler(args, lane);
    const bool elected = elect_one();
    if (elected) shared.init_barriers();
    if (scheduler.first() >= scheduler.count()) return;
    const QueryTile tile = scheduler.tile(scheduler.first());
    if (elected) {
        const Loads loads(args, shared);
        barrier_expect(shared.q_full(0), kQBytes);
        barrier_expect(shared.k_full(0), kTileBytes);
        loads.q(0, tile.bh, tile.q_block * kBlockSize + tile.part * kTileM);
        loads.k(0, tile.bh, KeyList::meeting_block(tile.q_block) * kBlockSize);
    }
}

/// Run by a whole warp in step, of which one lane waits and loads.
class Producer {
  public:
    DEVICE Producer(const AttnArgs& args, Shared shared, int lane)
        : args_(args), shared_(shared), lane_(lane), loads_(args, shared), place_(shared.first_task()) {}

    DEVICE void run() {
        Plan plan = next_plan();
        if (plan.task.bh >= 0) {
            ahead_ = plan.task.tiles > 0 && begins_where_expected(plan);
            if (!ahead_) pass_over();
        }
        while (plan.task.bh >= 0) {
            const Task& task = plan.task;
            if (task.tiles > 0)
                load_q(task);
            else
                clear_rows(args_, task.bh, task.row, kTileM, lane_);
            // The later the next task is drawn, the better the CTAs' ends agree.
            const int draw_at = max(min(task.tiles, Tune::draw_after) - 1, 0);
            for (int i = 0; i < max(task.tiles, 1); ++i) {
                if (i < task.tiles) load_tile(task.bh, key_row(plan, i));
                if (i == draw_at) barrier_arrive(shared_.plan_wanted());
            }
            plan = next_plan();
        }
        end_stream();
    }

  private:
    DEVICE Plan next_plan() {
        barrier_wait(shared_.plan_ready(), plan_phase_);
        plan_phase_ ^= 1;
        return get_plan(shared_, lane_);
    }

    DEVICE bool begins_where_expected(Plan& plan) const {
        return plan.keys.block(0, lane_) == KeyList::meeting_block(plan.task.row / kBlockSize);
    }

    /// Sends what the head start has asked for and the mask does not list through the rings.
    DEVICE void pass_over() {
        if (elect_one()) {
            Shared::put_task(place_, Task{0, 0, 0, kUnwanted, -1, 0});
            barrier_arrive(shared_.q_full(0));
            barrier_arrive(shared_.k_full(0));
        }
        advance_q();
        k_.advance();
    }

    DEVICE void advance_q() {
        q_.advance();
        place_ = shared_.task(q_.index);
    }

    /// First key of the i-th tile of a task.
    DEVICE int key_row(Plan& plan, int i) const {
        const int tile = tile_in_list(plan.task, i);
        return plan.keys.block(tile / kTilesPerBlock, lane_) * kBlockSize + tile % kTilesPerBlock * kTileN;
    }

    DEVICE void end_stream() {
        if (Tune::overlap && v_pending_) load_v();
        if (elect_one()) {
            barrier_arrive(shared_.loaded());
            barrier_wait(shared_.q_empty(q_.index), q_.phase ^ 1);
            Shared::put_task(place_, Task{0, 0, 0, kEndOfStream, -1, 0});
            barrier_arrive(shared_.q_full(q_.index));
        }
    }

    DEVICE void load_q(const Task& task) {
        if (elect_one()) {
            barrier_wait(shared_.q_empty(q_.index), q_.phase ^ 1);
            Shared::put_task(place_, task);
            if (ahead_) {
                barrier_arrive(shared_.q_full(q_.index));
            } else {
                barrier_arrive_expect(shared_.q_full(q_.index), kQBytes);
                loads_.q(q_.index, task.bh, task.row);
            }
        }
        advance_q();
    }

    /// Loads a tile of K, and of V: the same one, or with overlap the one before, which consumers need at the same
    /// time.
    DEVICE void load_tile(int bh, int row) {
        if (elect_one()) {
            barrier_wait(shared_.k_empty(k_.index), k_.phase ^ 1);
            if (ahead_) {
                barrier_arrive(shared_.k_full(k_.index));
            } else {
                barrier_arrive_expect(shared_.k_full(k_.index), kTileBytes);
                loads_.k(k_.index, bh, row);
            }
        }
        ahead_ = false;
        k_.advance();
        if (Tune::overlap && v_pending_) load_v();
        v_pending_ = true, v_bh_ = bh, v_row_ = row;
        if (!Tune::overlap) load_v();
    }

    DEVICE void load_v() {
        const u32 full = kConvertV ? shared_.v_loaded(v_.index) : shared_.v_full(v_.index);
        if (elect_one()) {
            barrier_wait(shared_.v_empty(v_.index), v_.phase ^ 1);
            barrier_arrive_expect(full, kTileBytes);
            loads_.v(v_.index, full, v_bh_, v_row_);
        }
        v_.advance();
    }

    const AttnArgs& args_;
    Shared shared_;
    int lane_;
    Loads loads_;
    u32 place_;  // of the next task
    u32 plan_phase_ = 0;
    bool ahead_ = false;  // the head start's loads are this task's, and its first tile is still to come
    Ring<kQStages> q_;
    Ring<kKStages> k_;
    Ring<kVStages> v_;
    bool v_pending_ = false;
    int v_bh_ = 0, v_row_ = 0;
};

/// Two bf16 to two fp16: exact for 2^-14 <= |x| <= 65504, the nearest fp16 below, infinity above.
DEVICE u32 bf16_to_fp16(u32 pair) {
    return pack_fp16(bf16_low(pair), bf16_high(pair));
}

/// Rewrites each V tile from bf16 to fp16 in place, between TMA and the consumers. It follows the stream of tasks
/// through the Q ring, which it lets go of as consumers do.
DEVICE void convert_v_tiles(Shared shared, int thread) {
    Ring<kQStages> q;
    Ring<kVStages> v;
    for (u32 place = shared.first_task();; place = shared.task(q.index)) {
        barrier_wait(shared.q_full(q.index), q.phase);
        const int tiles = Shared::get_task(place).tiles;
        __syncwarp();
        if (thread % kWarp == 0) barrier_arrive(shared.q_empty(q.index));
        q.advance();
        if (tiles == kEndOfStream) return;
        for (int i = 0; i < tiles; ++i) {
            barrier_wait(shared.v_loaded(v.index), v.phase);
#pragma unroll 8
            for (u32 at = thread * 16; at < kTileBytes; at += Shared::kConverterThreads * 16) {
                const u32 address = shared.v(v.index) + at;
                const int4 x = load_shared(address);
                store_shared(address, bf16_to_fp16(x.x), bf16_to_fp16(x.y), bf16_to_fp16(x.z), bf16_to_fp16(x.w));
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

/// The other three warps of the producer warpgroup.
DEVICE void help(const AttnArgs& args, Shared shared) {
    const int warp = warp_uniform(threadIdx.x / kWarp), lane = threadIdx.x % kWarp;
    if (warp == 1)
        plan_tasks(args, shared, lane);
    else if (kConvertV)
        convert_v_tiles(shared, threadIdx.x - 2 * kWarp);
    // Only when all loads have been asked for, so that these writes do not stand in their way.
    barrier_wait(shared.loaded(), 0);
    clear_dead_blocks(args, warp - 1, kWarpgroup / kWarp - 1, lane);
}
