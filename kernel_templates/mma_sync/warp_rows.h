// What a warp holds and computes: fragments, scores, softmax, output.
#pragma once

#include "key_value_pipe.h"

/// The rows of one warp: Q, the running softmax and the output, in the layout of mma accumulators. Lane l holds rows
/// l / 4 and l / 4 + 8 of each 16-row piece, columns 2 * (l % 4) and the next of each 8.
class WarpRows {
  public:
    ATTUNE_DEVICE WarpRows(const AttnArgs& args, const Task& task, U32 shared_q)
        : lane_(threadIdx.x % 32),
          first_row_(task.row0 + threadIdx.x / 32 * kRowsPerWarp),
          shared_q_(shared_q + threadIdx.x / 32 * kRowsPerWarp * kRowBytes),
          scale_log2_(args.scale * kLog2e) {
#pragma unroll
        for (int atom = 0; atom < kAtoms; ++atom)
            row_max_[atom][0] = row_max_[atom][1] = -infinity();
    }

    /// Starts copying the warp's own rows of Q: no other warp reads or writes them.
    ATTUNE_DEVICE void issue_queries(const AttnArgs& args, const Task& task) {
        const Bf16* from = args.q + task.offset(args) + static_cast<long long>(first_row_) * kHeadDim;
#pragma unroll
        for (int pass = 0; pass < kRowsPerWarp / 2; ++pass) {
            const int row = 2 * pass + lane_ / kPieces;
            const int piece = lane_ % kPieces;
            copy_async<0, 0, 0>(shared_q_ + piece_offset(row, piece), from + row * kHeadDim + piece * 8);
        }
    }

    /// Reads all Q fragments, once they have arrived.
    ATTUNE_DEVICE void hold_queries() {
        if constexpr (Tune::q_in_registers) {
            __syncwarp();
#pragma unroll
            for (int step = 0; step < kSteps; ++step) {
#pragma unroll
                for (int atom = 0; atom < kAtoms; ++atom)
                    load_query(held_q_[atom][step], atom, step);
            }
        }
    }

    /// One key tile at position `key0`: scores, softmax, output. `kMasked` for tiles which may reach past a query,
    /// `kHilo` to add the product with P's rounding error.
    template <bool kMasked, bool kHilo>
    ATTUNE_DEVICE void attend(KeyValuePipe& pipe, int key0) {
        Scores scores{};
        pipe.wait_keys<0>();
        multiply_keys<kMasked>(scores, pipe.keys<0>(), key0);
        if constexpr (kMasked) mask(scores, key0);
        update_softmax(scores);
        pipe.wait_values();
        multiply_values<kMasked, kHilo>(scores, pipe.values<0>(), key0);
        pipe.next();
    }

    /// `tiles` key tiles, of which the first `masked` lie from position `key0` on. The scores of the next tile are
    /// issued before the softmax of this one, so that the tensor cores work through it.
    template <bool kHilo>
    ATTUNE_DEVICE void attend_overlapped(KeyValuePipe& pipe, int key0, int masked, int tiles) {
        Scores scores{};
        pipe.wait_keys<0>();
        multiply_keys<false>(scores, pipe.keys<0>(), 0);
#pragma unroll 1
        for (int i = 0; i + 1 < tiles; ++i) {
            if (i < masked) mask(scores, key0 + i * kTileN);
            Scores next{};
            pipe.wait_keys<1>();
            multiply_keys<false>(next, pipe.keys<1>(), 0);
            update_softmax(scores);
            multiply_values<false, kHilo>(scores, pipe.values<0>(), 0);
            pipe.next();
            scores = next;
        }
        if (tiles <= masked) mask(scores, key0 + (tiles - 1) * kTileN);
        update_softmax(scores);
        multiply_values<false, kHilo>(scores, pipe.values<0>(), 0);
    }

    ATTUNE_DEVICE void write(const AttnArgs& args, const Task& task);

  private:
    /// Q.K of a tile, then P.
    struct Scores {
        float of[kAtoms][2 * kKeyGroups][4];
    };

    /// Whether a masked tile's strip of keys from `group` on has a key not past the warp's last query.
    template <bool kMasked>
    [[nodiscard]] ATTUNE_DEVICE bool needs_strip(int key0, int group) const {
        return !(kMasked && kWarpSkips) || key0 + group * 16 < first_row_ + kRowsPerWarp;
    }

    /// Address of the lane's row and half for an ldmatrix whose matrices are (rows 0-7, 8-15) of piece 0, then of
    /// piece 1: operand A from Q, and operand B from V transposed.
    [[nodiscard]] ATTUNE_DEVICE U32 rows_first() const {
        return piece_offset(lane_ & 15, lane_ >> 4);
    }
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
                for (int i = 0; i < 4; ++i)
                    q[atom][i] = held_q_[atom][step][i];
            } else {
                load_query(q[atom], atom, step);
            }
        }
    }

    /// Adds Q.K of the tile at shared address `keys`.
    template <bool kMasked>
    ATTUNE_DEVICE void multiply_keys(Scores& scores, U32 keys, int key0) const {
        constexpr int kStrip = kMasked && kWarpSkips ? kSkipGroups : kKeyGroups;
        const U32 mine = keys + pieces_first();
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
                        mma_bf16(scores.of[atom][2 * group], q[atom], k[0], k[1]);
                        mma_bf16(scores.of[atom][2 * group + 1], q[atom], k[2], k[3]);
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
                    if (key > query) scores.of[atom][i][j] = -infinity();
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
                top[0] = fmaxf(top[0], fmaxf(scores.of[atom][i][0], scores.of[atom][i][1]));
                top[1] = fmaxf(top[1], fmaxf(scores.of[atom][i][2], scores.of[atom][i][3]));
            }
            top[0] = quad_max(top[0]);
            top[1] = quad_max(top[1]);
            if (must_rescale(atom, top)) rescale(atom, top);

            const float offset[2] = {row_max_[atom][0] * scale_log2_, row_max_[atom][1] * scale_log2_};
#pragma unroll
            for (int i = 0; i < 2 * kKeyGroups; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const float p = exp2_approx(fmaf(scores.of[atom][i][j], scale_log2_, -offset[j / 2]));
                    scores.of[atom][i][j] = p;
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
            for (int j = 0; j < 4; ++j)
                out_[atom][i][j] *= correction[j / 2];
        }
    }

    /// Adds P.V of the tile at shared address `values` to the output.
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
                        const float low = scores.of[atom][2 * group + i / 2][i % 2 * 2];
                        const float high = scores.of[atom][2 * group + i / 2][i % 2 * 2 + 1];
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
                        for (int i = 0; i < 4; ++i)
                            v[i] = bf16_to_fp16(v[i]);
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
    float row_max_[kAtoms][2];       // of the scores before scaling
    float row_sum_[kAtoms][2] = {};  // over this lane's columns
    float out_[kAtoms][2 * kSteps][4] = {};
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
            *reinterpret_cast<uint4*>(o + row * kHeadDim + piece * 8) =
                load_shared(shared_q_ + piece_offset(row, piece));
        }
        __syncwarp();  // before the next task's Q arrives here
    }
}
