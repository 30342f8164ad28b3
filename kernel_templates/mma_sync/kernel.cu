// Block-sparse causal attention in the manner of FlashAttention-2 (Dao, 2023): a thread block owns tile_m queries, each
// warp tile_m / num_warps of them, and walks over tiles of tile_n keys which cp.async brings to shared memory.
//
// Shared memory holds Q, then num_stages pairs of K and V tiles. A row is 256 bytes, 16 pieces of 16 bytes; piece p of
// row r lies at position p ^ (r & 7), so that the 8 rows an ldmatrix phase reads fall into different banks.
//
// Masks: a query that counts lies before seq_len, so every listed key before the diagonal block counts whole, and in
// the diagonal block key <= query implies key < seq_len. The diagonal block is visited first and in ascending order,
// so that a row's maximum is finite from the first step on. Values past seq_len arrive as zeros: whatever lies there
// (0 * NaN) cannot leak into a row that counts.
#include "attune/attn_args.h"
#include "attune_tune.h"
#include "key_value_pipe.h"
#include "tiles.h"
#include "warp_rows.h"

namespace {

/// A query tile without a key: o = 0, lse = -inf.
ATTUNE_DEVICE void write_empty(const AttnArgs& args, const Task& task) {
    uint4* o = reinterpret_cast<uint4*>(args.o + task.offset(args) + static_cast<long long>(task.row0) * kHeadDim);
    float* lse = args.lse + static_cast<long long>(task.head) * args.t_max + task.row0;
    for (int i = threadIdx.x; i < kTileM * kPieces; i += kThreads)
        o[i] = uint4{0, 0, 0, 0};
    for (int i = threadIdx.x; i < kTileM; i += kThreads)
        lse[i] = -infinity();
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

    constexpr bool kHilo = Tune::p_mode == Tune::p_mode_hilo;
    const int diagonal_tiles = task.diagonal_tiles();
    const int all_tiles = task.all_tiles();
    if (Tune::p_mode == Tune::p_mode_bf16 && task.num_blocks <= Tune::hilo_blocks) {
        // Few rows are so short: one loop which masks throughout costs less code than it costs time.
        attend_tiles<true, true>(rows, pipe, task, 0, all_tiles);
    } else if constexpr (Tune::overlap) {
        rows.attend_overlapped<kHilo>(pipe, task.row0 / kBlockSize * kBlockSize, diagonal_tiles, all_tiles);
    } else {
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
