#pragma once

#include <atomic>

namespace attune {

/// Turns SIGINT, SIGTERM and a closed terminal (SIGHUP) into a flag while it lives; a second one of them ends the
/// program at once, in the usual way. A closed pipe ends nothing. One at a time.
class StopSignals {
  public:
    StopSignals();
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

    [[nodiscard]] const std::atomic<bool>& flag() const;
};

}  // namespace attune
