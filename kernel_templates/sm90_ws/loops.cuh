// The two loops of a consumer: one that overlaps the products of neighbouring tiles, one that does not.
#pragma once

#include "epilogue.cuh"

// ---- Overlapped ---------------------------------------------------------------------------------------------------

/// Waits for what the scores of the current tile read.
DEVICE void Consumer::await_scores() {
    barrier_wait(shared_.k_full(k_.index), k_.phase);
    if (Tune::q_in_registers && tile_ == 0) load_q_registers();
}

/// The product with the rounding errors of P, where it counts. Few tasks have one, so it goes ahead of the products
/// that overlap: a branch among those would end the group that wgmma_wait<1> is to leave in flight (ptxas counts the
/// parts).
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
    if (half_tile())
        step<64, 0>(done_stats, factor);
    else
        step<kTileN, 0>(done_stats, factor);
    advance();
    while (task_.tiles > 0) {
        await_scores();
        bool rescale;
        if (half_tile())
            rescale = step<64, kTileN>(done_stats, factor);
        else if (waiting_.half)
            rescale = step<kTileN, 64>(done_stats, factor);
        else
            rescale = step<kTileN, kTileN>(done_stats, factor);
        if (tile_ == 0)
            finish(done_, done_stats, done_q_stage_);
        else if (!kFixed && rescale)
            scale_rows(o_, factor);
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
