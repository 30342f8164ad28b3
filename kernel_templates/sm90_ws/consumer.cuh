// A consumer warpgroup: 64 query rows of each task, two products and a softmax a tile, and the way out.
//
// With overlap, the tiles of all tasks form one stream and the warpgroup is always one tile ahead with its scores:
// Q.K of tile j and P.V of tile j-1 are in flight together, and softmax of tile j runs under the latter. That holds
// across tasks too, so that the first scores of a task hide the last product and the epilogue of the one before
// (technique: FlashAttention-3, sections 3.1 and 3.2; there the pipeline drains at the end of each task).
#pragma once

#include "exact.cuh"
#include "pipeline.cuh"
#include "softmax.cuh"

/// Named barriers; 0 is __syncthreads().
enum NamedBarrier { kTurnBarrier = 1, kWarpgroupBarrier = 3 };

class Consumer {
public:
    DEVICE Consumer(const AttnArgs& args, Shared shared, int warpgroup)
        : args_(args), shared_(shared), warpgroup_(warpgroup), thread_(threadIdx.x % kWarpgroup),
          scale_log2_(args.scale * kLog2E) {}

    DEVICE void run_overlapped();
    DEVICE void run_serial();

private:
    // ---- Ring traffic ----
    DEVICE Task next_task();
    DEVICE void release(u32 barrier) const { if (thread_ == 0) barrier_arrive(barrier); }
    DEVICE void release_k() { release(shared_.k_empty(k_.index)); k_.advance(); }
    DEVICE void release_v() { release(shared_.v_empty(v_.index)); v_.advance(); }

    // ---- Ping-pong: the two warpgroups issue their products in turn, so that one computes while the other exponentiates
    DEVICE void start_turns() const { if (Tune::pingpong && warpgroup_ == 1) named_arrive(kTurnBarrier, 2 * kWarpgroup); }
    DEVICE void wait_turn() const { if (Tune::pingpong) named_sync(kTurnBarrier + warpgroup_, 2 * kWarpgroup); }
    DEVICE void pass_turn() const { if (Tune::pingpong) named_arrive(kTurnBarrier + (warpgroup_ ^ 1), 2 * kWarpgroup); }

    // ---- Work on a tile; kKeys is kTileN, or 64 of 128 where the diagonal leaves no more ----
    DEVICE void load_q_registers();
    template <int kKeys> DEVICE void issue_scores(float (&s)[kKeys / 2]);
    template <int kKeys> DEVICE void issue_output(const u32 (&p)[kTileN / 4], bool accumulate);
    template <int kKeys> DEVICE void mask_tile(float (&s)[kKeys / 2]) const;
    template <int kKeys> DEVICE void pack(const float (&s)[kKeys / 2]);
    DEVICE bool half_tile() const;
    DEVICE bool skips(int tile) const;
    DEVICE int tile_after() const { return tile_ + (skips(tile_ + 1) ? 2 : 1); }

    // ---- Steps of the overlapped loop ----
    DEVICE void await_scores();
    template <int kKeys, int kOutputKeys> DEVICE bool step(RowStats& done_stats, float (&factor)[kRowsPerThread]);
    DEVICE void advance();
    DEVICE void issue_lost_output();
    DEVICE void retire_output();
    template <int kKeys> DEVICE void serial_step();

    // ---- Epilogue ----
    DEVICE void finish(const Task& task, const RowStats& stats, int q_stage);
    DEVICE void release_stored_o();
    DEVICE void repair_overflows();

    DEVICE int first_row(const Task& task) const { return task.row + warpgroup_ * kRowsPerWarpgroup; }
    DEVICE bool hi_lo() const { return kHiLo && task_.tiles <= kHiLoBlocks * kTilesPerBlock; }

    const AttnArgs& args_;
    Shared shared_;
    int warpgroup_;
    int thread_;  // within the warpgroup
    float scale_log2_;

    Ring<kQStages> q_;
    Ring<kKStages> k_;
    Ring<kVStages> v_;
    bool overflowed_ = false;  // some row of this thread's has
    int store_pending_ = -1;  // Q stage that a TMA store may still be reading

    Task task_;            // whose scores are computed: tile `tile_` is next
    int tile_ = 0;
    RowStats stats_;
    Task done_;            // whose output is being completed
    int done_q_stage_ = 0;
    struct {
        bool first;      // of its task: its product starts o afresh
        bool half;
        bool lost;       // p_lost_ counts
        bool skip_next;  // the tile behind it is skipped by this warpgroup
    } waiting_;            // what p_ holds

    float o_[64];
    u32 p_[kTileN / 4];
    u32 p_lost_[kTileN / 4];
    u32 q_registers_[kHeadDim / kMmaK][4];
};

