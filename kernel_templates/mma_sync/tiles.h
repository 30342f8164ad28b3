// Geometry of the kernel, its layout of shared memory, and the walk over query and key tiles.
#pragma once

#include "attune/attn_args.h"
#include "attune_tune.h"
#include "ptx.h"

constexpr int kTileM = Tune::tile_m;
constexpr int kTileN = Tune::tile_n;
constexpr int kThreads = 32 * Tune::num_warps;
constexpr int kStages = Tune::num_stages;
constexpr int kRowsPerWarp = kTileM / Tune::num_warps;
constexpr int kAtoms = kRowsPerWarp / 16;  // 16-row pieces of a warp
constexpr int kKeyGroups = kTileN / 16;    // 16 keys: one ldmatrix of K, one step of P.V
constexpr int kSteps = kHeadDim / 16;      // 16 dims: one step of Q.K, one ldmatrix of V
constexpr int kTilesPerBlock = kBlockSize / kTileN;
constexpr int kPieces = kHeadDim / 8;  // 16-byte pieces of a row
constexpr int kRowBytes = kHeadDim * 2;
constexpr int kGroupBytes = 16 * kRowBytes;
constexpr int kTileBytes = kTileN * kRowBytes;
constexpr int kStageBytes = 2 * kTileBytes;
constexpr int kQueryBytes = kTileM * kRowBytes;
constexpr bool kSplitWait = Tune::kv_wait == Tune::kv_wait_split;
constexpr bool kWarpSkips = Tune::diagonal == Tune::diagonal_warp;
constexpr int kSkipGroups = 2;  // key groups a warp skips together
constexpr bool kFp16 = Tune::p_mode == Tune::p_mode_fp16;
constexpr bool kConvertShared = kFp16 && Tune::v_convert == Tune::v_convert_shared;
constexpr float kLog2e = 1.44269504088896341f;
constexpr float kLn2 = 0.693147180559945309f;

static_assert(kThreads == Tune::threads && kQueryBytes + kStages * kStageBytes == Tune::shared_bytes,
              "geometry of template.json");
static_assert(kAtoms * 16 * Tune::num_warps == kTileM, "a warp owns whole 16-row pieces");
static_assert(kTileN * kPieces % kThreads == 0, "every thread copies as many pieces");

ATTUNE_DEVICE float infinity() {
    return __int_as_float(0x7f800000);
}

/// Byte offset of 16-byte `piece` of `row` in a tile.
ATTUNE_DEVICE U32 piece_offset(int row, int piece) {
    return row * kRowBytes + ((piece ^ (row & 7)) << 4);
}

/// `address` of piece 0 or 1 of a row, moved on by 2 * `step` pieces. Only the low three bits of a piece index are
/// swizzled: the fourth is an offset, which leaves half as many addresses to keep.
ATTUNE_DEVICE U32 at_step(U32 address, int step) {
    return (address ^ ((step & 3) << 5)) + (step & 4) * 32;
}

/// One query tile: which head, which rows, which key blocks.
struct Task {
    int head;  // over batch * heads
    int row0;  // position of its first query
    int seq_len;
    const int* blocks;  // listed key blocks, ascending
    int num_blocks;     // those not past the query block
    bool diagonal;      // the last of them is the query block itself

    ATTUNE_DEVICE Task(const AttnArgs& args, int index) {
        const int all_heads = args.batch * args.heads;
        const int tiles = args.t_max / kTileM;
        if constexpr (Tune::order == Tune::order_longest_first) {
            head = index % all_heads;
            row0 = (tiles - 1 - index / all_heads) * kTileM;
        } else {
            head = index / tiles;
            row0 = index % tiles * kTileM;
        }
        const int query_block = row0 / kBlockSize;
        const int* row = args.row_ptr + head * (args.q_blocks + 1) + query_block;
        const int first = row[0];
        seq_len = args.seq_lens[head / args.heads];
        blocks = args.col_idx + static_cast<long long>(head) * args.max_nnz + first;
        num_blocks = row0 < seq_len ? row[1] - first : 0;
        while (num_blocks > 0 && blocks[num_blocks - 1] > query_block)
            --num_blocks;
        diagonal = num_blocks > 0 && blocks[num_blocks - 1] == query_block;
    }

    [[nodiscard]] ATTUNE_DEVICE long long offset(const AttnArgs& args) const {
        return static_cast<long long>(head) * args.t_max * kHeadDim;
    }
    /// Key tiles of the diagonal block which hold a key not past the last query.
    [[nodiscard]] ATTUNE_DEVICE int diagonal_tiles() const {
        return diagonal ? (row0 % kBlockSize + kTileM + kTileN - 1) / kTileN : 0;
    }
    [[nodiscard]] ATTUNE_DEVICE int all_tiles() const {
        return diagonal_tiles() + (num_blocks - (diagonal ? 1 : 0)) * kTilesPerBlock;
    }
};

/// Positions of the key tiles of a task: the diagonal block first, then from near to far, ascending within a block.
class KeyWalk {
  public:
    ATTUNE_DEVICE explicit KeyWalk(const Task& task)
        : blocks_(task.blocks),
          next_(task.num_blocks - 2),
          upcoming_(next_ >= 0 ? blocks_[next_] : 0),
          key0_(blocks_[task.num_blocks - 1] * kBlockSize - kTileN),
          left_in_block_(task.diagonal ? task.diagonal_tiles() : kTilesPerBlock) {}

    [[nodiscard]] ATTUNE_DEVICE bool done() const { return left_in_block_ == 0 && next_ < 0; }

    /// Position of the next tile's first key. The block after the current one is already in a register, so that no
    /// copy waits for its index.
    ATTUNE_DEVICE int advance() {
        if (left_in_block_ == 0) {
            key0_ = upcoming_ * kBlockSize - kTileN;
            left_in_block_ = kTilesPerBlock;
            --next_;
            upcoming_ = next_ >= 0 ? blocks_[next_] : 0;
        }
        key0_ += kTileN;
        --left_in_block_;
        return key0_;
    }

  private:
    const int* blocks_;
    int next_;
    int upcoming_;
    int key0_;
    int left_in_block_;
};
