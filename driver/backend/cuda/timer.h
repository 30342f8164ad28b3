// GPU time of calls, by events.
//
// An interval must hold the call and nothing of the host. So the host enqueues a whole batch (flush, event, call,
// event, flush, ...) behind a kernel that merely spins, and where the GPU caught up with the host before the batch was
// complete, the batch is taken again behind a longer spin (HostLead).
#pragma once

#include <span>
#include <vector>

#include "backend/cuda/host_lead.h"
#include "backend/cuda/loaded_variant.h"

namespace attune::cuda {

/// State of the L2 cache before each call.
enum class CacheState {
    cold,  ///< full of lines written before, which must reach memory before others can take their place
    read,  ///< full of lines read before
    warm,  ///< as the call before left it
};

class Timer {
  public:
    /// `l2_bytes`: size of the cache to flush.
    Timer(DriverPtr api, const DeviceKernels& kernels, CUstream stream, std::size_t l2_bytes);

    /// Runs `call` `count` times untimed.
    CudaStatus warm_up(const PreparedCall& call, int count) const;
    /// Appends the latency of each call to `milliseconds`, in order. Cold: the cache is flushed before each, outside
    /// the interval. Read: what the flush wrote is read through after it. Warm: back to back. A call that does not
    /// follow itself runs once untimed first: the flush leaves a kernel's instructions in the SMs, another kernel does
    /// not, and fetching them costs a large one a tenth of its time.
    CudaStatus measure(std::span<const PreparedCall* const> calls, CacheState cache, std::vector<float>& milliseconds);

  private:
    CudaStatus batch(std::span<const PreparedCall* const> calls, CacheState cache, bool& again);
    CudaStatus read(std::size_t count, std::vector<float>& milliseconds) const;
    CudaStatus flush(CacheState cache);

    DriverPtr api_;
    const DeviceKernels& kernels_;
    CUstream stream_;
    DeviceBuffer flush_memory_;
    DeviceBuffer flush_sum_;  ///< of what is read through; nobody asks for it
    std::vector<Event> starts_;
    std::vector<Event> stops_;
    HostLead lead_;
    unsigned salt_ = 0;
};

}  // namespace attune::cuda
