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
        : args_(args),
          lane_(lane),
          seq_len_(lane < args.batch ? __ldg(args.seq_lens + lane) : 0),
          count_(blocks_from(0) * args.heads * kTasksPerBlock) {}

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
        QueryTile tile = Tune::order == Tune::order_longest_first ? longest_first(t)
                         : Tune::order == Tune::order_heads       ? by_heads(t)
                                                                  : in_order(t);
        tile.part = part;
        return tile;
    }

  private:
    DEVICE static int blocks_of(int seq_len) { return (seq_len + kBlockSize - 1) / kBlockSize; }
    DEVICE int seq_len(int batch) const {
        return batch < kWarp ? __shfl_sync(~0u, seq_len_, batch) : __ldg(args_.seq_lens + batch);
    }
    DEVICE int live_blocks(int batch) const { return blocks_of(seq_len(batch)); }

    /// Query blocks of one head in every batch whose index is at least `q_block`.
    DEVICE int blocks_from(int q_block) const {
        int sum = max(0, blocks_of(seq_len_) - q_block);
#pragma unroll 1
        for (int b = kWarp; b < args_.batch; b += kWarp)
            if (b + lane_ < args_.batch) sum += max(0, blocks_of(__ldg(args_.seq_lens + b + lane_)) - q_block);
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
        return {batch * args_.heads + rest, low, 0, seq_len(batch)};
    }

    /// Head after head, ascending: as the mask lists them.
    DEVICE QueryTile in_order(int t) const {
        int batch = 0;
        while (t >= live_blocks(batch) * args_.heads)
            t -= live_blocks(batch++) * args_.heads;
        const int blocks = live_blocks(batch), head = divide(t, blocks);
        return {batch * args_.heads + head, t - head * blocks, 0, seq_len(batch)};
    }

    /// Head after head, descending within each, so that tasks of the same time share K and V in L2 and a wave of CTAs
    /// asks memory for little that is new; but for the first tail_blocks of all heads, which come last, descending.
    DEVICE QueryTile by_heads(int t) const {
        for (int batch = 0; batch < args_.batch; ++batch) {
            const int body = max(0, live_blocks(batch) - Tune::tail_blocks);
            if (t < body * args_.heads) {
                const int head = divide(t, body);
                return {batch * args_.heads + head, Tune::tail_blocks + body - 1 - (t - head * body), 0,
                        seq_len(batch)};
            }
            t -= body * args_.heads;
        }
        for (int batch = 0;; ++batch) {
            const int tail = min(Tune::tail_blocks, live_blocks(batch));
            if (t < tail * args_.heads) {
                const int down = divide(t, args_.heads);
                return {batch * args_.heads + t - down * args_.heads, tail - 1 - down, 0, seq_len(batch)};
            }
            t -= tail * args_.heads;
        }
    }

    DEVICE static int divide(int a, int b) {
        return static_cast<int>(static_cast<unsigned>(a) / static_cast<unsigned>(b));
    }

    const AttnArgs& args_;
    int lane_;
    int seq_len_;  // of batch `lane_`: all there is to know for up to 32 batches
    int count_;
};
