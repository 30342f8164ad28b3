// How long the GPU must be kept busy so that the host gets ahead of it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace attune::cuda {

/// Decides on the spin that a batch of calls is enqueued behind. What a host needs is a few microseconds a call; when
/// something else takes its core for a moment it needs a hundred times that, once. So a batch that was caught up with
/// is taken again behind a longer spin, and each that was not shortens it again: a spin that stayed long would cost
/// every later batch more than its samples do.
class HostLead {
  public:
    [[nodiscard]] std::uint64_t spin_ns_per_call() const { return spin_ns_; }

    /// A batch was enqueued at `took_ns` a call, and the GPU was `still_spinning` at its end or not. Returns whether
    /// the batch must be taken again.
    [[nodiscard]] bool take_again(std::uint64_t took_ns, bool still_spinning) {
        if (still_spinning) {
            spin_ns_ = std::clamp(std::max(kMargin * took_ns, spin_ns_ / kShorter), kLeastNs, kMostNs);
            return false;
        }
        if (spin_ns_ == kMostNs) return false;  // a host this slow is not going to get ahead
        spin_ns_ = std::min(spin_ns_ * kLonger, kMostNs);
        return true;
    }

  private:
    static constexpr std::uint64_t kLeastNs = 20'000;
    static constexpr std::uint64_t kMostNs = 2'000'000;
    static constexpr std::uint64_t kLonger = 4;
    static constexpr std::uint64_t kShorter = 2;
    static constexpr std::uint64_t kMargin = 2;  ///< between what a batch took and what the next one is allowed

    std::uint64_t spin_ns_ = kLeastNs;
};

}  // namespace attune::cuda
