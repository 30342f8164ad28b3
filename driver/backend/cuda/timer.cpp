#include "backend/cuda/timer.h"

#include <algorithm>
#include <chrono>

namespace attune::cuda {
namespace {

/// Calls enqueued at once: far below the roughly thousand commands after which enqueueing itself would wait.
constexpr std::size_t kBatch = 32;
/// Written in each of a flush's two passes, in cache sizes: one to fill it, one for what its hashing leaves unevenly.
constexpr std::size_t kFlushCaches = 2;
/// For devices that report no L2 cache.
constexpr std::size_t kMinFlushBytes = 64 << 20;

}  // namespace

Timer::Timer(DriverPtr api, const DeviceKernels& kernels, CUstream stream, std::size_t l2_bytes)
    : api_(std::move(api)),
      kernels_(kernels),
      stream_(stream),
      flush_memory_(api_, std::max(kFlushCaches * l2_bytes, kMinFlushBytes)),
      flush_sum_(api_, sizeof(unsigned long long)) {
    for (std::size_t i = 0; i < kBatch; ++i) {
        starts_.push_back(make_event(api_));
        stops_.push_back(make_event(api_));
    }
}

CudaStatus Timer::warm_up(const PreparedCall& call, int count) const {
    for (int i = 0; i < count; ++i) {
        CudaStatus status = call.enqueue(*api_, stream_);
        if (!status.ok()) return status;
    }
    return check(*api_, api_->cuStreamSynchronize(stream_), "cuStreamSynchronize after warm-up");
}

CudaStatus Timer::measure(std::span<const PreparedCall* const> calls, CacheState cache,
                          std::vector<float>& milliseconds) {
    while (!calls.empty()) {
        const auto head = calls.first(std::min(calls.size(), kBatch));
        for (bool again = true; again;) {
            CudaStatus status = batch(head, cache, again);
            if (!status.ok()) return status;
        }
        CudaStatus status = read(head.size(), milliseconds);
        if (!status.ok()) return status;
        calls = calls.subspan(head.size());
    }
    return {};
}

CudaStatus Timer::batch(std::span<const PreparedCall* const> calls, CacheState cache, bool& again) {
    const auto started = std::chrono::steady_clock::now();
    CudaStatus status = kernels_.delay({lead_.spin_ns_per_call() * (calls.size() + 1)});
    for (std::size_t i = 0; status.ok() && i < calls.size(); ++i) {
        if (i == 0 || calls[i] != calls[i - 1]) status = calls[i]->enqueue(*api_, stream_);
        if (status.ok() && cache != CacheState::warm) status = flush(cache);
        if (status.ok()) status = check(*api_, api_->cuEventRecord(starts_[i].get(), stream_), "cuEventRecord");
        if (status.ok()) status = calls[i]->enqueue(*api_, stream_);
        if (status.ok()) status = check(*api_, api_->cuEventRecord(stops_[i].get(), stream_), "cuEventRecord");
    }
    const bool still_spinning = api_->cuEventQuery(starts_.front().get()) == CUDA_ERROR_NOT_READY;
    const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - started;
    again = lead_.take_again(static_cast<std::uint64_t>(took.count()) / (calls.size() + 1), still_spinning);
    // Waits in any case: nothing may be in flight when a candidate's failure is looked into.
    CudaStatus finished = check(*api_, api_->cuStreamSynchronize(stream_), "cuStreamSynchronize");
    return status.ok() ? finished : status;
}

CudaStatus Timer::read(std::size_t count, std::vector<float>& milliseconds) const {
    for (std::size_t i = 0; i < count; ++i) {
        float elapsed_ms = 0.0F;
        CudaStatus status = check(*api_, api_->cuEventElapsedTime(&elapsed_ms, starts_[i].get(), stops_[i].get()),
                                  "cuEventElapsedTime");
        if (!status.ok()) return status;
        milliseconds.push_back(elapsed_ms);
    }
    return {};
}

CudaStatus Timer::flush(CacheState cache) {
    const auto words = static_cast<long long>(flush_memory_.bytes() / sizeof(unsigned));
    CudaStatus status = kernels_.flush({flush_memory_.as<unsigned>(), words, ++salt_, 1});
    if (status.ok()) status = kernels_.flush({flush_memory_.as<unsigned>(), words, ++salt_, 0});
    if (!status.ok() || cache != CacheState::read) return status;
    return kernels_.checksum({flush_memory_.as<unsigned>(), words, flush_sum_.as<unsigned long long>()});
}

}  // namespace attune::cuda
