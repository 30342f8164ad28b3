// The two loops of a consumer: one that overlaps the products of neighbouring tiles, one that does not.
#pragma once

#include "epilogue.cuh"

// ---- Overlapped ---------------------------------------------------------------------------------------------------

/// Waits for what the scores of the current tile read.
DEVICE void Consumer::await_scores() {
    barrier_wait(shared_.k_full(k_.index), k_.phase);
    if (Tune::q_in_registers && tile_ == 0) load_q_registers();
}

/// Issues the product of kKeys keys that is waiting for its V: where it counts, that with the rounding errors of P
/// first. Few tasks have one. It is a group of its own, for a branch inside a group ends it (ptxas counts the parts),
/// and has a fence of its own, since ptxas serialises the products around one that it must insert into a branch
/// (C7520).
template <int kKeys>
DEVICE void Consumer::issue_waiting_output() {
    barrier_wait(shared_.v_full(v_.index), v_.phase);
    if (kHiLo && waiting_.lost) {
        wgmma_fence();
        issue_output<kTileN>(p_lost_, !waiting_.first);
        wgmma_commit();
    }
    wgmma_fence();
    issue_output<kKeys>(p_, !waiting_.first || waiting_.lost);
    wgmma_commit();
}

/// After the wait for the product: o is complete up to this tile.
DEVICE void Consumer::retire_output() {
    pin(o_);
    release_v();
    if (waiting_.skip_next) skip_v();
}

/// After the wait for the scores: masks them, and lets go of what they were computed from.
template <int kKeys>
DEVICE void Consumer::retire_scores(float (&s)[kKeys / 2]) {
    pin(s);
    release_k();
    if (!kOInQ && tile_after() >= task_.tiles) release(shared_.q_empty(q_.index));
    mask_tile<kKeys>(s);
}

/// Scores and probabilities of the first kKeys keys of a task, and before them the last product of the task before,
/// whose way out is hidden behind the scores; kOutputKeys is 0 where there was none. Each width, and each order of the
/// two products, is a path of its own: where accumulators of two paths merge while products are in flight, ptxas
/// serialises them (C7511, C7515).
template <int kKeys, int kOutputKeys>
DEVICE void Consumer::first_step() {
    float s[kKeys / 2];
    wait_turn();
    wgmma_fence();
    if constexpr (kOutputKeys > 0) issue_waiting_output<kOutputKeys>();
    issue_scores<kKeys>(s);
    wgmma_commit();
    pass_turn();
    if constexpr (kOutputKeys > 0) {
        release_stored_o();
        wgmma_wait<1>();
        retire_output();
        finish(done_, stats_, q_.before());
    }
    wgmma_wait<0>();
    if (kOutputKeys > 0 && task_.tiles == kEndOfStream) {
        // An end of its own: where the paths meet again after it, ptxas spills.
        release_stored_o();
        repair_overflows();
        exit_thread();
    }
    retire_scores<kKeys>(s);
    stats_.reset();
    float factor[kRowsPerThread] = {1.f, 1.f};
    raise_reference<0, kKeys / 2>(s, stats_, scale_log2_, factor, true);
    exponentiate<0, kKeys / 2>(s, stats_, scale_log2_);
    pack<kKeys>(s);
}

/// Scores and probabilities of a further tile of a task, in flight together with the product of kOutputKeys keys that
/// is waiting for its V.
template <int kOutputKeys>
DEVICE void Consumer::step() {
    float s[kTileN / 2];
    wait_turn();
    wgmma_fence();
    issue_scores<kTileN>(s);
    wgmma_commit();
    issue_waiting_output<kOutputKeys>();
    pass_turn();
    wgmma_wait<1>();
    retire_scores<kTileN>(s);

    // The first part of the softmax runs under the product in flight, which is over by the second part: that one can
    // then share its time with the packing of P, whose registers the product has read until now.
    constexpr int kCount = kTileN / 2, kFirst = kLazy || kFixed ? 32 : kCount;
    float factor[kRowsPerThread] = {1.f, 1.f};
    bool rescale = raise_reference<0, kFirst>(s, stats_, scale_log2_, factor, false);
    exponentiate<0, kFirst>(s, stats_, scale_log2_);
    if constexpr (kFirst < kCount) rescale |= raise_reference<kFirst, kCount>(s, stats_, scale_log2_, factor, false);
    compute_before_wait(stats_.sum[0] + stats_.sum[1], shared_.base);
    release_stored_o();
    wgmma_wait<0>();
    retire_output();
    if constexpr (kFirst < kCount) exponentiate<kFirst, kCount>(s, stats_, scale_log2_);
    pack<kTileN>(s);
    if (!kFixed && rescale) scale_rows(o_, factor);
}

/// Notes what p_ now holds and moves on to the next tile.
DEVICE void Consumer::advance() {
    waiting_ = {tile_ == 0, half_tile(), hi_lo(), tile_after() == tile_ + 2};
    if (waiting_.skip_next) {
        wait_turn();
        pass_turn();
        skip_k();
    }
    tile_ = tile_after();
    if (tile_ < task_.tiles) return;
    done_ = task_, tile_ = 0;
    q_.advance();
    task_ = next_task();
}

DEVICE void Consumer::run_overlapped() {
    task_ = first_task();
    if (task_.tiles == kEndOfStream) return;
    start_turns();

    // The first tile of the stream has no product to go with, the last product no scores.
    await_scores();
    if (half_tile())
        first_step<64, 0>();
    else
        first_step<kTileN, 0>();
    advance();
    // The last product has no scores to go with either, but takes some of what lies in shared memory: the way out is
    // then in the program once, and its instructions are cached.
    for (;;) {
        if (task_.tiles != kEndOfStream) await_scores();
        if (tile_ == 0) {
            if (half_tile())
                first_step<64, kTileN>();
            else
                first_step<kTileN, kTileN>();
        } else if (waiting_.half) {
            step<64>();
        } else {
            step<kTileN>();
        }
        advance();
    }
}

// ---- Serial -------------------------------------------------------------------------------------------------------

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
    const bool rescale = raise_reference<0, kKeys / 2>(s, stats_, scale_log2_, factor, tile_ == 0);
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
    for (task_ = first_task(); task_.tiles != kEndOfStream; task_ = next_task()) {
        stats_.reset();
        for (tile_ = 0; tile_ < task_.tiles; ++tile_) {
            await_scores();
            if (skips(tile_)) {
                skip_k();
                skip_v();
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
