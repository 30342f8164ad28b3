// Block-sparse causal attention in the manner of FlashAttention-2 (Dao, 2023): a thread block owns tile_m queries, each
// warp tile_m / num_warps of them, and walks over tiles of tile_n keys which cp.async brings to shared memory.
//
// Shared memory holds Q, then num_stages pairs of K and V tiles. A row is 16 pieces of 16 bytes. So that the 8 rows an
// ldmatrix phase reads fall into different banks, either piece p of row r lies at position p ^ (r & 7), or rows are
// padded by one piece, which takes 1/16 more memory and makes every address an immediate offset.
//
// Masks: a query that counts lies before seq_len, so every listed key before the diagonal block counts whole, and in
// the diagonal block key <= query implies key < seq_len. The diagonal block is visited first and in ascending order,
// so that a row's maximum is finite from the first step on. Values past seq_len arrive as zeros: whatever lies there
// (0 * NaN) cannot leak into a row that counts.
#include "attune/attn_args.h"
#include "attune_tune.h"
#include "ptx.h"

namespace {

constexpr int kTileM = Tune::tile_m;
constexpr int kTileN = Tune::tile_n;
constexpr int kThreads = 32 * Tune::num_warps;
constexpr int kStages = Tune::num_stages;
constexpr int kRowsPerWarp = kTileM / Tune::num_warps;
constexpr int kAtoms = kRowsPerWarp / 16;   // 16-row pieces of a warp
constexpr int kKeyGroups = kTileN / 16;     // 16 keys: one ldmatrix of K, one step of P.V
constexpr int kSteps = kHeadDim / 16;       // 16 dims: one step of Q.K, one ldmatrix of V
constexpr int kTilesPerBlock = kBlockSize / kTileN;
constexpr int kPieces = kHeadDim / 8;       // 16-byte pieces of a row
constexpr bool kPadded = Tune::layout == Tune::layout_padded;
constexpr int kRowBytes = kHeadDim * 2 + (kPadded ? 16 : 0);
constexpr int kGroupBytes = 16 * kRowBytes;
constexpr int kTileBytes = kTileN * kRowBytes;
constexpr int kStageBytes = 2 * kTileBytes;
constexpr int kQueryBytes = kTileM * kRowBytes;
constexpr bool kSplitWait = Tune::kv_wait == Tune::kv_wait_split;
constexpr bool kWarpSkips = Tune::diagonal == Tune::diagonal_warp;
constexpr int kSkipGroups = 2;              // key groups a warp skips together
constexpr bool kFp16 = Tune::p_mode == Tune::p_mode_fp16;
constexpr bool kConvertShared = kFp16 && Tune::v_convert == Tune::v_convert_shared;
constexpr float kLog2e = 1.44269504088896341f;
constexpr float kLn2 = 0.693147180559945309f;

static_assert(kThreads == Tune::threads && kQueryBytes + kStages * kStageBytes == Tune::shared_bytes,
              "geometry of template.json");
static_assert(kAtoms * 16 * Tune::num_warps == kTileM, "a warp owns whole 16-row pieces");
static_assert(kTileN * kPieces % kThreads == 0, "every thread copies as many pieces");

ATTUNE_DEVICE float infinity() { return __int_as_float(0x7f800000); }

/// Byte offset of 16-byte `piece` of `row` in a tile.
ATTUNE_DEVICE U32 piece_offset(int row, int piece) {
    return row * kRowBytes + ((kPadded ? piece : piece ^ (row & 7)) << 4);
}

/// `address` of piece 0 or 1 of a row, moved on by 2 * `step` pieces. Only the low three bits of a piece index are
/// swizzled: the fourth is an offset, which leaves half as many addresses to keep.
ATTUNE_DEVICE U32 at_step(U32 address, int step) {
    return kPadded ? address + step * 32 : (address ^ ((step & 3) << 5)) + (step & 4) * 32;
}

/// One query tile: which head, which rows, which key blocks.
struct Task {
    int head;          // over batch * heads
    int row0;          // position of its first query
    int seq_len;
    const int* blocks; // listed key blocks, ascending
    int num_blocks;    // those not past the query block
    bool diagonal;     // the last of them is the query block itself

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
        while (num_blocks > 0 && blocks[num_blocks - 1] > query_block) --num_blocks;
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

/// Brings the K and V tiles of a task to shared memory, ahead of their use as far as num_stages and kv_wait allow.
class KeyValuePipe {
  public:
    /// Copy groups under way after start(), and so the number that may be pending when the oldest is waited for is
    /// one less.
    static constexpr int kGroupsAhead = kSplitWait ? 2 * kStages - 1 : kStages - 1;

