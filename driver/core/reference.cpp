#include "core/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/bf16.h"
#include "core/parallel.h"

namespace attune {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::size_t kDim = kHeadDim;
constexpr std::size_t kBlock = kBlockSize;

/// 128 rows of 128 elements as doubles.
using Tile = std::vector<double>;

/// The key blocks one query block attends: listed, not above the diagonal, not past seq_len.
std::vector<int> attended_blocks(const AttentionInputs& inputs, std::size_t head, int query_block) {
    const int query_blocks = inputs.t_max / kBlockSize;
    const int seq_len = inputs.seq_lens[head / static_cast<std::size_t>(inputs.heads)];
    const int valid_blocks = (seq_len + kBlockSize - 1) / kBlockSize;
    const auto* starts = &inputs.row_ptr[head * static_cast<std::size_t>(query_blocks + 1)];
    std::vector<int> blocks;
    for (int entry = starts[query_block]; entry < starts[query_block + 1]; ++entry) {
        const int block =
            inputs.col_idx[head * static_cast<std::size_t>(inputs.max_nnz) + static_cast<std::size_t>(entry)];
        if (block >= 0 && block <= query_block && block < valid_blocks) blocks.push_back(block);
    }
    return blocks;
}

std::size_t row_offset(const AttentionInputs& inputs, std::size_t head, int token) {
    return (head * static_cast<std::size_t>(inputs.t_max) + static_cast<std::size_t>(token)) * kDim;
}

/// Rows [first, last) of one query block of one head, whole softmax rows at a time: scores of all attended keys first,
/// then their exact maximum, then the sums. No rescaling, so no rounding a streaming kernel would share.
class BlockReference {
  public:
    BlockReference(const AttentionInputs& inputs, std::size_t head, int query_block)
        : inputs_(inputs),
          head_(head),
          query_block_(query_block),
          seq_len_(inputs.seq_lens[head / static_cast<std::size_t>(inputs.heads)]),
          blocks_(attended_blocks(inputs, head, query_block)) {}

    /// Calls `emit(token, row)` for each.
    template <class Emit>
    void rows(int first, int last, const Emit& emit) {
        const int count = last - first;
        scores_.assign(static_cast<std::size_t>(count) * blocks_.size() * kBlock, -kInfinity);
        outputs_.assign(static_cast<std::size_t>(count), ReferenceRow{});
        for (std::size_t slot = 0; slot < blocks_.size(); ++slot)
            score_block(slot, first, count);
        for (int row = 0; row < count; ++row)
            normalise(row);
        for (std::size_t slot = 0; slot < blocks_.size(); ++slot)
            weigh_values(slot, count);
        for (int row = 0; row < count; ++row)
            emit(first + row, outputs_[static_cast<std::size_t>(row)]);
    }

  private:
    [[nodiscard]] std::span<double> scores_of(int row) {
        const std::size_t width = blocks_.size() * kBlock;
        return std::span(scores_).subspan(static_cast<std::size_t>(row) * width, width);
    }

    /// Scores of the rows against one key block; keys out of reach keep -inf.
    void score_block(std::size_t slot, int first, int count) {
        const int key0 = blocks_[slot] * kBlockSize;
        transposed_.resize(kDim * kBlock);
        for (std::size_t key = 0; key < kBlock; ++key) {
            const auto* source = &inputs_.k[row_offset(inputs_, head_, key0 + static_cast<int>(key))];
            for (std::size_t dim = 0; dim < kDim; ++dim)
                transposed_[dim * kBlock + key] = from_bf16(source[dim]);
        }
        for (int row = 0; row < count; ++row) {
            const int token = query_block_ * kBlockSize + first + row;
            const int reach = token < seq_len_ ? std::min({token + 1, seq_len_, key0 + kBlockSize}) - key0 : 0;
            if (reach <= 0) continue;
            std::array<double, kBlock> sums{};
            const auto* query = &inputs_.q[row_offset(inputs_, head_, token)];
            for (std::size_t dim = 0; dim < kDim; ++dim) {
                const double factor = from_bf16(query[dim]);
                const double* keys = &transposed_[dim * kBlock];
                for (std::size_t key = 0; key < kBlock; ++key)
                    sums[key] += factor * keys[key];
            }
            const double scale = 1.0 / std::sqrt(static_cast<double>(kHeadDim));
            const auto target = scores_of(row).subspan(slot * kBlock, static_cast<std::size_t>(reach));
            for (std::size_t key = 0; key < target.size(); ++key)
                target[key] = sums[key] * scale;
        }
    }

