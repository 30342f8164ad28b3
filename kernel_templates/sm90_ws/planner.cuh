// The planning warp: draws tasks and reads the mask ahead of the producing warp, whose loads these dependent reads
// would hold up: behind a burst of TMA loads each takes some thousand cycles.
#pragma once

#include "scheduler.cuh"

/// The key blocks of one query block. Lists ascend, so what lies above the diagonal is a suffix to skip; blocks past
/// seq_len lie above the diagonal of every live query block. Blocks are visited from `start` on towards the oldest,
/// then from the newest down to `start`.
struct KeyList {
    const int* end;  // one past the newest block to visit
    int blocks;
    int start;   // the place, newest first, of the block that is visited first
    int cached;  // lane i holds block i, newest first, of chunk `chunk` of 32
    int chunk = 0;

    KeyList() = default;

    DEVICE KeyList(const AttnArgs& args, const QueryTile& tile, int lane) : start(0) {
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
        const u32 meets = __ballot_sync(~0u, lane < blocks && cached == meeting_block(tile.q_block));
        if (Tune::meet > 1 && meets != 0) start = __ffs(static_cast<int>(meets)) - 1;
    }

    DEVICE int load(const int* begin, int lane) const { return end - 1 - lane >= begin ? __ldg(end - 1 - lane) : 0; }

    /// Where the i-th block to visit stands, newest first.
    DEVICE int place_of(int i) const { return start + i < blocks ? start + i : start + i - blocks; }

    /// The i-th block to visit. By the whole warp.
    DEVICE int block(int i, int lane) {
        const int place = place_of(i);
        if (place / kWarp != chunk) {
            chunk = place / kWarp;
            const int at = chunk * kWarp + lane;
            cached = at < blocks ? __ldg(end - 1 - at) : 0;
        }
        return __shfl_sync(~0u, cached, place % kWarp);
    }

    /// Where `meet` neighbours begin, if their lists have it.
    DEVICE static int meeting_block(int q_block) { return q_block / Tune::meet * Tune::meet; }
};

/// A task with its list, as the producing warp needs it.
struct Plan {
    Task task;  // bh is negative when there is none left
    KeyList keys;
};

/// The i-th tile of a task, counted without leaving any out: where a diagonal block of two tiles has only one, that is
/// the first.
DEVICE int tile_in_list(const Task& task, int i) {
    return i + (task.tiles % kTilesPerBlock > 0 && i > task.diagonal ? 1 : 0);
}

/// What consumers are told of a task. The first 64 rows of a query block never see the last 64 keys of the diagonal
/// block: a task of these rows alone leaves that tile out.
DEVICE Task describe(const QueryTile& tile, const KeyList& keys, bool diagonal_listed) {
    Task task{tile.bh, tile.q_block * kBlockSize + tile.part * kTileM, tile.seq_len, keys.blocks * kTilesPerBlock, -1,
              0};
    if (diagonal_listed) task.diagonal = (keys.start > 0 ? keys.blocks - keys.start : 0) * kTilesPerBlock;
    const bool short_diagonal = kTasksPerBlock == 2 && kTilesPerBlock == 2 && diagonal_listed && tile.part == 0;
    if (short_diagonal) --task.tiles;
    if (Tune::p_mode == Tune::p_mode_bf16 && keys.blocks <= kHiLoSpan) {
#pragma unroll 1
        for (int i = 0; i < task.tiles; ++i) {
            const int place = keys.place_of(tile_in_list(task, i) / kTilesPerBlock);
            if (keys.blocks - 1 - place + keys.blocks <= kHiLoSpan) task.lost |= 1u << i;
        }
    }
    return task;
}

DEVICE void put_plan(Shared shared, const Plan& plan, int lane) {
    const u64 end = reinterpret_cast<u64>(plan.keys.end);
    if (lane == 0) {
        Shared::put_task(shared.plan_task(), plan.task);
        store_shared(shared.plan_list(), static_cast<int>(end), static_cast<int>(end >> 32), plan.keys.blocks,
                     plan.keys.start);
    }
    store_shared(shared.plan_cached(lane), plan.keys.cached);
    barrier_arrive(shared.plan_ready());
}

DEVICE Plan get_plan(Shared shared, int lane) {
    Plan plan;
    plan.task = Shared::get_task(shared.plan_task());
    const int4 list = load_shared(shared.plan_list());
    plan.keys.end =
        reinterpret_cast<const int*>(static_cast<u64>(static_cast<u32>(list.y)) << 32 | static_cast<u32>(list.x));
    plan.keys.blocks = list.z;
    plan.keys.start = list.w;
    plan.keys.cached = load_shared_word(shared.plan_cached(lane));
    return plan;
}

/// Run by a whole warp in step. There is one plan at a time: the producing warp asks for the next when it has taken the
/// last.
DEVICE void plan_tasks(const AttnArgs& args, Shared shared, int lane) {
    const Scheduler scheduler(args, lane);
    u32 phase = 0;
    for (int index = scheduler.first(); index < scheduler.count(); index = scheduler.next(index)) {
        const QueryTile tile = scheduler.tile(index);
        const KeyList keys(args, tile, lane);
        const bool diagonal_listed = keys.blocks > 0 && warp_uniform(keys.cached) == tile.q_block;
        put_plan(shared, {describe(tile, keys, diagonal_listed), keys}, lane);
        barrier_wait(shared.plan_wanted(), phase);
        phase ^= 1;
    }
    put_plan(shared, {Task{-1, 0, 0, 0, -1, 0}, {}}, lane);
}