    ATTUNE_DEVICE KeyValuePipe(const AttnArgs& args, const Task& task, U32 stages)
        : walk_(task), stages_(stages), seq_len_(task.seq_len) {
        const long long thread_offset = task.offset(args) + copy_row() * kHeadDim + copy_piece() * 8;
        keys_ = args.k + thread_offset;
        values_ = args.v + thread_offset;
    }

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
            for (int stage = 1; stage < kStages; ++stage) issue_pair();
        }
    }

    /// Returns when the current K tile is in shared memory for all threads.
    ATTUNE_DEVICE void wait_keys() {
        if constexpr (kSplitWait) {
            copy_async_wait<kGroupsAhead - 1>();
            __syncthreads();
            issue_values();  // into the buffer of the previous step's values, which all warps have read
        } else if constexpr (kStages == 1) {
            __syncthreads();
            issue_pair();
            copy_async_wait<0>();
            convert_values();
            __syncthreads();
        } else {
            copy_async_wait<kGroupsAhead - 1>();
            convert_values();
            __syncthreads();
            issue_pair();
        }
    }

    /// The same for the current V tile.
    ATTUNE_DEVICE void wait_values() {
        if constexpr (kSplitWait) {
            copy_async_wait<kGroupsAhead - 1>();
            convert_values();
            __syncthreads();
            issue_keys();  // into the buffer of this step's keys
        }
    }

    [[nodiscard]] ATTUNE_DEVICE U32 keys() const { return stages_ + read_stage_; }
    [[nodiscard]] ATTUNE_DEVICE U32 values() const { return stages_ + read_stage_ + kTileBytes; }
    ATTUNE_DEVICE void next() { read_stage_ = after(read_stage_); }

  private:
    static constexpr int kRowsPerPass = kThreads / kPieces;
    static constexpr int kPasses = kTileN / kRowsPerPass;
    static_assert(kRowsPerPass % 8 == 0, "a thread's rows share their swizzle");

    ATTUNE_DEVICE static int copy_row() { return threadIdx.x / kPieces; }
    ATTUNE_DEVICE static int copy_piece() { return threadIdx.x % kPieces; }
    ATTUNE_DEVICE static int after(int stage) {
        return kStages == 1 || stage == (kStages - 1) * kStageBytes ? 0 : stage + kStageBytes;
    }

