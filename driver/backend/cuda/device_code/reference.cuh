// The operator in fp32, as plainly as its definition allows: one block of threads takes 64 query rows and walks their
// listed key blocks, 64 keys at a time, with an online softmax. Fast enough to be run once a draw, clear enough to
// trust.
#pragma once

#include "attune/attn_args.h"
#include "device_args.h"

constexpr int kTileRows = 64;
constexpr int kTileKeys = 64;
// Four floats of padding keep rows 16-byte aligned and put 8 consecutive rows into different banks.
constexpr int kVectorStride = kHeadDim + 4;
constexpr int kScoreStride = kTileKeys + 4;

/// Shared memory of a block. K and V take turns in `kv`.
struct ReferenceTile {
    float q[kTileRows * kVectorStride];
    float kv[kTileKeys * kVectorStride];
    float p[kTileRows * kScoreStride];
};
static_assert(sizeof(ReferenceTile) == 84992, "must be what the driver asks for at launch");

// Threads form a 16 x 16 grid. Thread (y, x) owns rows y + 16 i, i < 4: of their scores the keys x + 16 j, of their
// outputs the elements 4 x .. 4 x + 3 and 64 + 4 x .. 64 + 4 x + 3. A row's 16 threads are half a warp.
constexpr int kGrid = 16;
constexpr int kRowsPerThread = kTileRows / kGrid;
constexpr int kKeysPerThread = kTileKeys / kGrid;

__device__ inline float negative_infinity() {
    return __uint_as_float(0xff800000U);
}

__device__ inline float low_bf16(unsigned int pair) {
    return __uint_as_float(pair << 16);
}

__device__ inline float high_bf16(unsigned int pair) {
    return __uint_as_float(pair & 0xffff0000U);
}

