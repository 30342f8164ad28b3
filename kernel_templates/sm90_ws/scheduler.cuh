// Which task comes when. Only query blocks that begin before seq_len are tasks; the order is computed from seq_lens by
// arithmetic, since a pre-pass that sorts them would cost more than it saves.
#pragma once

#include "pipeline.cuh"

struct QueryTile {
    int bh;
    int q_block;
    int part;  // which kTileM rows of the query block
    int seq_len;
};

/// Run by a whole warp in step: lanes share the batches.
class Scheduler {
  public:
    DEVICE Scheduler(const AttnArgs& args, int lane)
        : args_(args), lane_(lane), live_(live_blocks(lane)), count_(blocks_from(0) * args.heads * kTasksPerBlock) {}

    /// Tasks of this call.
    DEVICE int count() const { return count_; }

    /// The first task of this CTA, then the following ones; at or past `count()` there are no more.
    DEVICE int first() const { return static_cast<int>(blockIdx.x); }

    DEVICE int next(int current) const {
        if (Tune::schedule == Tune::schedule_grid) return count_;
        if (Tune::schedule == Tune::schedule_static) return current + static_cast<int>(gridDim.x);
        // Every CTA that had a first task draws until it fails once, so that a call makes exactly `count()` draws and
        // the wrap-around of atomicInc leaves the counter at zero for the next call.
        unsigned int draw = 0;
        if (lane_ == 0)
            draw = atomicInc(static_cast<unsigned int*>(args_.workspace), static_cast<unsigned>(count_ - 1));
        return static_cast<int>(gridDim.x) + warp_uniform(static_cast<int>(draw));
    }

    DEVICE QueryTile tile(int task) const {
        const int part = kTasksPerBlock - 1 - task % kTasksPerBlock;
        const int t = task / kTasksPerBlock;
        QueryTile tile = Tune::order == Tune::order_longest_first ? longest_first(t) : by_heads(t);
        tile.part = part;
        return tile;
    }

  private:
    DEVICE int live_blocks(int batch) const {
        return batch < args_.batch ? (__ldg(args_.seq_lens + batch) + kBlockSize - 1) / kBlockSize : 0;
    }

    /// Query blocks of one head in every batch whose index is at least `q_block`.
    DEVICE int blocks_from(int q_block) const {
        int sum = max(0, live_ - q_block);
        for (int b = kWarp; b < args_.batch; b += kWarp)
            sum += max(0, live_blocks(b + lane_) - q_block);
        return __reduce_add_sync(~0u, sum);
    }

    /// Descending query block over all batches and heads: causal rows only get shorter towards block 0, so this is
    /// longest processing time first, which leaves the short tasks to fill the end.
    DEVICE QueryTile longest_first(int t) const {
        int low = 0,
            high = args_.q_blocks;  // the largest q_block with more than t tasks at or above it is in [low, high)
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            if (blocks_from(middle) * args_.heads > t)
                low = middle;
            else
                high = middle;
        }
        int rest = t - blocks_from(low + 1) * args_.heads;
        int batch = 0;
        while (live_blocks(batch) <= low || rest >= args_.heads) {
            if (live_blocks(batch) > low) rest -= args_.heads;
            ++batch;
        }
        return {batch * args_.heads + rest, low, 0, __ldg(args_.seq_lens + batch)};
    }

    /// Group by group of heads, whose K and V then stay in L2; descending query block within a group. In mask order a
    /// group is one head, and ascends.
    DEVICE QueryTile by_heads(int t) const {
        constexpr bool kInOrder = Tune::order == Tune::order_in_order;
        constexpr int kGroupTokens = 1 << 16;  // 32 MB of K and V: about half of an H100's L2
        const int group = kInOrder ? 1 : max(1, kGroupTokens / args_.t_max);
        int batch = 0;
        while (t >= live_blocks(batch) * args_.heads)
            t -= live_blocks(batch++) * args_.heads;
        const int blocks = live_blocks(batch);
        const int first_head = t / (blocks * group) * group;
        const int heads = min(group, args_.heads - first_head);
        t -= first_head * blocks;
        const int q_block = kInOrder ? t : blocks - 1 - t / heads;
        return {batch * args_.heads + first_head + (kInOrder ? 0 : t % heads), q_block, 0,
                __ldg(args_.seq_lens + batch)};
    }

    const AttnArgs& args_;
    int lane_;
    int live_;  // live_blocks(lane_): all there is to know for up to 32 batches
    int count_;
};