DEVICE Task Consumer::next_task() {
    // The task to come may be waiting for the Q stage that the last store reads: let go of it first.
    release_stored_o();
    barrier_wait(shared_.q_full(q_.index), q_.phase);
    return shared_.get_task(q_.index);
}

// ---- Work on a tile ---------------------------------------------------------------------------------------------------

/// The first 64 rows of a diagonal block see only its first 64 keys: of a 128-wide tile they need one half ...
DEVICE bool Consumer::half_tile() const {
    return Tune::diagonal_skip && kTileN == 128 && tile_ == 0 && task_.diagonal && first_row(task_) % kBlockSize == 0;
}

/// ... and of two 64-wide tiles the first.
DEVICE bool Consumer::skips(int tile) const {
    return Tune::diagonal_skip && kTileN == 64 && kTasksPerBlock == 1 && tile == 1 && task_.diagonal && warpgroup_ == 0;
}

/// Only the diagonal block holds keys past a row; every key of a listed block below it is valid, because the block ends
/// at or before the first row and live rows end before seq_len.
template <int kKeys>
DEVICE void Consumer::mask_tile(float (&s)[kKeys / 2]) const {
    if (!task_.diagonal || tile_ * kTileN >= kBlockSize) return;
    const int first_key = tile_ * kTileN;
    const int first_row_in_block = first_row(task_) % kBlockSize;
    if (kTasksPerBlock == 2 && first_key > first_row_in_block) return;  // the producer has left that tile out
    if (first_key + kKeys - 1 <= first_row_in_block) return;
    const int lane = thread_ % kWarp;
    const int row = first_row_in_block + thread_ / kWarp * 16 + lane / 4;
    const int last_key = row - first_key - lane % 4 * 2;
    mask_causal(s, {last_key, last_key + 8});
}

/// 16-byte chunk `chunk` (of 16) of row `row` in a 64-row tile of Q or O.
DEVICE u32 swizzled_chunk(u32 tile, int row, int chunk) {
    return tile + chunk / 8 * kRowsHalfBytes + row * kRowBytes + ((chunk % 8 ^ row % 8) << 4);
}

DEVICE void Consumer::load_q_registers() {
    const int lane = thread_ % kWarp;
#pragma unroll
    for (int i = 0; i < kHeadDim / kMmaK; ++i)
        load_matrix_x4(swizzled_chunk(shared_.q(q_.index, warpgroup_), thread_ / kWarp * 16 + lane % 16, i * 2 + lane / 16),
                       q_registers_[i][0], q_registers_[i][1], q_registers_[i][2], q_registers_[i][3]);
}

/// Q.K of the first kKeys keys of the current K stage.
template <int kKeys>
DEVICE void Consumer::issue_scores(float (&s)[kKeys / 2]) {
    constexpr int kStepsPerHalf = kColumnsPerHalf / kMmaK;
    const u32 q = descriptor_address(shared_.q(q_.index, warpgroup_)) | kLeadingKMajor;
    const u32 k = descriptor_address(shared_.k(k_.index)) | kLeadingKMajor;
#pragma unroll
    for (int i = 0; i < kHeadDim / kMmaK; ++i) {
        const int half = i / kStepsPerHalf, at = i % kStepsPerHalf * kMmaK * 2;
        const u32 k_step = k + descriptor_offset(half * kTileHalfBytes + at);
        if constexpr (Tune::q_in_registers) wgmma_scores<kKeys>(s, q_registers_[i], k_step, i > 0);
        else wgmma_scores<kKeys>(s, q + descriptor_offset(half * kRowsHalfBytes + at), k_step, i > 0);
    }
}

/// o = or += p.V with the first kKeys keys of the current V stage.
template <int kKeys>
DEVICE void Consumer::issue_output(const u32 (&p)[kTileN / 4], bool accumulate) {
    const u32 v = descriptor_address(shared_.v(v_.index)) | leading_mn_major(kTileHalfBytes);
#pragma unroll
    for (int i = 0; i < kKeys / kMmaK; ++i)
        wgmma_output<kFp16>(o_, p + 4 * i, v + descriptor_offset(i * kMmaK * kRowBytes), i > 0 || accumulate);
}

/// Half a tile's probabilities are followed by zeros, so that a product over the whole tile is right as well.
template <int kKeys>
DEVICE void Consumer::pack(const float (&s)[kKeys / 2]) {
    pack_probabilities(s, p_);
    if (hi_lo()) pack_rounding_errors(s, p_, p_lost_);
#pragma unroll
    for (int i = kKeys / 4; i < kTileN / 4; ++i) p_[i] = p_lost_[i] = 0;
}