    ATTUNE_DEVICE void copy(const Bf16* from, U32 to, int valid_rows) {
        to += piece_offset(copy_row(), copy_piece());
#pragma unroll
        for (int pass = 0; pass < kPasses; ++pass) {
            const int row = pass * kRowsPerPass;
            copy_async<Tune::l2_prefetch>(to + row * kRowBytes, from + row * kHeadDim,
                                          copy_row() + row < valid_rows ? 16 : 0);
        }
    }
    ATTUNE_DEVICE void copy_keys() {
        key0_ = walk_.advance();
        copy(keys_ + key0_ * kHeadDim, stages_ + issue_stage_, kTileN);
    }
    ATTUNE_DEVICE void copy_values() {
        copy(values_ + key0_ * kHeadDim, stages_ + issue_stage_ + kTileBytes, seq_len_ - key0_);
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
    ATTUNE_DEVICE void convert_values() {
        if constexpr (kConvertShared) {
            const U32 mine = values() + piece_offset(copy_row(), copy_piece());
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

    KeyWalk walk_;
    const Bf16* keys_;
    const Bf16* values_;
    U32 stages_;
    int seq_len_;
    int key0_ = 0;  // of the tile issued last
    int issue_stage_ = 0;
    int read_stage_ = 0;
    bool values_due_ = false;
};

/// The rows of one warp: Q, the running softmax and the output, in the layout of mma accumulators. Lane l holds rows
/// l / 4 and l / 4 + 8 of each 16-row piece, columns 2 * (l % 4) and the next of each 8.
class WarpRows {
  public:
    using Scores = float[kAtoms][2 * kKeyGroups][4];

    ATTUNE_DEVICE WarpRows(const AttnArgs& args, const Task& task, U32 shared_q)
        : lane_(threadIdx.x % 32),
          first_row_(task.row0 + threadIdx.x / 32 * kRowsPerWarp),
          shared_q_(shared_q + threadIdx.x / 32 * kRowsPerWarp * kRowBytes),
          scale_log2_(args.scale * kLog2e) {
#pragma unroll
        for (int atom = 0; atom < kAtoms; ++atom) {
            row_max_[atom][0] = row_max_[atom][1] = -infinity();
            row_sum_[atom][0] = row_sum_[atom][1] = 0.0f;
#pragma unroll
            for (int i = 0; i < 2 * kSteps; ++i) {
                out_[atom][i][0] = out_[atom][i][1] = out_[atom][i][2] = out_[atom][i][3] = 0.0f;
            }
        }
    }

    /// Starts copying the warp's own rows of Q: no other warp reads or writes them.
    ATTUNE_DEVICE void issue_queries(const AttnArgs& args, const Task& task) {
        const Bf16* from = args.q + task.offset(args) + static_cast<long long>(first_row_) * kHeadDim;
#pragma unroll
        for (int pass = 0; pass < kRowsPerWarp / 2; ++pass) {
            const int row = 2 * pass + lane_ / kPieces;
            const int piece = lane_ % kPieces;
            copy_async<0>(shared_q_ + piece_offset(row, piece), from + row * kHeadDim + piece * 8, 16);
        }
    }

    /// Reads all Q fragments, once they have arrived.
    ATTUNE_DEVICE void hold_queries() {
        if constexpr (Tune::q_in_registers) {
            __syncwarp();
#pragma unroll
            for (int step = 0; step < kSteps; ++step) {
#pragma unroll
                for (int atom = 0; atom < kAtoms; ++atom) load_query(held_q_[atom][step], atom, step);
            }
        }
    }

    /// One key tile at position `key0`: scores, softmax, output. `kMasked` for tiles which may reach past a query,
    /// `kHilo` to add the product with P's rounding error.
    template <bool kMasked, bool kHilo>
    ATTUNE_DEVICE void attend(KeyValuePipe& pipe, int key0) {
        Scores scores;
        pipe.wait_keys();
        multiply_keys<kMasked>(scores, pipe.keys(), key0);
        if constexpr (kMasked) mask(scores, key0);
        update_softmax(scores);
        pipe.wait_values();
        multiply_values<kMasked, kHilo>(scores, pipe.values(), key0);
    }

    ATTUNE_DEVICE void write(const AttnArgs& args, const Task& task);

  private:
    /// Whether a masked tile's strip of keys from `group` on has a key not past the warp's last query.
    template <bool kMasked>
    [[nodiscard]] ATTUNE_DEVICE bool needs_strip(int key0, int group) const {
        return !(kMasked && kWarpSkips) || key0 + group * 16 < first_row_ + kRowsPerWarp;
    }

    /// Address of the lane's row and half for an ldmatrix whose matrices are (rows 0-7, 8-15) of piece 0, then of
    /// piece 1: operand A from Q, and operand B from V transposed.
    [[nodiscard]] ATTUNE_DEVICE U32 rows_first() const { return piece_offset(lane_ & 15, lane_ >> 4); }
    /// The same with (piece 0, piece 1) of rows 0-7, then of rows 8-15: operand B from K.
    [[nodiscard]] ATTUNE_DEVICE U32 pieces_first() const {
        return piece_offset((lane_ & 7) + (lane_ >> 4 << 3), (lane_ >> 3) & 1);
    }

    ATTUNE_DEVICE void load_query(U32 (&to)[4], int atom, int step) const {
        load_matrix(to, at_step(shared_q_ + rows_first(), step) + atom * kGroupBytes);
    }

    ATTUNE_DEVICE void query_fragments(U32 (&q)[kAtoms][4], int step) const {
#pragma unroll
        for (int atom = 0; atom < kAtoms; ++atom) {
            if constexpr (Tune::q_in_registers) {
#pragma unroll
                for (int i = 0; i < 4; ++i) q[atom][i] = held_q_[atom][step][i];
            } else {
                load_query(q[atom], atom, step);
            }
        }
    }

    template <bool kMasked>
    ATTUNE_DEVICE void multiply_keys(Scores& scores, U32 keys, int key0) const {
        constexpr int kStrip = kMasked && kWarpSkips ? kSkipGroups : kKeyGroups;
        const U32 mine = keys + pieces_first();
#pragma unroll
        for (int atom = 0; atom < kAtoms; ++atom) {
#pragma unroll
            for (int i = 0; i < 2 * kKeyGroups; ++i) {
                scores[atom][i][0] = scores[atom][i][1] = scores[atom][i][2] = scores[atom][i][3] = 0.0f;
            }
        }
#pragma unroll
        for (int strip = 0; strip < kKeyGroups; strip += kStrip) {
            if (!needs_strip<kMasked>(key0, strip)) continue;
#pragma unroll
            for (int step = 0; step < kSteps; ++step) {
                U32 q[kAtoms][4];
                query_fragments(q, step);
#pragma unroll
                for (int group = strip; group < strip + kStrip; ++group) {
                    U32 k[4];
                    load_matrix(k, at_step(mine, step) + group * kGroupBytes);
#pragma unroll
                    for (int atom = 0; atom < kAtoms; ++atom) {
                        mma_bf16(scores[atom][2 * group], q[atom], k[0], k[1]);
                        mma_bf16(scores[atom][2 * group + 1], q[atom], k[2], k[3]);
                    }
                }
            }
        }
    }

    ATTUNE_DEVICE void mask(Scores& scores, int key0) const {
#pragma unroll
        for (int atom = 0; atom < kAtoms; ++atom) {
#pragma unroll
            for (int i = 0; i < 2 * kKeyGroups; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const int key = key0 + 8 * i + 2 * (lane_ % 4) + j % 2;
                    const int query = first_row_ + 16 * atom + lane_ / 4 + 8 * (j / 2);
                    if (key > query) scores[atom][i][j] = -infinity();
                }
            }
        }
    }

    /// Turns scores into probabilities against the running maximum, first bringing sums and output to it.
    ATTUNE_DEVICE void update_softmax(Scores& scores) {
#pragma unroll
        for (int atom = 0; atom < kAtoms; ++atom) {
            float top[2] = {row_max_[atom][0], row_max_[atom][1]};
#pragma unroll
            for (int i = 0; i < 2 * kKeyGroups; ++i) {
                top[0] = fmaxf(top[0], fmaxf(scores[atom][i][0], scores[atom][i][1]));
                top[1] = fmaxf(top[1], fmaxf(scores[atom][i][2], scores[atom][i][3]));
            }
            top[0] = quad_max(top[0]);
            top[1] = quad_max(top[1]);
            if (must_rescale(atom, top)) rescale(atom, top);

            const float offset[2] = {row_max_[atom][0] * scale_log2_, row_max_[atom][1] * scale_log2_};
#pragma unroll
            for (int i = 0; i < 2 * kKeyGroups; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const float p = exp2_approx(fmaf(scores[atom][i][j], scale_log2_, -offset[j / 2]));
                    scores[atom][i][j] = p;
                    row_sum_[atom][j / 2] += p;
                }
            }
        }
    }

    [[nodiscard]] ATTUNE_DEVICE bool must_rescale(int atom, const float (&top)[2]) const {
        if constexpr (Tune::rescale == Tune::rescale_always) return true;
        // Up to 2^8 a stale maximum costs nothing: probabilities stay far from the limits of fp16 and bf16 alike, and
        // sum and output carry the same factor.
        const float allowed = Tune::rescale == Tune::rescale_far ? 8.0f / scale_log2_ : 0.0f;
        const bool grew = top[0] > row_max_[atom][0] + allowed || top[1] > row_max_[atom][1] + allowed;
        return __any_sync(0xffffffffu, grew);
    }

    ATTUNE_DEVICE void rescale(int atom, const float (&top)[2]) {
        float correction[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            correction[half] = exp2_approx((row_max_[atom][half] - top[half]) * scale_log2_);
            row_max_[atom][half] = top[half];
            row_sum_[atom][half] *= correction[half];
        }
#pragma unroll
        for (int i = 0; i < 2 * kSteps; ++i) {
#pragma unroll
            for (int j = 0; j < 4; ++j) out_[atom][i][j] *= correction[j / 2];
        }
    }

    template <bool kMasked, bool kHilo>
    ATTUNE_DEVICE void multiply_values(const Scores& scores, U32 values, int key0) {
        constexpr int kStrip = kMasked && kWarpSkips ? kSkipGroups : kKeyGroups;
        const U32 mine = values + rows_first();
#pragma unroll
        for (int strip = 0; strip < kKeyGroups; strip += kStrip) {
            if (!needs_strip<kMasked>(key0, strip)) continue;
#pragma unroll
            for (int group = strip; group < strip + kStrip; ++group) {
                U32 p[kAtoms][4];
                U32 rest[kAtoms][4];
#pragma unroll
                for (int atom = 0; atom < kAtoms; ++atom) {
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                        const float low = scores[atom][2 * group + i / 2][i % 2 * 2];
                        const float high = scores[atom][2 * group + i / 2][i % 2 * 2 + 1];
                        p[atom][i] = kFp16 ? pack_fp16(low, high) : pack_bf16(low, high);
                        if constexpr (kHilo) {
                            rest[atom][i] = pack_bf16(low - low_bf16(p[atom][i]), high - high_bf16(p[atom][i]));
                        }
                    }
                }
#pragma unroll
                for (int step = 0; step < kSteps; ++step) {
                    U32 v[4];
                    load_matrix_transposed(v, at_step(mine, step) + group * kGroupBytes);
                    if constexpr (kFp16 && !kConvertShared) {
#pragma unroll
                        for (int i = 0; i < 4; ++i) v[i] = bf16_to_fp16(v[i]);
                    }
#pragma unroll
                    for (int atom = 0; atom < kAtoms; ++atom) {
                        add_product(out_[atom][2 * step], p[atom], v[0], v[1]);
                        add_product(out_[atom][2 * step + 1], p[atom], v[2], v[3]);
                        if constexpr (kHilo) {
                            add_product(out_[atom][2 * step], rest[atom], v[0], v[1]);
                            add_product(out_[atom][2 * step + 1], rest[atom], v[2], v[3]);
                        }
                    }
                }
            }
        }
    }

