// Inputs and references of the open suite, on the device. A draw costs milliseconds to make, so the recent ones are
// kept while a share of the memory allows.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "backend/cuda/device_kernels.h"
#include "core/workload.h"

namespace attune::cuda {

/// One draw of one case: tensors, mask and reference in one piece of memory.
struct DrawData {
    DeviceBuffer memory;
    AttnArgs args{};  ///< of the call, with o and lse pointing at the reference, no workspace and no tensor maps
    std::vector<std::int32_t> seq_lens;
    StressRule rule;
    std::uint64_t checksum = 0;  ///< of all of `memory`, as made

    [[nodiscard]] std::int64_t rows() const { return std::int64_t{args.batch} * args.heads * args.t_max; }
};

class DrawStore {
  public:
    DrawStore(DriverPtr api, const DeviceKernels& kernels, CUstream stream);

    /// Forgets every draw and takes up the cases of `suite`, to be kept within `budget_bytes`, or one draw if that is
    /// more.
    void open(const Suite& suite, std::size_t budget_bytes);
    [[nodiscard]] const Suite& suite() const { return suite_; }

    /// The draw, made now if it is not there or has been written to by somebody. Stays valid until the next call.
    /// EnvironmentError when the device has no room for it.
    [[nodiscard]] const DrawData& get(std::size_t case_index, Draw draw);

    /// Whether the draw is still as it was made. Waits for the stream.
    [[nodiscard]] bool intact(const DrawData& data) const;

  private:
    using Key = std::tuple<std::size_t, std::uint32_t, Stress>;
    struct Entry {
        DrawData data;
        std::uint64_t last_use = 0;
    };

    [[nodiscard]] DrawData make(const CaseSpec& spec, Draw draw);
    [[nodiscard]] std::uint64_t checksum(const DrawData& data) const;
    [[nodiscard]] CUdeviceptr table(Stress stress, PhiloxTensor tensor);
    void make_room(std::size_t bytes);

    DriverPtr api_;
    const DeviceKernels& kernels_;
    CUstream stream_;
    Suite suite_;
    std::size_t budget_bytes_ = 0;
    std::size_t held_bytes_ = 0;
    std::uint64_t clock_ = 0;
    std::map<Key, Entry> entries_;
    std::map<float, DeviceBuffer> tables_;  ///< quantiles by the factor a stress puts on them
    DeviceBuffer sum_;
};

}  // namespace attune::cuda
