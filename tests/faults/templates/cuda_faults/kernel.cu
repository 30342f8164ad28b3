// A plain, correct kernel, and around it every way we know in which one goes wrong on a GPU.

#include "attune/attn_args.h"
#include "attune_tune.h"

namespace {

constexpr int kFault = Tune::armed ? Tune::fault : Tune::fault_none;

static_assert(kFault != Tune::fault_compile_error, "the fault that was asked for");

// A tree of calls, all the optimiser's to inline: it does not come to an end.
constexpr int kDepth = kFault == Tune::fault_compile_endless ? 18 : 0;

template <int depth>
__device__ __forceinline__ float grow(float value) {
    if constexpr (depth > 0) return grow<depth - 1>(grow<depth - 1>(value));
    return kDepth > 0 ? sinf(value * 3.0f) + value : value;
}

// More than a compile may have, byte for byte in the compiler's memory.
constexpr long long kHoardBytes = kFault == Tune::fault_compile_memory ? 3ll << 30 : 1;
__device__ char hoard[kHoardBytes] = {1};

__device__ int calls;  // of this module, since it was loaded

__device__ float to_float(unsigned short bits) { return __uint_as_float(static_cast<unsigned>(bits) << 16); }

__device__ unsigned short to_bf16(float value) {
    const unsigned bits = __float_as_uint(value);
    return static_cast<unsigned short>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

__device__ void attend_row(const AttnArgs& args, int head, int row) {
    const float infinity = __uint_as_float(0x7f800000);
    const long long head_start = static_cast<long long>(head) * args.t_max;
    const unsigned short* q = args.q + (head_start + row) * kHeadDim;
    const int* row_ptr = args.row_ptr + static_cast<long long>(head) * (args.q_blocks + 1) + row / kBlockSize;
    const int* blocks = args.col_idx + static_cast<long long>(head) * args.max_nnz;
    const int seq_len = args.seq_lens[head / args.heads];
    float out[kHeadDim] = {};
    float top = -infinity, sum = 0.0f;
    for (int entry = row_ptr[0]; row < seq_len && entry < row_ptr[1]; ++entry) {
        for (int key = blocks[entry] * kBlockSize; key < (blocks[entry] + 1) * kBlockSize; ++key) {
            if (key > row || key >= seq_len) break;
            const unsigned short* k = args.k + (head_start + key) * kHeadDim;
            const unsigned short* v = args.v + (head_start + key) * kHeadDim;
            float score = 0.0f;
            for (int dim = 0; dim < kHeadDim; ++dim) score += to_float(q[dim]) * to_float(k[dim]);
            score *= args.scale;
            const float new_top = fmaxf(top, score);
            const float correction = expf(top - new_top), weight = expf(score - new_top);
            for (int dim = 0; dim < kHeadDim; ++dim) out[dim] = out[dim] * correction + weight * to_float(v[dim]);
            sum = sum * correction + weight;
            top = new_top;
        }
    }
    for (int dim = 0; dim < kHeadDim; ++dim) {
        args.o[(head_start + row) * kHeadDim + dim] = sum > 0.0f ? to_bf16(out[dim] / sum) : 0;
    }
    top = grow<kDepth>(top) + (args.t_max < 0 ? hoard[-args.t_max] : 0);
    args.lse[head_start + row] = sum > 0.0f ? top + logf(sum) : -infinity;
}

// Values that are all alive at once: more than a block of 1024 threads can have.
__device__ void hoard_registers(const AttnArgs& args) {
    float kept[200];
#pragma unroll
    for (int i = 0; i < 200; ++i) kept[i] = to_float(args.q[i * 64 + threadIdx.x]);
    for (int round = 0; round < args.t_max; ++round) {
#pragma unroll
        for (int i = 0; i < 200; ++i) kept[i] = kept[i] * kept[(i + 1) % 200] + 1.0f;
    }
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 200; ++i) sum += kept[i];
    if (sum == 1.5f) args.lse[0] = sum;
}

__device__ void fill_shared(const AttnArgs& args) {
    __shared__ volatile char huge[kFault == Tune::fault_too_much_shared ? 300 * 1024 : 1];
    huge[(args.t_max + threadIdx.x) % sizeof huge] = 1;
}

/// Whether anything of the correct kernel is left to do.
__device__ bool go_wrong(const AttnArgs& args) {
    switch (kFault) {
        case Tune::fault_too_much_shared: fill_shared(args); return true;
        case Tune::fault_too_many_registers: hoard_registers(args); return threadIdx.x < 128;
        case Tune::fault_illegal_address: args.o[1ll << 40] = 1; return true;
        case Tune::fault_misaligned_address:
            *reinterpret_cast<volatile int*>(reinterpret_cast<char*>(args.o) + 2 + 4 * threadIdx.x) = 1;
            return true;
        case Tune::fault_endless:
            while (clock64() != 0) {
            }
            return false;
        case Tune::fault_barrier_deadlock:
            // Half of the block waits at one barrier, half at another, each for all of it.
            asm volatile("bar.sync %0, 128;" ::"r"(1 + static_cast<int>(threadIdx.x) / 64));
            return true;
        case Tune::fault_trap: asm volatile("trap;"); return true;
        case Tune::fault_write_input: const_cast<volatile unsigned short*>(args.q)[threadIdx.x] = 1; return true;
        case Tune::fault_stale: return false;
        // Right while it is checked for the first time, and wonderfully fast ever after.
        case Tune::fault_right_once: return calls < 3;
        default: return true;
    }
}

__device__ void spoil(const AttnArgs& args) {
    if (threadIdx.x != 0 || blockIdx.x != 0 || blockIdx.y != 0) return;
    const long long rows = static_cast<long long>(args.batch) * args.heads * args.t_max;
    switch (kFault) {
        case Tune::fault_write_past_o: args.o[rows * kHeadDim + 2] = 1; return;
        case Tune::fault_write_before_lse: args.lse[-1] = 1.0f; return;
        case Tune::fault_nan: args.o[5] = 0x7fc0; return;
        case Tune::fault_right_once: ++calls; return;  // the suite's cases are of one block, so no other reads it now
        default: return;
    }
}

}  // namespace

extern "C" __global__ void block_sparse_attn_fwd(const __grid_constant__ AttnArgs args) {
    if (!go_wrong(args)) return;
    attend_row(args, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.x) * kBlockSize + static_cast<int>(threadIdx.x));
    __syncthreads();  // the NaN is written after the row it spoils
    spoil(args);
}