/// Nearest bf16, ties to even; `value` is finite.
__device__ inline unsigned short to_bf16(float value) {
    const unsigned int bits = __float_as_uint(value);
    return static_cast<unsigned short>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

/// Widens 64 rows of 128 bf16 into shared memory.
__device__ inline void load_rows(float* tile, const unsigned short* rows) {
    constexpr int kElements = 8;  // of a 16-byte load
    for (int chunk = static_cast<int>(threadIdx.x); chunk < 64 * kHeadDim / kElements; chunk += kDeviceThreads) {
        const int row = chunk / (kHeadDim / kElements);
        const int column = chunk % (kHeadDim / kElements) * kElements;
        const uint4 bits = *reinterpret_cast<const uint4*>(rows + row * kHeadDim + column);
        float4* target = reinterpret_cast<float4*>(tile + row * kVectorStride + column);
        target[0] = make_float4(low_bf16(bits.x), high_bf16(bits.x), low_bf16(bits.y), high_bf16(bits.y));
        target[1] = make_float4(low_bf16(bits.z), high_bf16(bits.z), low_bf16(bits.w), high_bf16(bits.w));
    }
}

/// q . k of this thread's 4 x 4 rows and keys.
__device__ inline void dot_products(const ReferenceTile& tile, int y, int x,
                                    float (&scores)[kRowsPerThread][kKeysPerThread]) {
    for (int d = 0; d < kHeadDim; d += 4) {
        float4 q[kRowsPerThread];
        for (int i = 0; i < kRowsPerThread; ++i) {
            q[i] = *reinterpret_cast<const float4*>(tile.q + (y + kGrid * i) * kVectorStride + d);
        }
        for (int j = 0; j < kKeysPerThread; ++j) {
            const float4 k = *reinterpret_cast<const float4*>(tile.kv + (x + kGrid * j) * kVectorStride + d);
            for (int i = 0; i < kRowsPerThread; ++i) {
                scores[i][j] += q[i].x * k.x;
                scores[i][j] += q[i].y * k.y;
                scores[i][j] += q[i].z * k.z;
                scores[i][j] += q[i].w * k.w;
            }
        }
    }
}

/// What a thread keeps of its rows. `max` and `sum` are the same in all 16 threads of a row.
struct RowState {
    float max[kRowsPerThread];
    float sum[kRowsPerThread];
    float o[kRowsPerThread][8];
};

/// Online softmax over one tile of scaled and masked scores: rescales the state and leaves the weights in tile.p.
__device__ inline void softmax_step(ReferenceTile& tile, int y, int x,
                                    const float (&scores)[kRowsPerThread][kKeysPerThread], RowState& state) {
    for (int i = 0; i < kRowsPerThread; ++i) {
        float max = state.max[i];
        for (int j = 0; j < kKeysPerThread; ++j)
            max = fmaxf(max, scores[i][j]);
        for (int lane = kGrid / 2; lane > 0; lane /= 2)
            max = fmaxf(max, __shfl_xor_sync(0xffffffffU, max, lane));
        // A row that has met no key yet subtracts 0 instead of -inf from -inf.
        const float base = max == negative_infinity() ? 0.0F : max;
        float sum = 0.0F;
        for (int j = 0; j < kKeysPerThread; ++j) {
            const float weight = expf(scores[i][j] - base);
            tile.p[(y + kGrid * i) * kScoreStride + x + kGrid * j] = weight;
            sum += weight;
        }
        for (int lane = kGrid / 2; lane > 0; lane /= 2)
            sum += __shfl_xor_sync(0xffffffffU, sum, lane);
        const float rescale = expf(state.max[i] - base);
        state.sum[i] = state.sum[i] * rescale + sum;
        state.max[i] = max;
        for (int d = 0; d < 8; ++d)
            state.o[i][d] *= rescale;
    }
}

/// o += p . v over the tile's keys.
__device__ inline void accumulate(const ReferenceTile& tile, int y, int x, RowState& state) {
    for (int key = 0; key < kTileKeys; ++key) {
        const float4 low = *reinterpret_cast<const float4*>(tile.kv + key * kVectorStride + 4 * x);
        const float4 high = *reinterpret_cast<const float4*>(tile.kv + key * kVectorStride + 64 + 4 * x);
        for (int i = 0; i < kRowsPerThread; ++i) {
            const float weight = tile.p[(y + kGrid * i) * kScoreStride + key];
            state.o[i][0] += weight * low.x;
            state.o[i][1] += weight * low.y;
            state.o[i][2] += weight * low.z;
            state.o[i][3] += weight * low.w;
            state.o[i][4] += weight * high.x;
            state.o[i][5] += weight * high.y;
            state.o[i][6] += weight * high.z;
            state.o[i][7] += weight * high.w;
        }
    }
}

/// One tile of 64 keys, starting at token `first_key` of the head.
__device__ inline void attend_tile(const AttnArgs& args, long long head_start, int first_row, int first_key,
                                   int seq_len, ReferenceTile& tile, RowState& state) {
    const int y = static_cast<int>(threadIdx.x) / kGrid;
    const int x = static_cast<int>(threadIdx.x) % kGrid;
    const long long key_start = head_start + static_cast<long long>(first_key) * kHeadDim;
    __syncthreads();  // the previous tile's V and weights have been used
    load_rows(tile.kv, args.k + key_start);
    __syncthreads();
    float scores[kRowsPerThread][kKeysPerThread] = {};
    dot_products(tile, y, x, scores);
    for (int i = 0; i < kRowsPerThread; ++i) {
        for (int j = 0; j < kKeysPerThread; ++j) {
            const int query = first_row + y + kGrid * i;
            const int key = first_key + x + kGrid * j;
            // For a block below the diagonal key <= query holds anyway.
            scores[i][j] = key < seq_len && key <= query ? scores[i][j] * args.scale : negative_infinity();
        }
    }
    softmax_step(tile, y, x, scores, state);
    __syncthreads();  // K has been used
    load_rows(tile.kv, args.v + key_start);
    __syncthreads();
    accumulate(tile, y, x, state);
}

/// Grid (t_max / 64, heads, batch), kDeviceThreads threads, sizeof(ReferenceTile) bytes of dynamic shared memory.
extern "C" __global__ void __launch_bounds__(kDeviceThreads) attune_reference(const __grid_constant__ AttnArgs args) {
    extern __shared__ float4 shared_memory[];
    ReferenceTile& tile = *reinterpret_cast<ReferenceTile*>(shared_memory);
    const int y = static_cast<int>(threadIdx.x) / kGrid;
    const int x = static_cast<int>(threadIdx.x) % kGrid;
    const int first_row = static_cast<int>(blockIdx.x) * kTileRows;
    const int query_block = first_row / kBlockSize;
    const long long head = static_cast<long long>(blockIdx.z) * args.heads + blockIdx.y;
    const long long head_start = head * args.t_max * kHeadDim;
    const int seq_len = args.seq_lens[blockIdx.z];
    const int key_blocks = (seq_len + kBlockSize - 1) / kBlockSize;

    RowState state = {};
    for (int i = 0; i < kRowsPerThread; ++i)
        state.max[i] = negative_infinity();
    if (first_row < seq_len) {
        load_rows(tile.q, args.q + head_start + static_cast<long long>(first_row) * kHeadDim);
        const int* row = args.row_ptr + head * (args.q_blocks + 1) + query_block;
        for (int entry = row[0]; entry < row[1]; ++entry) {
            const int key_block = args.col_idx[head * args.max_nnz + entry];
            if (key_block > query_block || key_block >= key_blocks) continue;
            for (int first_key = key_block * kBlockSize; first_key < (key_block + 1) * kBlockSize;
                 first_key += kTileKeys) {
                attend_tile(args, head_start, first_row, first_key, seq_len, tile, state);
            }
        }
    }

    for (int i = 0; i < kRowsPerThread; ++i) {
        const int query = first_row + y + kGrid * i;
        const bool empty = query >= seq_len || state.sum[i] == 0.0F;
        const float factor = empty ? 0.0F : 1.0F / state.sum[i];
        unsigned short* o = args.o + head_start + static_cast<long long>(query) * kHeadDim;
        for (int d = 0; d < 4; ++d) {
            o[4 * x + d] = empty ? 0 : to_bf16(state.o[i][d] * factor);
            o[64 + 4 * x + d] = empty ? 0 : to_bf16(state.o[i][4 + d] * factor);
        }
        if (x == 0) {
            args.lse[head * args.t_max + query] = empty ? negative_infinity() : state.max[i] + logf(state.sum[i]);
        }
    }
}
