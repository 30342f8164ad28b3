// Block-sparse causal attention in the plainest way, for tests of the driver. `Tune::fault` breaks one rule at a time.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "attune/attn_args.h"
#include "attune_tune.h"

static_assert(Tune::fault != Tune::fault_compile_error, "this variant is meant not to compile");

extern "C" void defined_nowhere();

namespace {

constexpr bool kFaulty = Tune::fault != Tune::fault_none;

float to_float(unsigned short bits) {
    return std::bit_cast<float>(static_cast<unsigned>(bits) << 16U);
}

unsigned short to_bf16(float value) {
    const auto bits = std::bit_cast<unsigned>(value);
    return static_cast<unsigned short>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

float dot(const unsigned short* a, const unsigned short* b) {
    float sums[Tune::unroll] = {};
    for (int dim = 0; dim < kHeadDim; ++dim)
        sums[dim % Tune::unroll] += to_float(a[dim]) * to_float(b[dim]);
    float total = 0;
    for (const float sum : sums)
        total += sum;
    return total;
}

void attend_row(const AttnArgs& args, int head, int token) {
    const int seq_len = args.seq_lens[head / args.heads];
    const int block = token / kBlockSize;
    const int* starts = args.row_ptr + static_cast<std::size_t>(head) * (args.q_blocks + 1);
    const std::size_t head_row = static_cast<std::size_t>(head) * args.t_max;
    const float scale = Tune::fault == Tune::fault_wrong_scale ? args.scale * 1.05F : args.scale;

    std::vector<std::pair<int, float>> scores;
    float top = -std::numeric_limits<float>::infinity();
    for (int entry = starts[block]; entry < starts[block + 1]; ++entry) {
        const int first = args.col_idx[static_cast<std::size_t>(head) * args.max_nnz + entry] * kBlockSize;
        for (int key = first; key < std::min(first + kBlockSize, std::min(token + 1, seq_len)); ++key) {
            scores.emplace_back(
                key, scale * dot(args.q + (head_row + token) * kHeadDim, args.k + (head_row + key) * kHeadDim));
            top = std::max(top, scores.back().second);
        }
    }
    float sum = 0;
    float o[kHeadDim] = {};
    for (const auto& [key, score] : scores) {
        const float weight = std::exp(score - top);
        sum += weight;
        for (int dim = 0; dim < kHeadDim; ++dim)
            o[dim] += weight * to_float(args.v[(head_row + key) * kHeadDim + dim]);
    }
    args.lse[head_row + token] = scores.empty() ? top : top + std::log(sum);
    for (int dim = 0; dim < kHeadDim; ++dim) {
        args.o[(head_row + token) * kHeadDim + dim] = scores.empty() ? 0 : to_bf16(o[dim] / sum);
    }
}

/// What a broken variant does beside its work.
void misbehave(const AttnArgs& args) {
    const std::size_t rows = static_cast<std::size_t>(args.batch) * args.heads * args.t_max;
    int* counter = static_cast<int*>(args.workspace);
    if (Tune::fault == Tune::fault_overrun) args.o[rows * kHeadDim + 5] = 0;
    if (Tune::fault == Tune::fault_underrun) args.o[-3] = 0;
    if (Tune::fault == Tune::fault_lse_overrun) args.lse[rows] = 0;
    if (Tune::fault == Tune::fault_workspace_overrun) counter[64] = 0;
    if (Tune::fault == Tune::fault_writes_input) const_cast<unsigned short*>(args.q)[0] = 0;
    if (Tune::fault == Tune::fault_segfault) *reinterpret_cast<volatile int*>(16) = 1;
    if (Tune::fault == Tune::fault_hang) {
        for (volatile bool forever = true; forever;) {
        }
    }
    // The plan clears the counter before each call; where it does not, the second call sees the first one's.
    if (++*counter > 1) args.o[0] = 0x7fc0;
    if constexpr (Tune::fault == Tune::fault_undefined_function) defined_nowhere();
}

}  // namespace

/// Rows before seq_len.
extern "C" void block_sparse_attn_fwd(const AttnArgs* args) {
    const int heads = args->batch * args->heads;
#pragma omp parallel for num_threads(Tune::threads) schedule(dynamic, 1)
    for (int head = 0; head < heads; ++head) {
        const int seq_len = args->seq_lens[head / args->heads];
        for (int token = 0; token < seq_len; ++token) {
            // Rows never written keep whatever lay there before.
            if (Tune::fault == Tune::fault_stale_rows && token == 7) continue;
            attend_row(*args, head, token);
        }
    }
    if constexpr (kFaulty) misbehave(*args);
}

/// Rows at or past seq_len.
extern "C" void zero_padding(const AttnArgs* args) {
    if (Tune::fault == Tune::fault_nan_padding) return;
    for (int head = 0; head < args->batch * args->heads; ++head) {
        for (int token = args->seq_lens[head / args->heads]; token < args->t_max; ++token) {
            const std::size_t row = static_cast<std::size_t>(head) * args->t_max + token;
            args->lse[row] = -std::numeric_limits<float>::infinity();
            std::fill_n(args->o + row * kHeadDim, kHeadDim, 0);
        }
    }
}