    ATTUNE_DEVICE static void add_product(float (&c)[4], const U32 (&a)[4], U32 b0, U32 b1) {
        if constexpr (kFp16) {
            mma_fp16(c, a, b0, b1);
        } else {
            mma_bf16(c, a, b0, b1);
        }
    }

    int lane_;
    int first_row_;  // position of the warp's first query
    U32 shared_q_;   // the warp's rows of Q, later of O
    float scale_log2_;
    float row_max_[kAtoms][2];  // of the scores before scaling
    float row_sum_[kAtoms][2];  // over this lane's columns
    float out_[kAtoms][2 * kSteps][4];
    U32 held_q_[Tune::q_in_registers ? kAtoms : 1][Tune::q_in_registers ? kSteps : 1][4];
};

/// Divides by the sums, writes o and lse; rows past seq_len become 0 and -inf.
ATTUNE_DEVICE void WarpRows::write(const AttnArgs& args, const Task& task) {
    Bf16* o = args.o + task.offset(args) + static_cast<long long>(first_row_) * kHeadDim;
    float* lse = args.lse + static_cast<long long>(task.head) * args.t_max + first_row_;
    if constexpr (Tune::epilogue == Tune::epilogue_shared) __syncwarp();  // all lanes have read their Q
#pragma unroll
    for (int atom = 0; atom < kAtoms; ++atom) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = 16 * atom + 8 * half + lane_ / 4;
            const bool counts = first_row_ + row < task.seq_len;
            const float sum = quad_sum(row_sum_[atom][half]);
            const float inverse = 1.0f / sum;
            if (lane_ % 4 == 0) {
                lse[row] = counts ? row_max_[atom][half] * args.scale + log2_approx(sum) * kLn2 : -infinity();
            }
#pragma unroll
            for (int i = 0; i < 2 * kSteps; ++i) {
                const float(&pair)[4] = out_[atom][i];
                const U32 bits = counts ? pack_bf16(pair[2 * half] * inverse, pair[2 * half + 1] * inverse) : 0u;
                if constexpr (Tune::epilogue == Tune::epilogue_shared) {
                    store_shared(shared_q_ + piece_offset(row, i) + 4 * (lane_ % 4), bits);
                } else {
                    *reinterpret_cast<U32*>(o + row * kHeadDim + 8 * i + 2 * (lane_ % 4)) = bits;
                }
            }
        }
    }
    if constexpr (Tune::epilogue == Tune::epilogue_shared) {
        __syncwarp();
#pragma unroll
        for (int pass = 0; pass < kRowsPerWarp / 2; ++pass) {
            const int row = 2 * pass + lane_ / kPieces;
            const int piece = lane_ % kPieces;
            *reinterpret_cast<uint4*>(o + row * kHeadDim + piece * 8) = load_shared(shared_q_ + piece_offset(row, piece));
        }
        __syncwarp();  // before the next task's Q arrives here
    }
}

