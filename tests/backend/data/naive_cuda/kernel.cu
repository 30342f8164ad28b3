// A block of 128 threads takes one query row: thread i scores key i of each key block, and owns element i of o.
#include "attune/attn_args.h"
#include "attune_tune.h"

static_assert(kBlockSize == 128 && kHeadDim == 128, "one thread a key, one thread an element");

float widen(unsigned short bits) { return __uint_as_float(static_cast<unsigned>(bits) << 16); }

unsigned short narrow(float value) {
    const unsigned bits = __float_as_uint(value);
    return static_cast<unsigned short>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

/// Sum of the block's 128 values; `scratch` holds 128 floats.
float block_sum(float value, float* scratch) {
    __syncthreads();
    scratch[threadIdx.x] = value;
    __syncthreads();
    float sum = 0.0f;
    for (int i = 0; i < 128; ++i) sum += scratch[i];
    return sum;
}

float block_max(float value, float* scratch) {
    __syncthreads();
    scratch[threadIdx.x] = value;
    __syncthreads();
    float max = scratch[0];
    for (int i = 1; i < 128; ++i) max = fmaxf(max, scratch[i]);
    return max;
}

/// 6000 instructions, one after the other: 96 KB, which take longer to fetch than to execute.
float straight_line(float x, float y) {
#define TEN_TIMES(code) code code code code code code code code code code
#define THOUSAND_TIMES(code) TEN_TIMES(TEN_TIMES_AGAIN(TEN_TIMES_ONCE_MORE(code)))
#define TEN_TIMES_AGAIN(code) code code code code code code code code code code
#define TEN_TIMES_ONCE_MORE(code) code code code code code code code code code code
    THOUSAND_TIMES(x = x * y + 1.0f; x = x * y + 2.0f; x = x * y + 3.0f; x = x * y + 4.0f; x = x * y + 5.0f;
                   x = x * y + 6.0f;)
    return x;
}

extern "C" __global__ void attend(const __grid_constant__ AttnArgs args) {
    extern __shared__ float scratch[];
    const float infinity = __uint_as_float(0x7f800000U);
    const int row = blockIdx.x;
    const int thread = threadIdx.x;
    const int seq_len = args.seq_lens[blockIdx.z];
    if (row >= seq_len) return;
    if (Tune::straight_line) {
        args.lse[row] = straight_line(args.scale, args.scale);
        return;
    }
    const long long head = static_cast<long long>(blockIdx.z) * args.heads + blockIdx.y;
    const long long head_start = head * args.t_max * kHeadDim;
    const unsigned short* q = args.q + head_start + static_cast<long long>(row) * kHeadDim;
    const int* entries = args.row_ptr + head * (args.q_blocks + 1) + row / kBlockSize;
    const float scale = Tune::fault == Tune::fault_wrong_scale ? args.scale * 1.01f : args.scale;

    int* counter = static_cast<int*>(args.workspace);
    bool dirty = false;
    if (row == 0 && thread == 0 && blockIdx.y == 0 && blockIdx.z == 0) {
        if (Tune::fault == Tune::fault_overrun) {
            args.o[static_cast<long long>(args.batch) * args.heads * args.t_max * kHeadDim + 5] = 1;
        }
        if (Tune::fault == Tune::fault_lse_overrun) {
            args.lse[static_cast<long long>(args.batch) * args.heads * args.t_max] = 1.0f;
        }
        if (Tune::fault == Tune::fault_workspace_overrun) counter[64] = 1;
        if (Tune::fault == Tune::fault_writes_input) const_cast<unsigned short*>(args.q)[1] = 0x3f80;
        if (Tune::fault == Tune::fault_illegal_address) *reinterpret_cast<volatile int*>(16) = 1;
        dirty = atomicAdd(counter, 1) != 0;  // the driver promised a cleared counter
    }
    if (Tune::fault == Tune::fault_stale_rows && row % 7 == 3) return;

    float max = -infinity;
    float sum = 0.0f;
    float o = 0.0f;
    for (int pass = 0; pass < Tune::repeat; ++pass) {
        max = -infinity;
        sum = 0.0f;
        o = 0.0f;
        for (int entry = entries[0]; entry < entries[1]; ++entry) {
            const int first_key = args.col_idx[head * args.max_nnz + entry] * kBlockSize;
            const int key = first_key + thread;
            float score = -infinity;
            if (key <= row && key < seq_len) {
                const unsigned short* k = args.k + head_start + static_cast<long long>(key) * kHeadDim;
                float dot = 0.0f;
                for (int d = 0; d < kHeadDim; ++d) dot += widen(q[d]) * widen(k[d]);
                score = dot * scale;
            }
            const float new_max = fmaxf(max, block_max(score, scratch));
            const float rescale = expf(max - new_max);
            const float weight = expf(score - new_max);
            sum = sum * rescale + block_sum(weight, scratch);
            o *= rescale;
            __syncthreads();
            scratch[thread] = weight;
            __syncthreads();
            const unsigned short* v = args.v + head_start + static_cast<long long>(first_key) * kHeadDim + thread;
            for (int i = 0; i < kBlockSize; ++i) o += scratch[i] * widen(v[i * kHeadDim]);
            max = new_max;
        }
    }
    args.o[head_start + static_cast<long long>(row) * kHeadDim + thread] = narrow(o / sum);
    if (thread == 0) args.lse[head * args.t_max + row] = dirty ? 0.0f : max + logf(sum);
}

extern "C" __global__ void zero_padding(const __grid_constant__ AttnArgs args) {
    if (Tune::fault == Tune::fault_nan_padding) return;
    const int row = blockIdx.x;
    if (row < args.seq_lens[blockIdx.z]) return;
    const long long line = (static_cast<long long>(blockIdx.z) * args.heads + blockIdx.y) * args.t_max + row;
    args.o[line * kHeadDim + threadIdx.x] = 0;
    if (threadIdx.x == 0) args.lse[line] = -__uint_as_float(0x7f800000U);
}
