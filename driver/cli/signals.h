#pragma once

#include <atomic>

namespace attune {

/// Turns SIGINT and SIGTERM into a flag while it lives; a second one of them ends the program at once, in the usual way.
/// One at a time.
class StopSignals {
  public:
    StopSignals();
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

    [[nodiscard]] const std::atomic<bool>& flag() const;
};

}  // namespace attune
