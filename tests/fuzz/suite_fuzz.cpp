#include "config/suite.h"
#include "fuzz/fuzz.h"

namespace attune::fuzz {
namespace {

constexpr std::int64_t kSmallMask = 1 << 16;

void check_mask(const CaseSpec& spec, Stress stress) {
    const BlockMask mask = generate_mask(spec, stress);
    const auto heads = static_cast<std::size_t>(spec.batch_size) * static_cast<std::size_t>(spec.num_heads);
    const auto rows = static_cast<std::size_t>(spec.t_max / 128) + 1;
    require(mask.seq_lens.size() == static_cast<std::size_t>(spec.batch_size), "one seq_len a batch");
    require(mask.row_ptr.size() == heads * rows, "q_blocks + 1 row starts a head");
    require(mask.col_idx.size() == heads * static_cast<std::size_t>(mask.max_nnz), "max_nnz columns a head");
    require(mask.max_nnz <= max_nnz_bound(spec), "max_nnz keeps its bound");
    for (const std::int32_t length : mask.seq_lens)
        require(length >= 1 && length <= spec.t_max, "1 <= seq_len <= t_max");
    for (std::size_t i = 1; i < mask.row_ptr.size(); ++i) {
        if (i % rows != 0) require(mask.row_ptr[i] >= mask.row_ptr[i - 1], "row starts ascend");
    }
    for (const std::int32_t block : mask.col_idx)
        require(block >= 0 && block < spec.t_max / 128, "blocks exist");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    expect_one_line_errors([&] {
        for (const CaseSpec& spec : parse_suite(as_text(data, size), "fuzz.json").cases) {
            const std::int64_t heads = std::int64_t{spec.batch_size} * spec.num_heads;
            if (heads * max_nnz_bound(spec) > kSmallMask || heads * spec.t_max > kSmallMask) continue;
            check_mask(spec, Stress::none);
            check_mask(spec, Stress::seq_len_129);
        }
    });
    return 0;
}

}  // namespace attune::fuzz
