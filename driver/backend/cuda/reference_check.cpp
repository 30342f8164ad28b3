#include "backend/cuda/reference_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/bf16.h"
#include "core/error.h"
#include "core/inputs.h"
#include "core/reference.h"

namespace attune::cuda {
namespace {

/// The reference accumulates in fp32, the CPU in double; far inside the contract's tolerance of lse.
constexpr double kLseSlack = 2e-6;
/// One step of bf16, when a sum near the middle of two values is rounded the other way.
constexpr double kOutputRelativeSlack = 1.0 / 128;
constexpr double kOutputSlack = 1e-5;

/// What the device holds of one head, on the host.
struct HeadData {
    std::vector<std::uint16_t> q, k, v, o;
    std::vector<float> lse;
    std::vector<std::int32_t> row_ptr, col_idx;
};

template <class T>
std::vector<T> fetch(const DriverApi& api, CUstream stream, const void* base, std::size_t index, std::size_t count) {
    std::vector<T> values(count);
    download(api, stream, std::as_writable_bytes(std::span(values)),
             reinterpret_cast<CUdeviceptr>(base) + index * count * sizeof(T));
    return values;
}

HeadData fetch_head(const DriverApi& api, CUstream stream, const AttnArgs& args, std::size_t head) {
    const auto rows = static_cast<std::size_t>(args.t_max);
    const std::size_t elements = rows * kHeadDim;
    HeadData data;
    data.q = fetch<std::uint16_t>(api, stream, args.q, head, elements);
    data.k = fetch<std::uint16_t>(api, stream, args.k, head, elements);
    data.v = fetch<std::uint16_t>(api, stream, args.v, head, elements);
    data.o = fetch<std::uint16_t>(api, stream, args.o, head, elements);
    data.lse = fetch<float>(api, stream, args.lse, head, rows);
    data.row_ptr = fetch<std::int32_t>(api, stream, args.row_ptr, head, static_cast<std::size_t>(args.q_blocks) + 1);
    data.col_idx = fetch<std::int32_t>(api, stream, args.col_idx, head, static_cast<std::size_t>(args.max_nnz));
    return data;
}

/// One head of a tensor as the CPU draws it.
std::vector<std::uint16_t> drawn(const CaseSpec& spec, Draw draw, PhiloxTensor tensor, std::size_t head) {
    const std::vector<std::uint16_t> table = input_table(draw.stress, tensor);
    const std::size_t elements = static_cast<std::size_t>(spec.t_max) * kHeadDim;
    std::vector<std::uint16_t> values;
    values.reserve(elements);
    for (std::size_t group = head * elements / 4; group < (head + 1) * elements / 4; ++group) {
        for (const unsigned word : input_words(spec.seed, draw.index, tensor, group).word) {
            values.push_back(table[word >> (32 - kQuantileBits)]);
        }
    }
    return values;
}

/// Block edges, the end of the valid rows, and rows between.
std::vector<RowAddress> sampled_rows(int t_max, int seq_len) {
    std::set<int> tokens{0, 1, 63, 64, 127, 128, seq_len - 1, seq_len, t_max - 1};
    for (int i = 1; i < 8; ++i)
        tokens.insert(static_cast<int>(std::int64_t{seq_len} * i / 8));
    std::vector<RowAddress> rows;
    for (const int token : tokens) {
        if (token < t_max) rows.push_back({0, 0, token});
    }
    return rows;
}

[[noreturn]] void disagree(const CaseSpec& spec, std::size_t head, const std::string& what) {
    throw EnvironmentError(
        fmt::format("the GPU and the CPU disagree on case '{}', batch {}, head {}: {}; the GPU, its "
                    "driver or NVRTC computes wrongly: run `nvidia-smi -q` and look for errors",
                    spec.case_id, head / static_cast<std::size_t>(spec.num_heads),
                    head % static_cast<std::size_t>(spec.num_heads), what));
}

void verify_inputs(const CaseSpec& spec, Draw draw, std::size_t head, const HeadData& data) {
    struct Named {
        const char* name;
        PhiloxTensor tensor;
        const std::vector<std::uint16_t>& values;
    };
    for (const Named& named :
         {Named{"q", kPhiloxQ, data.q}, Named{"k", kPhiloxK, data.k}, Named{"v", kPhiloxV, data.v}}) {
        const std::vector<std::uint16_t> expected = drawn(spec, draw, named.tensor, head);
        const auto [is, should] = std::ranges::mismatch(named.values, expected);
        if (is == named.values.end()) continue;
        disagree(spec, head,
                 fmt::format("element {} of {} is {:#06x}, should be {:#06x}", is - named.values.begin(), named.name,
                             *is, *should));
    }
}

bool close(double actual, double expected, double absolute, double relative) {
    if (std::isinf(expected) || std::isinf(actual)) return actual == expected;
    return std::abs(actual - expected) <= absolute + relative * std::abs(expected);
}

void verify_rows(const CaseSpec& spec, std::size_t head, std::int32_t seq_len, const HeadData& data) {
    AttentionInputs inputs;
    inputs.batch = 1;
    inputs.heads = 1;
    inputs.t_max = spec.t_max;
    inputs.max_nnz = static_cast<int>(data.col_idx.size());
    inputs.q = data.q;
    inputs.k = data.k;
    inputs.v = data.v;
    inputs.row_ptr = data.row_ptr;
    inputs.col_idx = data.col_idx;
    inputs.seq_lens = std::span(&seq_len, 1);

    const std::vector<RowAddress> rows = sampled_rows(spec.t_max, seq_len);
    const std::vector<ReferenceRow> expected = reference_rows(inputs, rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto token = static_cast<std::size_t>(rows[i].token);
        if (!close(data.lse[token], expected[i].lse, kLseSlack, kLseSlack)) {
            disagree(spec, head,
                     fmt::format("lse of row {} is {}, should be {}", token, data.lse[token], expected[i].lse));
        }
        for (std::size_t d = 0; d < kHeadDim; ++d) {
            const float actual = from_bf16(data.o[token * kHeadDim + d]);
            const float rounded = from_bf16(to_bf16(static_cast<float>(expected[i].o[d])));
            if (close(actual, rounded, kOutputSlack, kOutputRelativeSlack)) continue;
            disagree(spec, head, fmt::format("o of row {}, column {} is {}, should be {}", token, d, actual, rounded));
        }
    }
}

}  // namespace

void verify_draw(const DriverApi& api, CUstream stream, const CaseSpec& spec, Draw draw, const DrawData& data) {
    const std::size_t heads = static_cast<std::size_t>(spec.batch_size) * static_cast<std::size_t>(spec.num_heads);
    for (const std::size_t head : std::set<std::size_t>{0, heads - 1}) {
        const HeadData held = fetch_head(api, stream, data.args, head);
        verify_inputs(spec, draw, head, held);
        verify_rows(spec, head, data.seq_lens[head / static_cast<std::size_t>(spec.num_heads)], held);
    }
}

}  // namespace attune::cuda
