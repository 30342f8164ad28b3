// Block masks, drawn exactly as the public harness draws them (docs/operator.md).
#include <algorithm>
#include <limits>
#include <numeric>

#include "attune/attn_args.h"
#include "core/pcg64.h"
#include "core/workload.h"

namespace attune {
namespace {

int blocks_of(int tokens) {
    return (tokens + kBlockSize - 1) / kBlockSize;
}

std::vector<std::int32_t> draw_seq_lens(const CaseSpec& spec) {
    const int shortest = std::max(kBlockSize, static_cast<int>(spec.t_max * spec.seq_len_min_ratio));
    std::vector<std::int32_t> seq_lens(static_cast<std::size_t>(spec.batch_size), spec.t_max);
    if (shortest >= spec.t_max) return seq_lens;
    NumpyRng rng(spec.seed ^ 0xABCDEFU);
    for (std::int32_t& seq_len : seq_lens)
        seq_len = static_cast<std::int32_t>(rng.integers(shortest, spec.t_max + 1));
    return seq_lens;
}

/// Blocks a retrieval row may still draw from; both pools ascend and never overlap.
class RetrievalPools {
  public:
    RetrievalPools(const CaseSpec& spec, int query_block)
        : near_(block_range(std::max(0, query_block - 4 * spec.window_blocks), window_start(spec, query_block))),
          far_(block_range(0, std::max(0, query_block - 4 * spec.window_blocks))) {}

    static int window_start(const CaseSpec& spec, int query_block) {
        return std::max(0, query_block - spec.window_blocks + 1);
    }

    [[nodiscard]] bool empty() const { return near_.empty() && far_.empty(); }

    std::int32_t draw(NumpyRng& rng, double local_bias) {
        const bool from_near = !near_.empty() && (far_.empty() || rng.random() < local_bias);
        std::vector<std::int32_t>& pool = from_near ? near_ : far_;
        const auto chosen = pool.begin() + rng.integers(0, static_cast<std::int64_t>(pool.size()));
        const std::int32_t block = *chosen;
        pool.erase(chosen);
        return block;
    }

  private:
    static std::vector<std::int32_t> block_range(int begin, int end) {
        std::vector<std::int32_t> blocks(static_cast<std::size_t>(std::max(0, end - begin)));
        std::iota(blocks.begin(), blocks.end(), begin);
        return blocks;
    }

    std::vector<std::int32_t> near_;
    std::vector<std::int32_t> far_;
};

/// Appends the ascending key blocks of one query block to `columns`.
void append_row(const CaseSpec& spec, int query_block, NumpyRng& rng, std::vector<std::int32_t>& columns) {
    const int window_start = RetrievalPools::window_start(spec, query_block);
    const auto row_start = static_cast<std::ptrdiff_t>(columns.size());
    switch (spec.family) {
        case Family::sliding_window:
            break;
        case Family::sliding_window_global:
            for (int block = 0; block < std::min(spec.global_blocks, window_start); ++block)
                columns.push_back(block);
            break;
        case Family::sliding_window_retrieval: {
            RetrievalPools pools(spec, query_block);
            for (int i = 0; i < spec.retrieval_blocks && !pools.empty(); ++i) {
                columns.push_back(pools.draw(rng, spec.retrieval_local_bias));
            }
            std::sort(columns.begin() + row_start, columns.end());
            break;
        }
    }
    for (int block = window_start; block <= query_block; ++block)
        columns.push_back(block);
}

}  // namespace

BlockMask generate_mask(const CaseSpec& spec, Stress stress) {
    BlockMask mask;
    mask.seq_lens = draw_seq_lens(spec);
    const int forced = stress_rule(stress, spec.t_max).forced_seq_len;
    if (forced > 0) std::fill(mask.seq_lens.begin(), mask.seq_lens.end(), forced);

    const int query_blocks = blocks_of(spec.t_max);
    std::vector<std::vector<std::int32_t>> head_columns;
    NumpyRng case_rng(spec.seed);
    double density_sum = 0.0;
    for (int batch = 0; batch < spec.batch_size; ++batch) {
        const int valid_blocks = blocks_of(mask.seq_lens[static_cast<std::size_t>(batch)]);
        for (int head = 0; head < spec.num_heads; ++head) {
            NumpyRng head_rng(static_cast<std::uint64_t>(case_rng.integers(0, (std::int64_t{1} << 31) - 1)));
            std::vector<std::int32_t>& columns = head_columns.emplace_back();
            mask.row_ptr.push_back(0);
            for (int query_block = 0; query_block < query_blocks; ++query_block) {
                if (query_block < valid_blocks) append_row(spec, query_block, head_rng, columns);
                mask.row_ptr.push_back(static_cast<std::int32_t>(columns.size()));
            }
            mask.nnz += static_cast<std::int64_t>(columns.size());
            mask.max_nnz = std::max(mask.max_nnz, static_cast<int>(columns.size()));
            density_sum += static_cast<double>(columns.size()) / (static_cast<double>(valid_blocks) * valid_blocks);
        }
    }
    mask.density = density_sum / static_cast<double>(head_columns.size());

    const auto stride = static_cast<std::ptrdiff_t>(mask.max_nnz);
    mask.col_idx.resize(head_columns.size() * static_cast<std::size_t>(mask.max_nnz));
    auto target = mask.col_idx.begin();
    for (const auto& columns : head_columns) {
        std::copy(columns.begin(), columns.end(), target);
        target += stride;
    }
    return mask;
}

int max_nnz_bound(const CaseSpec& spec) {
    std::int64_t per_row = spec.window_blocks;
    if (spec.family == Family::sliding_window_global) per_row += spec.global_blocks;
    if (spec.family == Family::sliding_window_retrieval) per_row += spec.retrieval_blocks;
    // Row i lists at most i + 1 blocks.
    const std::int64_t rows = blocks_of(spec.t_max);
    const std::int64_t growing = std::min(rows, per_row);
    const std::int64_t bound = growing * (growing + 1) / 2 + (rows - growing) * per_row;
    return static_cast<int>(std::min<std::int64_t>(bound, std::numeric_limits<int>::max()));
}

}  // namespace attune
