// The rings that producer and consumers share, and what travels through them.
//
// Q, K and V have one ring each. A stage's `full` barrier completes when TMA has filled it, its `empty` barrier when
// every consumer warpgroup has let go of it. The two sides visit the stages in the same order, so that an index and a
// phase bit are all the state there is.
#pragma once

#include "geometry.cuh"

template <int kStages>
struct Ring {
    int index = 0;
    u32 phase = 0;

    /// The stage before the current one.
    DEVICE int before() const { return index == 0 ? kStages - 1 : index - 1; }

    DEVICE void advance() {
        if (++index == kStages) {
            index = 0;
            phase ^= 1;
        }
    }
};

/// What Task::tiles says of a task that is none: the stream is over, or this Q tile and the next K tile are to be
/// passed over.
constexpr int kEndOfStream = 0, kUnwanted = -1;

/// kTileM query rows of one (batch, head): what a CTA works on at a time. It travels in the Q ring, beside the Q tile,
/// so that consumers learn of it without reading the mask.
struct Task {
    int bh;        // batch * heads + head
    int row;       // first query row
    int seq_len;   // of the batch
    int tiles;     // key tiles to visit
    int diagonal;  // the first tile of the query block itself, the only block that needs a mask; -1 if it is not listed
    u32 lost;      // bit i: the rounding errors of tile i's P count (kHiLoSpan)
};

struct Shared {
    u32 base;

    DEVICE u32 q(int stage, int warpgroup) const {
        return base + shared_map::kQ + stage * kQBytes + warpgroup * kRowsBytes;
    }
    DEVICE u32 o(int q_stage, int warpgroup) const {
        return kOwnO ? base + shared_map::kO + warpgroup * kRowsBytes : q(q_stage, warpgroup);
    }
    DEVICE u32 k(int stage) const { return base + shared_map::kK + stage * kTileBytes; }
    DEVICE u32 v(int stage) const { return base + shared_map::kV + stage * kTileBytes; }
    DEVICE u32 q_full(int stage) const { return base + shared_map::kQFull + 8 * stage; }
    DEVICE u32 q_empty(int stage) const { return base + shared_map::kQEmpty + 8 * stage; }
    DEVICE u32 k_full(int stage) const { return base + shared_map::kKFull + 8 * stage; }
    DEVICE u32 k_empty(int stage) const { return base + shared_map::kKEmpty + 8 * stage; }
    DEVICE u32 v_full(int stage) const { return base + shared_map::kVFull + 8 * stage; }
    DEVICE u32 v_empty(int stage) const { return base + shared_map::kVEmpty + 8 * stage; }
    DEVICE u32 v_loaded(int stage) const { return base + shared_map::kVLoaded + 8 * stage; }

    /// The next task, from the planning warp to the producing one: `wanted` asks for it, `ready` completes with it.
    DEVICE u32 plan_wanted() const { return base + shared_map::kPlanWanted; }
    DEVICE u32 plan_ready() const { return base + shared_map::kPlanReady; }
    DEVICE u32 plan_task() const { return base + shared_map::kPlanTask; }
    DEVICE u32 plan_list() const { return base + shared_map::kPlanList; }
    DEVICE u32 plan_cached(int lane) const { return base + shared_map::kPlanCached + 4 * lane; }

    /// Completes once in a CTA's life: when its last loads have been asked for.
    DEVICE u32 loaded() const { return base + shared_map::kLoaded; }

    /// One lane's write, ordered before the readers' by an arrival on the barrier that goes with `address`.
    DEVICE static void put_task(u32 address, const Task& task) {
        store_shared(address, task.bh, task.row, task.seq_len, task.tiles);
        store_shared(address + 16, task.diagonal, static_cast<int>(task.lost), 0, 0);
    }

    DEVICE static Task get_task(u32 address) {
        const int4 a = load_shared(address), b = load_shared(address + 16);
        return {a.x, a.y, a.z, a.w, b.x, static_cast<u32>(b.y)};
    }

    /// Where the task lies that goes with a stage of the Q ring; a CTA's first has a place that is never written again,
    /// since its readers may be on their way as soon as they know that it is none.
    DEVICE u32 task(int stage) const { return base + shared_map::kTasks + stage * shared_map::kTaskBytes; }
    DEVICE u32 first_task() const { return base + shared_map::kFirstTask; }

    /// By one thread of the CTA, before the others are let in.
    DEVICE void init_barriers() const {
        for (int i = 0; i < kQStages; ++i) {
            barrier_init(q_full(i), 1);
            barrier_init(q_empty(i), kConsumers + (kConvertV ? kConverterThreads / kWarp : 0));
        }
        for (int i = 0; i < kKStages; ++i) {
            barrier_init(k_full(i), 1);
            barrier_init(k_empty(i), kConsumers);
        }
        for (int i = 0; i < kVStages; ++i) {
            barrier_init(v_full(i), kConvertV ? kConverterThreads : 1);
            barrier_init(v_empty(i), kConsumers);
            if (kConvertV) barrier_init(v_loaded(i), 1);
        }
        barrier_init(loaded(), 1);
        barrier_init(plan_wanted(), kWarp);
        barrier_init(plan_ready(), kWarp);
        barrier_init_fence();
    }

    static constexpr int kConverterThreads = 2 * kWarp;
};
