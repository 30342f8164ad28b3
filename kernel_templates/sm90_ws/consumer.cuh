// A consumer warpgroup: 64 query rows of each task, two products and a softmax a tile, and the way out.
//
// With overlap, the tiles of all tasks form one stream and the warpgroup is always one tile ahead with its scores:
// Q.K of tile j and P.V of tile j-1 are in flight together, and softmax of tile j runs under the latter. That holds
// across tasks too, so that the first scores of a task hide the last product and the epilogue of the one before
// (technique: FlashAttention-3, sections 3.1 and 3.2; there the pipeline drains at the end of each task).
#pragma once

#include "pipeline.cuh"
#include "softmax.cuh"

/// Named barriers; 0 is __syncthreads().
enum NamedBarrier { kTurnBarrier = 1, kWarpgroupBarrier = 3 };

class Consumer {
  public:
    DEVICE Consumer(const AttnArgs& args, Shared shared, int warpgroup)
        : args_(args),
          shared_(shared),
          warpgroup_(warpgroup),
          thread_(threadIdx.x % kWarpgroup),
          scale_log2_(args.scale * kLog2E) {}

    DEVICE void run_overlapped();
    DEVICE void run_serial();

  private:
    // ---- Ring traffic ---------------------------------------------------------------------------------------------
    DEVICE Task first_task();
    DEVICE Task next_task();
    DEVICE void release(u32 barrier) const {
        if (thread_ == 0) barrier_arrive(barrier);
    }
    DEVICE void release_k() {
        release(shared_.k_empty(k_.index));
        k_.advance();
    }
    DEVICE void release_v() {
        release(shared_.v_empty(v_.index));
        v_.advance();
    }
    /// Lets go of a tile that this warpgroup has no product for. Products keep the warps of a warpgroup together; here
    /// a barrier must, or one warp could still be looking for a phase that the ring has left behind.
    DEVICE void skip_k() {
        barrier_wait(shared_.k_full(k_.index), k_.phase);
        named_sync(kWarpgroupBarrier + warpgroup_, kWarpgroup);
        release_k();
    }
    DEVICE void skip_v() {
        barrier_wait(shared_.v_full(v_.index), v_.phase);
        named_sync(kWarpgroupBarrier + warpgroup_, kWarpgroup);
        release_v();
    }

    // ---- Ping-pong: the two warpgroups issue their products in turn, so that one computes while the other
    // exponentiates
    DEVICE void start_turns() const {
        if (Tune::pingpong && warpgroup_ == 1) named_arrive(kTurnBarrier, 2 * kWarpgroup);
    }
    DEVICE void wait_turn() const {
        if (Tune::pingpong) named_sync(kTurnBarrier + warpgroup_, 2 * kWarpgroup);
    }
    DEVICE void pass_turn() const {
        if (Tune::pingpong) named_arrive(kTurnBarrier + (warpgroup_ ^ 1), 2 * kWarpgroup);
    }

    // ---- Work on a tile; kKeys is kTileN, or 64 of 128 where the diagonal leaves no more --------------------------
    DEVICE void load_q_registers();
    template <int kKeys>
    DEVICE void issue_scores(float (&s)[kKeys / 2]);
    template <int kKeys>
    DEVICE void issue_output(const u32 (&p)[kTileN / 4], bool accumulate);
    template <int kKeys>
    DEVICE void mask_tile(float (&s)[kKeys / 2]) const;
    template <int kKeys>
    DEVICE void pack(const float (&s)[kKeys / 2]);
    DEVICE bool half_tile() const;
    DEVICE bool skips(int tile) const;
    DEVICE int tile_after() const { return tile_ + (skips(tile_ + 1) ? 2 : 1); }

    // ---- Steps of the overlapped loop -----------------------------------------------------------------------------
    DEVICE void await_scores();
    template <int kKeys>
    DEVICE void issue_waiting_output();
    DEVICE void retire_output();
    template <int kKeys>
    DEVICE void retire_scores(float (&s)[kKeys / 2]);
    template <int kKeys, int kOutputKeys>
    DEVICE void first_step();
    template <int kOutputKeys>
    DEVICE void step();
    DEVICE void advance();
    template <int kKeys>
    DEVICE void serial_step();

    // ---- Epilogue -------------------------------------------------------------------------------------------------
    DEVICE void finish(const Task& task, const RowStats& stats, int q_stage);
    DEVICE void release_stored_o();
    DEVICE void repair_overflows();

    DEVICE int first_row(const Task& task) const { return task.row + warpgroup_ * kRowsPerWarpgroup; }
    /// Whether the rounding errors of the current tile's P count.
    DEVICE bool hi_lo() const {
        if (Tune::p_mode != Tune::p_mode_bf16) return kHiLo;
        return kHiLo && tile_ < 32 && (task_.lost >> tile_ & 1) != 0;
    }

