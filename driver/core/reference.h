// The operator itself, slowly and exactly: what every kernel is judged by (docs/operator.md).
//
// Scores, softmax and output are accumulated in double from the bf16 inputs; nothing here is shared with a template.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/attn_args.h"
#include "core/measurement.h"
#include "core/workload.h"

namespace attune {

/// A call's inputs on the host; layouts are those of AttnArgs.
struct AttentionInputs {
    int batch = 0;
    int heads = 0;
    int t_max = 0;
    int max_nnz = 0;  ///< stride of col_idx
    std::span<const std::uint16_t> q;
    std::span<const std::uint16_t> k;
    std::span<const std::uint16_t> v;
    std::span<const std::int32_t> row_ptr;
    std::span<const std::int32_t> col_idx;
    std::span<const std::int32_t> seq_lens;
};

/// One row of the output: query `token` of `head` of `batch`.
struct RowAddress {
    int batch = 0;
    int head = 0;
    int token = 0;
};

struct ReferenceRow {
    std::array<double, kHeadDim> o{};  ///< zeros when no key is attended
    double lse = 0.0;                  ///< natural log; -inf when no key is attended
};

/// o (bf16) and lse of a whole call.
struct AttentionOutput {
    std::vector<std::uint16_t> o;
    std::vector<float> lse;
};

/// The rows asked for, in the order asked. For spot checks of calls too large to compute whole.
[[nodiscard]] std::vector<ReferenceRow> reference_rows(const AttentionInputs& inputs, std::span<const RowAddress> rows);

/// The whole call, rounded to the types of the contract, from `threads` threads (0: all hardware threads).
[[nodiscard]] AttentionOutput reference_attention(const AttentionInputs& inputs, unsigned threads = 0);

/// Compares a kernel's output with the reference by the contract's tolerances, the absolute one of o times
/// `rule.atol_factor`. NaN never passes; infinities of lse must match in place and sign; where the reference attends no
/// key, o must be exactly zero. `detail` names batch, head, row (and column) of the first mismatch.
[[nodiscard]] CheckReport compare_attention(const AttentionInputs& inputs, std::span<const std::uint16_t> o,
                                            std::span<const float> lse, const AttentionOutput& reference,
                                            const StressRule& rule);

}  // namespace attune
