// Block-sparse causal attention on a CPU: flash attention in fp32 over tiles of tile_m queries by tile_n keys.
//
// Both products run through one register-tiled routine which multiplies a row-major left side by panels: the right
// side cut into strips of `panel` columns, each strip contiguous. K is packed into panels over keys (a transpose), V
// into panels over the head dimension. Q carries scale * log2(e), so that the softmax works in powers of two.
//
// Only the diagonal block needs a mask. A query that counts lies before seq_len, so every key of an earlier block and
// every key up to the query itself lies before it too; rows past seq_len are never computed and their V never read.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "attune/attn_args.h"
#include "attune_tune.h"

namespace {

constexpr int kLanes = Tune::vector_floats;
constexpr int kTileM = Tune::tile_m;
constexpr int kTileN = Tune::tile_n;
constexpr int kMicroRows = Tune::micro_rows;
constexpr int kMicroVectors = Tune::micro_vectors;
constexpr int kPanel = kLanes * kMicroVectors;
constexpr int kTilesPerBlock = kBlockSize / kTileN;
constexpr bool kPackHead = Tune::pack == Tune::pack_head;
constexpr bool kPackV = Tune::v_layout == Tune::v_layout_packed;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLn2 = 0.693147180559945309f;
constexpr float kLog2e = 1.44269504088896341f;

static_assert(kPanel == Tune::panel, "geometry of template.json");
static_assert(kBlockSize % kTileM == 0 && kBlockSize % kTileN == 0, "a tile must not straddle two blocks");
static_assert(kTileM % kMicroRows == 0, "a query tile holds whole register tiles");
static_assert(kTileN % kPanel == 0 && kHeadDim % kPanel == 0, "both right-hand sides hold whole panels");

using Bf16 = std::uint16_t;
typedef float Vec __attribute__((vector_size(kLanes * sizeof(float))));
typedef std::uint32_t Bits __attribute__((vector_size(kLanes * sizeof(std::uint32_t))));
typedef Bf16 HalfBits __attribute__((vector_size(kLanes * sizeof(Bf16))));

inline Vec load(const float* from) {
    Vec value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline Vec load(const Bf16* from) {
    HalfBits half;
    std::memcpy(&half, from, sizeof half);
    return (Vec)(__builtin_convertvector(half, Bits) << 16);
}

inline void store(float* to, Vec value) {
    std::memcpy(to, &value, sizeof value);
}

inline float to_float(Bf16 bits) {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

/// Rounds to nearest even and stores bf16.
inline void store(Bf16* to, Vec value) {
    const Bits bits = (Bits)value;
    const HalfBits half = __builtin_convertvector((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, HalfBits);
    std::memcpy(to, &half, sizeof half);
}

[[maybe_unused]] inline Vec splat(float value) {
    return Vec{} + value;
}

inline Vec max(Vec a, Vec b) {
    return a > b ? a : b;
}

inline float horizontal_max(Vec value) {
    float result = value[0];
    for (int lane = 1; lane < kLanes; ++lane)
        result = std::max(result, value[lane]);
    return result;
}

inline float horizontal_sum(Vec value) {
    float result = value[0];
    for (int lane = 1; lane < kLanes; ++lane)
        result += value[lane];
    return result;
}

/// 2^x for x <= 0, exactly 0 below -125 (so for -inf).
inline Vec exp2_vec(Vec x) {
    if constexpr (Tune::exp2 == Tune::exp2_library) {
        Vec result;
        for (int lane = 0; lane < kLanes; ++lane)
            result[lane] = std::exp2(x[lane]);
        return result;
    } else {
        // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits; a minimax polynomial (relative error,
        // Remez) covers the rest, [-0.5, 0.5].
        constexpr float kRound = 12582912.0f;
        const Vec rounded = x + kRound;
        const Vec rest = x - (rounded - kRound);
        Vec power;
        if constexpr (Tune::exp2 == Tune::exp2_poly5) {
            power = splat(0.0013276472f);
            power = power * rest + 0.0096755413f;
            power = power * rest + 0.055507133f;
            power = power * rest + 0.24022120f;
            power = power * rest + 0.69314697f;
            power = power * rest + 1.00000007f;
        } else {
            power = splat(0.0095701019f);
            power = power * rest + 0.055917860f;
            power = power * rest + 0.24024745f;
            power = power * rest + 0.69312181f;
            power = power * rest + 0.99999926f;
        }
        const Bits scaled = (Bits)power + ((Bits)rounded << 23);
        return (Vec)(scaled & (Bits)(x > -125.0f));
    }
}

/// One register tile: `c` (micro_rows x panel) = or += `a` (micro_rows x depth) * `panel` (depth x panel).
/// Strides are in elements; `panel` is fp32, or bf16 where V is read in place.
template <bool kAccumulate, class Element>
inline void multiply_register_tile(const float* a, int a_stride, const Element* panel, int panel_stride, int depth,
                                   float* c, int c_stride) {
    Vec sum[kMicroRows][kMicroVectors];
    for (int row = 0; row < kMicroRows; ++row) {
        for (int j = 0; j < kMicroVectors; ++j) {
            sum[row][j] = kAccumulate ? load(c + row * c_stride + j * kLanes) : Vec{};
        }
    }
    for (int step = 0; step < depth; ++step) {
        if constexpr (Tune::prefetch_rows > 0) {
            // The address may lie past the panel: a prefetch never faults.
            __builtin_prefetch(panel + (step + Tune::prefetch_rows) * panel_stride);
        }
        Vec right[kMicroVectors];
        for (int j = 0; j < kMicroVectors; ++j)
            right[j] = load(panel + step * panel_stride + j * kLanes);
        for (int row = 0; row < kMicroRows; ++row) {
            for (int j = 0; j < kMicroVectors; ++j)
                sum[row][j] += a[row * a_stride + step] * right[j];
        }
    }
    for (int row = 0; row < kMicroRows; ++row) {
        for (int j = 0; j < kMicroVectors; ++j)
            store(c + row * c_stride + j * kLanes, sum[row][j]);
    }
}

/// `c` (rows x columns) = or += `a` (rows x depth) * b, whose strips of `panel` columns start `panel_step` elements
/// apart. The panel is the outer loop: it stays in the L1 cache while all rows pass over it.
template <bool kAccumulate, class Element>
inline void multiply(const float* a, int a_stride, const Element* b, int panel_stride, int panel_step, int rows,
                     int columns, int depth, float* c, int c_stride) {
    for (int column = 0; column < columns; column += kPanel) {
        const Element* panel = b + (column / kPanel) * panel_step;
        for (int row = 0; row < rows; row += kMicroRows) {
            multiply_register_tile<kAccumulate>(a + row * a_stride, a_stride, panel, panel_stride, depth,
                                                c + row * c_stride + column, c_stride);
        }
    }
}

/// `keys` (tile_n x 128 bf16) to panels over keys: packed[panel][dim][key in panel].
inline void pack_keys(const Bf16* keys, float* packed) {
    for (int key0 = 0; key0 < kTileN; key0 += kPanel) {
        for (int dim = 0; dim < kHeadDim; ++dim) {
            for (int key = 0; key < kPanel; ++key) {
                packed[dim * kPanel + key] = to_float(keys[(key0 + key) * kHeadDim + dim]);
            }
        }
        packed += kHeadDim * kPanel;
    }
}

/// `values` (tile_n x 128 bf16) to panels over the head dimension: packed[panel][key][dim in panel].
[[maybe_unused]] inline void pack_values(const Bf16* values, float* packed) {
    for (int dim = 0; dim < kHeadDim; dim += kPanel) {
        for (int key = 0; key < kTileN; ++key) {
            for (int j = 0; j < kPanel; j += kLanes) {
                store(packed + key * kPanel + j, load(values + key * kHeadDim + dim + j));
            }
        }
        packed += kTileN * kPanel;
    }
}

/// Where a thread works: slices of the workspace.
struct Scratch {
    float* q;        ///< tile_m x 128, scaled
    float* out;      ///< tile_m x 128, not yet divided by row_sum
    float* scores;   ///< tile_m x tile_n, then the probabilities
    float* keys;     ///< one packed key tile
    float* values;   ///< one packed value tile
    float* row_max;  ///< tile_m, in powers of two
    float* row_sum;  ///< tile_m

    explicit Scratch(float* base)
        : q(base),
          out(q + kTileM * kHeadDim),
          scores(out + kTileM * kHeadDim),
          keys(scores + kTileM * kTileN),
          values(keys + kTileN * kHeadDim),
          row_max(values + kTileN * kHeadDim),
          row_sum(row_max + kBlockSize) {}
};
static_assert(Tune::scratch_floats == kHeadDim * 2 * (kTileM + kTileN) + kTileM * kTileN + 2 * kBlockSize,
              "template.json must reserve what Scratch uses");

/// Panels of whole heads, where the pre-pass made them.
struct HeadPanels {
    float* keys;
    float* values;
};

/// Position of a head's first element in q, k, v, o and the panels.
inline std::size_t head_offset(const AttnArgs& args, int head) {
    return static_cast<std::size_t>(head) * static_cast<std::size_t>(args.t_max) * kHeadDim;
}

/// Turns a row of scores into probabilities against the new maximum and rescales what the row has so far.
inline void update_row(float* scores, float* out, float& row_max, float& row_sum) {
    Vec top = load(scores);
    for (int key = kLanes; key < kTileN; key += kLanes)
        top = max(top, load(scores + key));
    const float new_max = std::max(row_max, horizontal_max(top));
    if (new_max > row_max) {
        const float correction = std::exp2(row_max - new_max);
        for (int dim = 0; dim < kHeadDim; dim += kLanes)
            store(out + dim, load(out + dim) * correction);
        row_sum *= correction;
        row_max = new_max;
    }
    Vec sum{};
    for (int key = 0; key < kTileN; key += kLanes) {
        const Vec probability = exp2_vec(load(scores + key) - row_max);
        store(scores + key, probability);
        sum += probability;
    }
    row_sum += horizontal_sum(sum);
}

/// Adds the key tile at `key0` to the query tile: `rows` rows that count, the first at position `row0`.
inline void attend_keys(const AttnArgs& args, int head, int row0, int rows, int key0, const Scratch& scratch,
                        const HeadPanels& panels) {
    const std::size_t tile = head_offset(args, head) + static_cast<std::size_t>(key0) * kHeadDim;
    const int padded_rows = (rows + kMicroRows - 1) / kMicroRows * kMicroRows;
    const float* keys = kPackHead ? panels.keys + tile : scratch.keys;
    if constexpr (!kPackHead) pack_keys(args.k + tile, scratch.keys);
    multiply<false>(scratch.q, kHeadDim, keys, kPanel, kHeadDim * kPanel, padded_rows, kTileN, kHeadDim, scratch.scores,
                    kTileN);

    for (int row = 0; row < rows; ++row) {
        float* scores = scratch.scores + row * kTileN;
        const int visible = std::min(kTileN, row0 + row - key0 + 1);
        if (visible <= 0) {
            std::fill_n(scores, kTileN, 0.0f);
            continue;
        }
        std::fill(scores + visible, scores + kTileN, -kInfinity);
        update_row(scores, scratch.out + row * kHeadDim, scratch.row_max[row], scratch.row_sum[row]);
    }

    const int depth = std::min(kTileN, row0 + rows - key0);  // no row sees a key past the last row
    if constexpr (kPackV) {
        const float* values = kPackHead ? panels.values + tile : scratch.values;
        if constexpr (!kPackHead) pack_values(args.v + tile, scratch.values);
        multiply<true>(scratch.scores, kTileN, values, kPanel, kTileN * kPanel, padded_rows, kHeadDim, depth,
                       scratch.out, kHeadDim);
    } else {
        multiply<true>(scratch.scores, kTileN, args.v + tile, kHeadDim, kPanel, padded_rows, kHeadDim, depth,
                       scratch.out, kHeadDim);
    }
}

/// One task: tile_m queries of one head from position `row0`, all their key blocks, o and lse written.
inline void attend_queries(const AttnArgs& args, int head, int row0, const Scratch& scratch, const HeadPanels& panels) {
    const int query_block = row0 / kBlockSize;
    const int* row_ptr = args.row_ptr + static_cast<std::size_t>(head) * (args.q_blocks + 1) + query_block;
    const int* blocks = args.col_idx + static_cast<std::size_t>(head) * args.max_nnz;
    const int first = row_ptr[0];
    int last = row_ptr[1];
    while (last > first && blocks[last - 1] > query_block)
        --last;
    int rows = std::clamp(args.seq_lens[head / args.heads] - row0, 0, kTileM);
    if (first >= last) rows = 0;

    const std::size_t tile = head_offset(args, head) + static_cast<std::size_t>(row0) * kHeadDim;
    std::fill_n(scratch.q, kTileM * kHeadDim, 0.0f);
    std::fill_n(scratch.out, kTileM * kHeadDim, 0.0f);
    for (int i = 0; i < rows * kHeadDim; i += kLanes) {
        store(scratch.q + i, load(args.q + tile + i) * (args.scale * kLog2e));
    }
    std::fill_n(scratch.row_max, kTileM, -kInfinity);
    std::fill_n(scratch.row_sum, kTileM, 0.0f);

    for (int entry = first; rows > 0 && entry < last; ++entry) {
        for (int i = 0; i < kTilesPerBlock; ++i) {
            const int key0 = blocks[entry] * kBlockSize + i * kTileN;
            if (key0 < row0 + rows) attend_keys(args, head, row0, rows, key0, scratch, panels);
        }
    }

    float* lse = args.lse + static_cast<std::size_t>(head) * static_cast<std::size_t>(args.t_max) + row0;
    for (int row = 0; row < kTileM; ++row) {
        const bool counts = row < rows;
        const float inverse = counts ? 1.0f / scratch.row_sum[row] : 0.0f;
        for (int dim = 0; dim < kHeadDim; dim += kLanes) {
            const int i = row * kHeadDim + dim;
            store(args.o + tile + i, counts ? load(scratch.out + i) * inverse : Vec{});
        }
        lse[row] = counts ? (scratch.row_max[row] + std::log2(scratch.row_sum[row])) * kLn2 : -kInfinity;
    }
}

/// The pre-pass of pack = head: all key tiles with a key before seq_len.
[[maybe_unused]] inline void pack_heads(const AttnArgs& args, const HeadPanels& panels) {
    const int tiles = args.t_max / kTileN;
#pragma omp for schedule(static)
    for (int task = 0; task < args.batch * args.heads * tiles; ++task) {
        const int head = task / tiles;
        const int key0 = task % tiles * kTileN;
        if (key0 >= args.seq_lens[head / args.heads]) continue;
        const std::size_t tile = head_offset(args, head) + static_cast<std::size_t>(key0) * kHeadDim;
        pack_keys(args.k + tile, panels.keys + tile);
        if constexpr (kPackV) pack_values(args.v + tile, panels.values + tile);
    }
}

/// Attends the `task`-th query tile in the order Tune asks for.
inline void run_task(const AttnArgs& args, int task, const Scratch& scratch, const HeadPanels& panels) {
    const int all_heads = args.batch * args.heads;
    const int tiles = args.t_max / kTileM;
    if constexpr (Tune::order == Tune::order_longest_first) {
        attend_queries(args, task % all_heads, (tiles - 1 - task / all_heads) * kTileM, scratch, panels);
    } else {
        attend_queries(args, task / tiles, task % tiles * kTileM, scratch, panels);
    }
}

}  // namespace

extern "C" void block_sparse_attn_fwd(const AttnArgs* args) {
    float* workspace = static_cast<float*>(args->workspace);
    const std::size_t all_heads = static_cast<std::size_t>(args->batch) * static_cast<std::size_t>(args->heads);
    HeadPanels panels{};
    panels.keys = workspace + static_cast<std::size_t>(Tune::threads) * Tune::scratch_floats;
    panels.values = panels.keys + all_heads * static_cast<std::size_t>(args->t_max) * kHeadDim;
    const int tasks = args->batch * args->heads * (args->t_max / kTileM);

#pragma omp parallel num_threads(Tune::threads)
    {
        const Scratch scratch(workspace + static_cast<std::size_t>(omp_get_thread_num()) * Tune::scratch_floats);
        if constexpr (kPackHead) pack_heads(*args, panels);
        if constexpr (Tune::schedule == Tune::schedule_dynamic) {
#pragma omp for schedule(dynamic, 1)
            for (int task = 0; task < tasks; ++task)
                run_task(*args, task, scratch, panels);
        } else {
#pragma omp for schedule(static, 1)
            for (int task = 0; task < tasks; ++task)
                run_task(*args, task, scratch, panels);
        }
    }
}