// ---- Epilogue -----------------------------------------------------------------------------------------------------------

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
        if (lane % 4 == 0) args_.lse[static_cast<u64>(task.bh) * args_.t_max + row + 8 * r] = valid ? lse : negative_infinity();
    }
    if (first_row(task) + kRowsPerWarpgroup > task.seq_len) {
#pragma unroll
        for (int i = 0; i < 64; ++i)
            if (row + 8 * row_of(i) >= task.seq_len) o_[i] = 0.f;
    }
    scale_rows(o_, inverse);
    if constexpr (kTmaStore) {
        if (kOwnO) named_sync(kWarpgroupBarrier + warpgroup_, kWarpgroup);  // thread 0 has seen the last store read
        const u32 tile = shared_.o(q_stage, warpgroup_);
#pragma unroll
        for (int i = 0; i < 8; ++i)
            store_matrix_x4(swizzled_chunk(tile, thread_ / kWarp * 16 + lane % 16, i * 2 + lane / 16),
                            pack_bf16(o_[8 * i], o_[8 * i + 1]), pack_bf16(o_[8 * i + 2], o_[8 * i + 3]),
                            pack_bf16(o_[8 * i + 4], o_[8 * i + 5]), pack_bf16(o_[8 * i + 6], o_[8 * i + 7]));
        async_proxy_fence();
        named_sync(kWarpgroupBarrier + warpgroup_, kWarpgroup);
        if (thread_ == 0) {
#pragma unroll
            for (int half = 0; half < kColumnHalves; ++half)
                tma_store(&args_.maps[kMapO], tile + half * kRowsHalfBytes, half * kColumnsPerHalf, first_row(task), task.bh);
            tma_store_commit();
        }
        store_pending_ = q_stage;
    } else {
        u32* out = reinterpret_cast<u32*>(args_.o + (static_cast<u64>(task.bh) * args_.t_max + row) * kHeadDim) + lane % 4;
#pragma unroll
        for (int i = 0; i < 32; ++i)
            out[i % 2 * 8 * (kHeadDim / 2) + i / 2 * 4] = pack_bf16(o_[2 * i], o_[2 * i + 1]);
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

/// Computes the rows again whose exponentials have overflowed; `finish` has marked them in lse. Rare, so that a warpgroup
/// which has met one looks through all rows. It may find rows of others, too: both repair them, to the same bits, and the
/// owner does so after its own store.
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

// ---- The overlapped loop ------------------------------------------------------------------------------------------------

/// Waits for what the scores of the current tile read.
DEVICE void Consumer::await_scores() {
    barrier_wait(shared_.k_full(k_.index), k_.phase);
    if (Tune::q_in_registers && tile_ == 0) load_q_registers();
}

/// The product with the rounding errors of P, where it counts. Few tasks have one, so it goes ahead of the products that
/// overlap: a branch among those would end the group that wgmma_wait<1> is to leave in flight (ptxas counts the parts).
DEVICE void Consumer::issue_lost_output() {
    if (!kHiLo || !waiting_.lost) return;
    barrier_wait(shared_.v_full(v_.index), v_.phase);
    issue_output<kTileN>(p_lost_, !waiting_.first);
    wgmma_commit();
}

DEVICE void Consumer::retire_output() {
    wgmma_wait<0>();
    pin(o_);
    release_v();
    if (!waiting_.skip_next) return;
    barrier_wait(shared_.v_full(v_.index), v_.phase);
    release_v();
}

/// Scores and probabilities of kKeys keys of the current tile, together with the product of kOutputKeys keys that is
/// waiting for its V. Returns whether o must be multiplied by `factor`. Each width is a path of its own: where
/// accumulators of two paths merge while products are in flight, ptxas serialises them (C7511, C7515).
template <int kKeys, int kOutputKeys>
DEVICE bool Consumer::step(RowStats& done_stats, float (&factor)[kRowsPerThread]) {
    float s[kKeys / 2];
    wait_turn();
    wgmma_fence();
    if constexpr (kOutputKeys > 0) issue_lost_output();
    issue_scores<kKeys>(s);
    wgmma_commit();
    if constexpr (kOutputKeys > 0) {
        barrier_wait(shared_.v_full(v_.index), v_.phase);
        issue_output<kOutputKeys>(p_, !waiting_.first || waiting_.lost);
        wgmma_commit();
    }
    pass_turn();
    if (tile_ == 0) {
        done_stats = stats_;
        stats_.reset();
    }
    wgmma_wait<(kOutputKeys > 0)>();
    pin(s);
    release_k();
    if (!kOInQ && tile_after() >= task_.tiles) release(shared_.q_empty(q_.index));
    mask_tile<kKeys>(s);

    // The first part of the softmax runs under the product in flight, which is over by the second part: that one can
    // then share its time with the packing of P, whose registers the product has read until now.
    constexpr int kCount = kKeys / 2, kFirst = kLazy || kFixed ? 32 : kCount;
    factor[0] = factor[1] = 1.f;
    bool rescale = raise_reference<0, kFirst>(s, stats_, scale_log2_, factor, tile_ == 0);
    exponentiate<0, kFirst>(s, stats_, scale_log2_);
    if constexpr (kFirst < kCount) rescale |= raise_reference<kFirst, kCount>(s, stats_, scale_log2_, factor, false);
    if constexpr (kOutputKeys > 0) {
        compute_before_wait(stats_.sum[0] + stats_.sum[1], shared_.base);
        release_stored_o();
        retire_output();
    }
    if constexpr (kFirst < kCount) exponentiate<kFirst, kCount>(s, stats_, scale_log2_);
    pack<kKeys>(s);
    return rescale;
}

/// Notes what p_ now holds and moves on to the next tile.
DEVICE void Consumer::advance() {
    waiting_ = {tile_ == 0, half_tile(), hi_lo(), tile_after() == tile_ + 2};
    if (waiting_.skip_next) {
        wait_turn();
        pass_turn();
        barrier_wait(shared_.k_full(k_.index), k_.phase);
        release_k();
    }
    tile_ = tile_after();
    if (tile_ < task_.tiles) return;
    done_ = task_, done_q_stage_ = q_.index, tile_ = 0;
    q_.advance();
    task_ = next_task();
}

DEVICE void Consumer::run_overlapped() {
    RowStats done_stats;
    float factor[kRowsPerThread];
    task_ = next_task();
    if (warpgroup_ == 0) release(shared_.started());
    if (task_.tiles == 0) return;
    start_turns();

    // The first tile of the stream has no product to overlap with, the last product no scores.
    await_scores();
    if (half_tile()) step<64, 0>(done_stats, factor);
    else step<kTileN, 0>(done_stats, factor);
    advance();
    while (task_.tiles > 0) {
        await_scores();
        bool rescale;
        if (half_tile()) rescale = step<64, kTileN>(done_stats, factor);
        else if (waiting_.half) rescale = step<kTileN, 64>(done_stats, factor);
        else rescale = step<kTileN, kTileN>(done_stats, factor);
        if (tile_ == 0) finish(done_, done_stats, done_q_stage_);
        else if (!kFixed && rescale) scale_rows(o_, factor);
        advance();
    }
    wgmma_fence();
    issue_lost_output();
    barrier_wait(shared_.v_full(v_.index), v_.phase);
    issue_output<kTileN>(p_, !waiting_.first || waiting_.lost);
    wgmma_commit();
    retire_output();
    finish(done_, stats_, done_q_stage_);
    release_stored_o();
    repair_overflows();
}

// ---- The serial loop ------------------------------------------------------------------------------------------------------

template <int kKeys>
DEVICE void Consumer::serial_step() {
    float s[kKeys / 2];
    wgmma_fence();
    issue_scores<kKeys>(s);
    wgmma_commit();
    wgmma_wait<0>();
    pin(s);
    release_k();
    mask_tile<kKeys>(s);
    float factor[kRowsPerThread] = {1.f, 1.f};
    constexpr int kFirst = kFixed ? 32 : kKeys / 2;
    const bool rescale = raise_reference<0, kFirst>(s, stats_, scale_log2_, factor, tile_ == 0);
    exponentiate<0, kKeys / 2>(s, stats_, scale_log2_);
    if (tile_ > 0 && rescale) scale_rows(o_, factor);
    pack<kKeys>(s);
    barrier_wait(shared_.v_full(v_.index), v_.phase);
    wgmma_fence();
    if (hi_lo()) issue_output<kKeys>(p_lost_, tile_ > 0);
    issue_output<kKeys>(p_, tile_ > 0 || hi_lo());
    wgmma_commit();
    wgmma_wait<0>();
    pin(o_);
    release_v();
}

DEVICE void Consumer::run_serial() {
    task_ = next_task();
    if (warpgroup_ == 0) release(shared_.started());
    for (; task_.tiles > 0; task_ = next_task()) {
        stats_.reset();
        for (tile_ = 0; tile_ < task_.tiles; ++tile_) {
            await_scores();
            if (skips(tile_)) {
                release_k();
                barrier_wait(shared_.v_full(v_.index), v_.phase);
                release_v();
            } else if (half_tile()) {
                serial_step<64>();
            } else {
                serial_step<kTileN>();
            }
        }
        if (!kOInQ) release(shared_.q_empty(q_.index));
        finish(task_, stats_, q_.index);
        q_.advance();
    }
    release_stored_o();
    repair_overflows();
}