/// A query tile without a key: o = 0, lse = -inf.
ATTUNE_DEVICE void write_empty(const AttnArgs& args, const Task& task) {
    uint4* o = reinterpret_cast<uint4*>(args.o + task.offset(args) + static_cast<long long>(task.row0) * kHeadDim);
    float* lse = args.lse + static_cast<long long>(task.head) * args.t_max + task.row0;
    for (int i = threadIdx.x; i < kTileM * kPieces; i += kThreads) o[i] = uint4{0, 0, 0, 0};
    for (int i = threadIdx.x; i < kTileM; i += kThreads) lse[i] = -infinity();
}

/// Attends key tiles `first` to `last` of the task.
template <bool kMasked, bool kHilo>
ATTUNE_DEVICE void attend_tiles(WarpRows& rows, KeyValuePipe& pipe, const Task& task, int first, int last) {
    constexpr int kBeforeAll = -kBlockSize;  // a position whose tile needs no mask
    const int diagonal_tiles = task.diagonal_tiles();
    const int block_start = task.row0 / kBlockSize * kBlockSize;
#pragma unroll 1
    for (int i = first; i < last; ++i) {
        rows.attend<kMasked, kHilo>(pipe, i < diagonal_tiles ? block_start + i * kTileN : kBeforeAll);
        pipe.next();
    }
}

