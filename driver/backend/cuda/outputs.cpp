#include "backend/cuda/outputs.h"

#include <array>

#include "attune/attn_args.h"

namespace attune::cuda {
namespace {

/// More than a 128 x 128 tile of bf16 and a wide miss beside it.
constexpr std::size_t kGuardBytes = 64 * 1024;
/// No bf16 or float a kernel is likely to write: both are enormous or tiny.
constexpr unsigned kGuardPattern = 0x7d2bf19eU;
/// All ones are a NaN in bf16 and in fp32.
constexpr unsigned char kNanByte = 0xff;

std::size_t o_bytes(std::int64_t rows) {
    return static_cast<std::size_t>(rows) * kHeadDim * sizeof(unsigned short);
}

std::size_t lse_bytes(std::int64_t rows) {
    return static_cast<std::size_t>(rows) * sizeof(float);
}

/// Offsets of the bands for a call of `rows` rows.
std::array<std::size_t, kGuardBands> band_offsets(std::int64_t rows) {
    const std::size_t second = kGuardBytes + o_bytes(rows);
    return {0, second, second + kGuardBytes + lse_bytes(rows)};
}

}  // namespace

Outputs::Outputs(DriverPtr api, const DeviceKernels& kernels, CUstream stream, std::int64_t max_rows)
    : api_(std::move(api)),
      kernels_(kernels),
      stream_(stream),
      memory_(api_, kGuardBands * kGuardBytes + o_bytes(max_rows) + lse_bytes(max_rows)),
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
        require(*api_,
                api_->cuMemsetD32Async(memory_.address() + band, kGuardPattern, kGuardBytes / sizeof(unsigned), stream_),
                "cuMemsetD32Async");
    }
}

bool Outputs::guards_intact(std::int64_t rows) const {
    require(*api_, api_->cuMemsetD8Async(damaged_.address(), 0, damaged_.bytes(), stream_), "cuMemsetD8Async");
    GuardArgs args{};
    const auto bands = band_offsets(rows);
    for (std::size_t i = 0; i < bands.size(); ++i) {
        args.bands[i] = reinterpret_cast<const unsigned*>(memory_.address() + bands[i]);
    }
    args.words = static_cast<int>(kGuardBytes / sizeof(unsigned));
    args.pattern = kGuardPattern;
    args.damaged = damaged_.as<unsigned>();
    require(kernels_.guards(args));
    std::array<unsigned, 1> damaged{};
    download(*api_, stream_, std::as_writable_bytes(std::span(damaged)), damaged_.address());
    return damaged.front() == 0;
}

}  // namespace attune::cuda
