#include "backend/cuda/draw_store.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/inputs.h"

namespace attune::cuda {
namespace {

constexpr std::size_t kAlignment = 256;

/// Hands out aligned pieces of a block of memory, first counted, then placed.
class Layout {
  public:
    explicit Layout(CUdeviceptr base) : next_(base) {}
    template <class T>
    T* take(std::size_t count) {
        T* piece = reinterpret_cast<T*>(next_);
        next_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
        return piece;
    }
    [[nodiscard]] CUdeviceptr end() const { return next_; }

  private:
    CUdeviceptr next_;
};

/// Points `args` at the pieces of a draw that starts at `base`; returns its end.
CUdeviceptr lay_out(AttnArgs& args, const BlockMask& mask, std::size_t rows, CUdeviceptr base) {
    Layout layout(base);
    args.q = layout.take<unsigned short>(rows * kHeadDim);
    args.k = layout.take<unsigned short>(rows * kHeadDim);
    args.v = layout.take<unsigned short>(rows * kHeadDim);
    args.o = layout.take<unsigned short>(rows * kHeadDim);
    args.lse = layout.take<float>(rows);
    args.row_ptr = layout.take<int>(mask.row_ptr.size());
    args.col_idx = layout.take<int>(mask.col_idx.size());
    args.seq_lens = layout.take<int>(mask.seq_lens.size());
    return layout.end();
}

CUdeviceptr address_of(const void* pointer) {
    return reinterpret_cast<CUdeviceptr>(pointer);
}

}  // namespace

DrawStore::DrawStore(DriverPtr api, const DeviceKernels& kernels, CUstream stream)
    : api_(std::move(api)), kernels_(kernels), stream_(stream), sum_(api_, sizeof(std::uint64_t)) {}

void DrawStore::open(const Suite& suite, std::size_t budget_bytes) {
    entries_.clear();
    held_bytes_ = 0;
    suite_ = suite;
    budget_bytes_ = budget_bytes;
}

const DrawData& DrawStore::get(std::size_t case_index, Draw draw) {
    const Key key{case_index, draw.index, draw.stress};
    if (const auto found = entries_.find(key); found != entries_.end()) {
        if (intact(found->second.data)) {
            found->second.last_use = ++clock_;
            return found->second.data;
        }
        held_bytes_ -= found->second.data.memory.bytes();
        entries_.erase(found);
    }
    DrawData data = make(suite_.cases.at(case_index), draw);
    held_bytes_ += data.memory.bytes();
    return entries_.emplace(key, Entry{std::move(data), ++clock_}).first->second.data;
}

bool DrawStore::intact(const DrawData& data) const {
    return checksum(data) == data.checksum;
}

std::uint64_t DrawStore::checksum(const DrawData& data) const {
    require(*api_, api_->cuMemsetD8Async(sum_.address(), 0, sum_.bytes(), stream_), "cuMemsetD8Async");
    require(
        kernels_.checksum({data.memory.as<unsigned>(), static_cast<long long>(data.memory.bytes() / sizeof(unsigned)),
                           sum_.as<unsigned long long>()}));
    std::array<std::uint64_t, 1> sum{};
    download(*api_, stream_, std::as_writable_bytes(std::span(sum)), sum_.address());
    return sum.front();
}

CUdeviceptr DrawStore::table(Stress stress, PhiloxTensor tensor) {
    const StressRule rule = stress_rule(stress, kBlockSize);
    const float factor = tensor == kPhiloxQ ? rule.q_factor : tensor == kPhiloxV ? rule.v_factor : 1.0F;
    DeviceBuffer& held = tables_[factor];
    if (held.bytes() == 0) {
        const std::vector<std::uint16_t> table = input_table(stress, tensor);
        held = DeviceBuffer(api_, std::as_bytes(std::span(table)).size());
        upload(*api_, stream_, held.address(), std::as_bytes(std::span(table)));
    }
    return held.address();
}

void DrawStore::make_room(std::size_t bytes) {
    while (!entries_.empty() && held_bytes_ + bytes > budget_bytes_) {
        const auto oldest =
            std::ranges::min_element(entries_, {}, [](const auto& keyed) { return keyed.second.last_use; });
        held_bytes_ -= oldest->second.data.memory.bytes();
        entries_.erase(oldest);
    }
}

DrawData DrawStore::make(const CaseSpec& spec, Draw draw) {
    const BlockMask mask = generate_mask(spec, draw.stress);
    DrawData data;
    data.rule = stress_rule(draw.stress, spec.t_max);
    data.seq_lens = mask.seq_lens;
    data.args.batch = spec.batch_size;
    data.args.heads = spec.num_heads;
    data.args.t_max = spec.t_max;
    data.args.q_blocks = spec.t_max / kBlockSize;
    data.args.max_nnz = mask.max_nnz;
    data.args.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(kHeadDim)));

    const auto rows = static_cast<std::size_t>(data.rows());
    const auto bytes = static_cast<std::size_t>(lay_out(data.args, mask, rows, 0));
    make_room(bytes);
    data.memory = DeviceBuffer(api_, bytes);
    lay_out(data.args, mask, rows, data.memory.address());

    const auto send = [&](const int* target, const std::vector<std::int32_t>& values) {
        upload(*api_, stream_, address_of(target), std::as_bytes(std::span(values)));
    };
    send(data.args.row_ptr, mask.row_ptr);
    send(data.args.col_idx, mask.col_idx);
    send(data.args.seq_lens, mask.seq_lens);
    for (const auto& [tensor, target] :
         {std::pair{kPhiloxQ, data.args.q}, std::pair{kPhiloxK, data.args.k}, std::pair{kPhiloxV, data.args.v}}) {
        require(kernels_.generate({const_cast<unsigned short*>(target),
                                   reinterpret_cast<const unsigned short*>(table(draw.stress, tensor)),
                                   static_cast<long long>(rows) * kHeadDim / 4, spec.seed, draw.index, tensor}));
    }
    require(kernels_.reference(data.args));
    data.checksum = checksum(data);
    return data;
}

}  // namespace attune::cuda