ATTUNE_DEVICE void run_task(const AttnArgs& args, const Task& task, U32 shared) {
    if (task.num_blocks == 0) {
        write_empty(args, task);
        return;
    }
    WarpRows rows(args, task, shared);
    rows.issue_queries(args, task);
    copy_async_commit();
    KeyValuePipe pipe(args, task, shared + kQueryBytes);
    pipe.start();
    if constexpr (Tune::q_in_registers) copy_async_wait<KeyValuePipe::kGroupsAhead>();
    rows.hold_queries();

    const int diagonal_tiles = task.diagonal_tiles();
    const int all_tiles = task.all_tiles();
    if (Tune::p_mode == Tune::p_mode_bf16 && task.num_blocks <= Tune::hilo_blocks) {
        // Few rows are so short: one loop which masks throughout costs less code than it costs time.
        attend_tiles<true, true>(rows, pipe, task, 0, all_tiles);
    } else {
        constexpr bool kHilo = Tune::p_mode == Tune::p_mode_hilo;
        attend_tiles<true, kHilo>(rows, pipe, task, 0, diagonal_tiles);
        attend_tiles<false, kHilo>(rows, pipe, task, diagonal_tiles, all_tiles);
    }
    rows.write(args, task);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kThreads, Tune::blocks_per_sm)
    block_sparse_attn_fwd(const __grid_constant__ AttnArgs args) {
    extern __shared__ __align__(1024) unsigned char shared_memory[];
    const U32 shared = shared_address(shared_memory);
    if constexpr (Tune::grid == Tune::grid_persistent) {
        const int tasks = args.batch * args.heads * (args.t_max / kTileM);
        for (int index = blockIdx.x; index < tasks; index += gridDim.x) {
            run_task(args, Task(args, index), shared);
            __syncthreads();  // all warps have read the last tiles
        }
    } else {
        run_task(args, Task(args, blockIdx.x), shared);
    }
}