    /// Scores become probabilities; lse is done.
    void normalise(int row) {
        const std::span<double> scores = scores_of(row);
        ReferenceRow& output = outputs_[static_cast<std::size_t>(row)];
        const double top = scores.empty() ? -kInfinity : *std::max_element(scores.begin(), scores.end());
        if (top == -kInfinity) {
            output.lse = -kInfinity;
            std::fill(scores.begin(), scores.end(), 0.0);
            return;
        }
        double sum = 0.0;
        for (double& score : scores) {
            score = std::exp(score - top);
            sum += score;
        }
        for (double& score : scores)
            score /= sum;
        output.lse = top + std::log(sum);
    }

    void weigh_values(std::size_t slot, int count) {
        values_.resize(kBlock * kDim);
        const auto* source = &inputs_.v[row_offset(inputs_, head_, blocks_[slot] * kBlockSize)];
        std::transform(source, source + kBlock * kDim, values_.begin(), from_bf16);
        for (int row = 0; row < count; ++row) {
            const auto weights = scores_of(row).subspan(slot * kBlock, kBlock);
            auto& o = outputs_[static_cast<std::size_t>(row)].o;
            for (std::size_t key = 0; key < kBlock; ++key) {
                const double weight = weights[key];
                if (weight == 0.0) continue;
                const double* value = &values_[key * kDim];
                for (std::size_t dim = 0; dim < kDim; ++dim)
                    o[dim] += weight * value[dim];
            }
        }
    }

    const AttentionInputs& inputs_;
    std::size_t head_;
    int query_block_;
    int seq_len_;
    std::vector<int> blocks_;
    std::vector<double> scores_;
    std::vector<ReferenceRow> outputs_;
    Tile transposed_;
    Tile values_;
};

}  // namespace

std::vector<ReferenceRow> reference_rows(const AttentionInputs& inputs, std::span<const RowAddress> rows) {
    std::vector<ReferenceRow> result(rows.size());
    parallel_for(static_cast<std::int64_t>(rows.size()), [&](std::int64_t i) {
        const RowAddress& address = rows[static_cast<std::size_t>(i)];
        const auto head = static_cast<std::size_t>(address.batch * inputs.heads + address.head);
        const int row = address.token % kBlockSize;
        BlockReference(inputs, head, address.token / kBlockSize)
            .rows(row, row + 1, [&](int, const ReferenceRow& output) { result[static_cast<std::size_t>(i)] = output; });
    });
    return result;
}

AttentionOutput reference_attention(const AttentionInputs& inputs, unsigned threads) {
    const std::int64_t query_blocks = inputs.t_max / kBlockSize;
    const std::int64_t heads = std::int64_t{inputs.batch} * inputs.heads;
    AttentionOutput output;
    output.lse.resize(static_cast<std::size_t>(heads * inputs.t_max));
    output.o.resize(output.lse.size() * kDim);
    const auto compute_block = [&](std::int64_t task) {
        const std::int64_t block = task % query_blocks;
        const std::int64_t first_row = task / query_blocks * inputs.t_max + block * kBlockSize;
        BlockReference(inputs, static_cast<std::size_t>(task / query_blocks), static_cast<int>(block))
            .rows(0, kBlockSize, [&](int row, const ReferenceRow& computed) {
                const auto target = static_cast<std::size_t>(first_row + row);
                output.lse[target] = static_cast<float>(computed.lse);
                std::transform(computed.o.begin(), computed.o.end(),
                               output.o.begin() + static_cast<std::ptrdiff_t>(target * kDim),
                               [](double value) { return to_bf16(static_cast<float>(value)); });
            });
    };
    parallel_for(heads * query_blocks, compute_block, threads);
    return output;
}

}  // namespace attune
