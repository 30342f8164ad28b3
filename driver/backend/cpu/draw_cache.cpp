#include "backend/cpu/draw_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/inputs.h"

namespace attune::cpu {
namespace {

constexpr std::size_t kAlignment = 4096;

/// Hands out aligned parts of a buffer, in order.
class Carver {
  public:
    explicit Carver(std::span<std::byte> bytes) : rest_(bytes) {}

    template <class T>
    std::span<T> take(std::size_t count) {
        const std::size_t bytes = padded(count * sizeof(T));
        const std::span<T> part(reinterpret_cast<T*>(rest_.data()), count);
        rest_ = rest_.subspan(bytes);
        return part;
    }
    std::span<const std::int32_t> copy(const std::vector<std::int32_t>& values) {
        const auto part = take<std::int32_t>(values.size());
        std::ranges::copy(values, part.begin());
        return part;
    }
    static std::size_t padded(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

  private:
    std::span<std::byte> rest_;
};

}  // namespace

MaterialisedDraw::MaterialisedDraw(const CaseSpec& spec, Draw draw) {
    const BlockMask mask = generate_mask(spec, draw.stress);
    const auto elements = static_cast<std::size_t>(element_count(spec));
    const std::size_t lists = Carver::padded(4 * mask.row_ptr.size()) + Carver::padded(4 * mask.col_idx.size()) +
                              Carver::padded(4 * mask.seq_lens.size());
    auto pages = PageBuffer::allocate(3 * Carver::padded(2 * elements) + lists);
    if (!pages) {
        throw EnvironmentError(fmt::format("no memory for the inputs of case '{}'; use a smaller suite", spec.case_id));
    }
    pages_ = std::move(*pages);
    Carver carver(pages_.bytes());
    const auto tensor = [&](PhiloxTensor which) {
        const auto values = carver.take<std::uint16_t>(elements);
        fill_input(spec, draw, which, values);
        return values;
    };
    inputs_.batch = spec.batch_size;
    inputs_.heads = spec.num_heads;
    inputs_.t_max = spec.t_max;
    inputs_.max_nnz = mask.max_nnz;
    inputs_.q = tensor(kPhiloxQ);
    inputs_.k = tensor(kPhiloxK);
    inputs_.v = tensor(kPhiloxV);
    inputs_.row_ptr = carver.copy(mask.row_ptr);
    inputs_.col_idx = carver.copy(mask.col_idx);
    inputs_.seq_lens = carver.copy(mask.seq_lens);
    pages_.make_read_only();
}

const AttentionOutput& MaterialisedDraw::reference() {
    if (!reference_) reference_ = std::make_unique<const AttentionOutput>(reference_attention(inputs_));
    return *reference_;
}

std::int64_t draw_bytes(const CaseSpec& spec) {
    const std::int64_t lists = 4 * std::int64_t{spec.batch_size} * spec.num_heads * max_nnz_bound(spec);
    const std::int64_t lse = 4 * element_count(spec) / kHeadDim;
    return 4 * 2 * element_count(spec) + lists + lse;
}

void DrawCache::make_room(std::int64_t bytes) {
    while (!entries_.empty() && used_bytes_ + bytes > budget_bytes_) {
        used_bytes_ -= draw_bytes(cases_[entries_.back().case_index]);
        entries_.pop_back();
    }
    used_bytes_ += bytes;
}

MaterialisedDraw& DrawCache::get(std::size_t case_index, Draw draw) {
    const auto found = std::ranges::find_if(entries_, [&](const Entry& entry) {
        return entry.case_index == case_index && entry.draw.index == draw.index && entry.draw.stress == draw.stress;
    });
    if (found != entries_.end()) {
        entries_.splice(entries_.begin(), entries_, found);
    } else {
        const CaseSpec& spec = cases_.at(case_index);
        make_room(draw_bytes(spec));
        entries_.push_front({case_index, draw, std::make_unique<MaterialisedDraw>(spec, draw)});
    }
    return *entries_.front().content;
}

}  // namespace attune::cpu
