#include "backend/cuda/outputs.h"

#include <array>

#include "attune/attn_args.h"
#include "backend/cuda/guard.h"

namespace attune::cuda {
namespace {

/// All ones are a NaN in bf16 and in fp32.
constexpr unsigned char kNanByte = 0xff;

std::size_t o_bytes(std::int64_t rows) {
    return static_cast<std::size_t>(rows) * kHeadDim * sizeof(unsigned short);
}

std::size_t lse_bytes(std::int64_t rows) {
    return static_cast<std::size_t>(rows) * sizeof(float);
}

/// Before o, between o and lse, after lse.
constexpr std::size_t kBands = 3;

/// Offsets of the bands for a call of `rows` rows.
std::array<std::size_t, kBands> band_offsets(std::int64_t rows) {
    const std::size_t second = kGuardBytes + o_bytes(rows);
    return {0, second, second + kGuardBytes + lse_bytes(rows)};
}

}  // namespace

Outputs::Outputs(DriverPtr api, const DeviceKernels& kernels, CUstream stream, std::int64_t max_rows)
    : api_(std::move(api)),
      kernels_(kernels),
      stream_(stream),
      memory_(api_, kBands * kGuardBytes + o_bytes(max_rows) + lse_bytes(max_rows)),
      damaged_(api_, sizeof(unsigned)) {}

unsigned short* Outputs::o() const {
    return reinterpret_cast<unsigned short*>(memory_.address() + kGuardBytes);
}

float* Outputs::lse(std::int64_t rows) const {
    return reinterpret_cast<float*>(memory_.address() + 2 * kGuardBytes + o_bytes(rows));
}

void Outputs::poison(std::int64_t rows) {
    const auto bands = band_offsets(rows);
    require(*api_, api_->cuMemsetD8Async(memory_.address(), kNanByte, bands.back(), stream_), "cuMemsetD8Async");
    for (const std::size_t band : bands) {
        require(*api_, api_->cuMemsetD32Async(memory_.address() + band, kGuardPattern, kGuardWords, stream_),
                "cuMemsetD32Async");
    }
}

bool Outputs::guards_intact(std::int64_t rows, const unsigned* workspace_guard) const {
    require(*api_, api_->cuMemsetD8Async(damaged_.address(), 0, damaged_.bytes(), stream_), "cuMemsetD8Async");
    GuardArgs args{};
    const auto bands = band_offsets(rows);
    for (std::size_t i = 0; i < bands.size(); ++i) {
        args.bands[i] = reinterpret_cast<const unsigned*>(memory_.address() + bands[i]);
    }
    args.bands[kBands] = workspace_guard != nullptr ? workspace_guard : args.bands[0];
    args.words = static_cast<int>(kGuardWords);
    args.pattern = kGuardPattern;
    args.damaged = damaged_.as<unsigned>();
    require(kernels_.guards(args));
    static_assert(kBands + 1 == kGuardBands);
    std::array<unsigned, 1> damaged{};
    download(*api_, stream_, std::as_writable_bytes(std::span(damaged)), damaged_.address());
    return damaged.front() == 0;
}

}  // namespace attune::cuda
