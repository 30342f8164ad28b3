// K and V on their way from global to shared memory.
#pragma once

#include "tiles.h"

/// Brings the K and V tiles of a task to shared memory, ahead of their use as far as num_stages and kv_wait allow.
class KeyValuePipe {
  public:
    /// Copy groups under way after start(); when the oldest is waited for, all but it may stay pending. A buffer is
    /// copied into only after a barrier behind its last use: one tile back, or two where the scores run ahead.
    static constexpr int kGroupsAhead = kSplitWait ? 2 * kStages - 1 : kStages - 1 - Tune::overlap;

    ATTUNE_DEVICE KeyValuePipe(const AttnArgs& args, const Task& task, U32 stages)
        : args_(args),
          walk_(task),
          source_(task.offset(args) + threadIdx.x * 8),
          stages_(stages),
          seq_len_(task.seq_len) {}

    ATTUNE_DEVICE void start() {
        if constexpr (kSplitWait) {
            issue_keys();
#pragma unroll
            for (int stage = 1; stage < kStages; ++stage) {
                issue_values();
                issue_keys();
            }
        } else {
#pragma unroll
            for (int group = 0; group < kGroupsAhead; ++group)
                issue_pair();
        }
    }

    /// Returns when the K tile `kTilesOn` (0 or 1) after the current one is in shared memory for all threads.
    template <int kTilesOn>
    ATTUNE_DEVICE void wait_keys() {
        if constexpr (kSplitWait) {
            copy_async_wait<kGroupsAhead - 1>();
            __syncthreads();
            issue_values();  // into the buffer of the previous step's values, which all warps have read
        } else if constexpr (kGroupsAhead == 0) {
            __syncthreads();
            issue_pair();
            copy_async_wait<0>();
            convert_values<kTilesOn>();
            __syncthreads();
        } else {
            copy_async_wait<kGroupsAhead - 1>();
            convert_values<kTilesOn>();
            __syncthreads();
            issue_pair();
        }
    }

    /// The same for the current V tile, which may have come with its keys.
    ATTUNE_DEVICE void wait_values() {
        if constexpr (kSplitWait) {
            copy_async_wait<kGroupsAhead - 1>();
            convert_values<0>();
            __syncthreads();
            issue_keys();  // into the buffer of this step's keys
        }
    }

    template <int kTilesOn>
    [[nodiscard]] ATTUNE_DEVICE U32 keys() const {
        return stages_ + (kTilesOn == 0 ? read_stage_ : after(read_stage_));
    }
    template <int kTilesOn>
    [[nodiscard]] ATTUNE_DEVICE U32 values() const {
        return keys<kTilesOn>() + kTileBytes;
    }
    ATTUNE_DEVICE void next() {
        read_stage_ = after(read_stage_);
    }

  private:
    static constexpr int kRowsPerPass = kThreads / kPieces;
    static constexpr int kPasses = kTileN / kRowsPerPass;
    static_assert(kRowsPerPass % 8 == 0, "a thread's rows share their swizzle");

    ATTUNE_DEVICE static int after(int stage) {
        return kStages == 1 || stage == (kStages - 1) * kStageBytes ? 0 : stage + kStageBytes;
    }

    [[nodiscard]] ATTUNE_DEVICE static U32 copy_target() {
        return piece_offset(threadIdx.x / kPieces, threadIdx.x % kPieces);
    }

    template <int kPass = 0>
    ATTUNE_DEVICE static void copy(U32 to, const Bf16* from) {
        constexpr int kRow = kPass * kRowsPerPass;
        copy_async<kRow * kRowBytes, kRow * kHeadDim * 2, Tune::l2_prefetch>(to, from);
        if constexpr (kPass + 1 < kPasses) copy<kPass + 1>(to, from);
    }
    ATTUNE_DEVICE void copy_keys() {
        key0_ = walk_.advance();
        copy(stages_ + issue_stage_ + copy_target(), args_.k + source_ + key0_ * kHeadDim);
    }
    ATTUNE_DEVICE void copy_values() {
        const U32 to = stages_ + issue_stage_ + kTileBytes + copy_target();
        const Bf16* from = args_.v + source_ + key0_ * kHeadDim;
        if (key0_ + kTileN <= seq_len_) {
            copy(to, from);
        } else {
            for (int row = 0; row < kTileN; row += kRowsPerPass) {
                const bool valid = key0_ + row + static_cast<int>(threadIdx.x) / kPieces < seq_len_;
                copy_async_or_zero(to + row * kRowBytes, from + row * kHeadDim, valid);
            }
        }
        issue_stage_ = after(issue_stage_);
    }

    // A group is committed even when nothing is left to copy, so that the counts of pending groups stay constant.
    ATTUNE_DEVICE void issue_pair() {
        if (!walk_.done()) {
            copy_keys();
            copy_values();
        }
        copy_async_commit();
    }
    ATTUNE_DEVICE void issue_keys() {
        values_due_ = !walk_.done();
        if (values_due_) copy_keys();
        copy_async_commit();
    }
    ATTUNE_DEVICE void issue_values() {
        if (values_due_) copy_values();
        copy_async_commit();
    }

    /// Turns the pieces of V which this thread copied into fp16: its own wait suffices, the barrier comes after.
    template <int kTilesOn>
    ATTUNE_DEVICE void convert_values() {
        if constexpr (kConvertShared) {
            const U32 mine = values<kTilesOn>() + copy_target();
#pragma unroll
            for (int pass = 0; pass < kPasses; ++pass) {
                const U32 address = mine + pass * kRowsPerPass * kRowBytes;
                uint4 piece = load_shared(address);
                piece.x = bf16_to_fp16(piece.x);
                piece.y = bf16_to_fp16(piece.y);
                piece.z = bf16_to_fp16(piece.z);
                piece.w = bf16_to_fp16(piece.w);
                store_shared(address, piece);
            }
        }
    }

    const AttnArgs& args_;
    KeyWalk walk_;
    long long source_;  // of the thread's first piece of a tile at position 0, in elements of k and v
    U32 stages_;
    int seq_len_;
    int key0_ = 0;  // of the tile issued last
    int issue_stage_ = 0;
    int read_stage_ = 0;
    bool values_due_ = false;
};