    const AttnArgs& args_;
    Shared shared_;
    int warpgroup_;
    int thread_;  // within the warpgroup
    float scale_log2_;

    Ring<kQStages> q_;
    Ring<kKStages> k_;
    Ring<kVStages> v_;
    bool overflowed_ = false;  // some row of this thread has
    int store_pending_ = -1;   // Q stage that a TMA store may still be reading

    Task task_;  // whose scores are computed: tile `tile_` is next
    int tile_ = 0;
    RowStats stats_;
    Task done_;  // whose output is being completed
    struct {
        bool first;  // of its task: its product starts o afresh
        bool half;
        bool lost;       // p_lost_ counts
        bool skip_next;  // the tile behind it is skipped by this warpgroup
    } waiting_;          // what p_ holds

    float o_[64];
    u32 p_[kTileN / 4];
    u32 p_lost_[kTileN / 4];
    // Zero, not left open: where the first value of a task comes from a branch and there is none before it, ptxas 13.0
    // takes the operand for dead after a tile's product and puts P into its registers.
    u32 q_registers_[kHeadDim / kMmaK][4] = {};
};

/// What the producer asked for ahead of the mask and the mask does not list is passed over.
DEVICE Task Consumer::first_task() {
    barrier_wait(shared_.q_full(q_.index), q_.phase);
    const Task task = Shared::get_task(shared_.first_task());
    if (task.tiles != kUnwanted) return task;
    named_sync(kWarpgroupBarrier + warpgroup_, kWarpgroup);
    release(shared_.q_empty(q_.index));
    q_.advance();
    skip_k();
    return next_task();
}

DEVICE Task Consumer::next_task() {
    // The task to come may be waiting for the Q stage that the last store reads: let go of it first.
    release_stored_o();
    barrier_wait(shared_.q_full(q_.index), q_.phase);
    return Shared::get_task(shared_.task(q_.index));
}

// ---- Work on a tile -----------------------------------------------------------------------------------------------

/// The first 64 rows of a diagonal block see only its first 64 keys: of a 128-wide tile they need one half ...
DEVICE bool Consumer::half_tile() const {
    return Tune::diagonal_skip && kTileN == 128 && tile_ == 0 && task_.diagonal == 0 &&
           first_row(task_) % kBlockSize == 0;
}

/// ... and of two 64-wide tiles the first.
DEVICE bool Consumer::skips(int tile) const {
    return Tune::diagonal_skip && kTileN == 64 && kTasksPerBlock == 1 && tile == 1 && task_.diagonal == 0 &&
           warpgroup_ == 0;
}

/// Only the diagonal block holds keys past a row; every key of a listed block below it is valid, because the block ends
/// at or before the first row and live rows end before seq_len.
template <int kKeys>
DEVICE void Consumer::mask_tile(float (&s)[kKeys / 2]) const {
    if (Tune::meet == 1 && tile_ * kTileN >= kBlockSize) return;  // the diagonal block comes first if at all
    const int first_key = (tile_ - task_.diagonal) * kTileN;
    if (task_.diagonal < 0 || first_key < 0 || first_key >= kBlockSize) return;
    const int first_row_in_block = first_row(task_) % kBlockSize;
    if (kTasksPerBlock == 2 && first_key > first_row_in_block) return;  // the producer has left that tile out
    if (first_key + kKeys - 1 <= first_row_in_block) return;
    const int lane = thread_ % kWarp;
    const int row = first_row_in_block + thread_ / kWarp * 16 + lane / 4;
    const int last_key = row - first_key - lane % 4 * 2;
    mask_causal(s, {last_key, last_key + 8});
}

/// 16-byte chunk `chunk` (of 16) of row `row` in a warpgroup's share of a tile of Q or O.
DEVICE u32 swizzled_chunk(u32 tile, int row, int chunk) {
    return tile + chunk / 8 * kRowsHalfBytes + row * kRowBytes + ((chunk % 8 ^ row % 8) << 4);
}

DEVICE void Consumer::load_q_registers() {
    const int lane = thread_ % kWarp;
#pragma unroll
    for (int i = 0; i < kHeadDim / kMmaK; ++i)
        load_matrix_x4(
            swizzled_chunk(shared_.q(q_.index, warpgroup_), thread_ / kWarp * 16 + lane % 16, i * 2 + lane / 16),
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
        if constexpr (Tune::q_in_registers)
            wgmma_scores<kKeys>(s, q_registers_[i], k_step, i > 0);
        else
            wgmma_scores<kKeys>(s, q + descriptor_offset(half * kRowsHalfBytes + at), k_step, i > 0);
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
    for (int i = kKeys / 4; i < kTileN / 4; ++i)
        p_[i] = p_lost_[i] = 0;
}
