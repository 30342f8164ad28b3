// How far two timings of one kernel, taken minutes apart on one device, lie from each other. Pure.
#pragma once

#include <optional>
#include <vector>

namespace attune {

/// Learns from the incumbent, which a study times anew at intervals. What lies closer than the floor cannot be told
/// apart by times taken apart: it takes alternation.
class NoiseFloor {
  public:
    /// The score of the incumbent, timed again.
    void add(double score_ms);
    /// From here on another incumbent is timed.
    void restart() { last_ms_.reset(); }
    /// As a share of the score: two robust standard deviations of the changes seen, the usual value while they are few.
    [[nodiscard]] double share() const;

  private:
    std::optional<double> last_ms_;
    std::vector<double> changes_;  ///< absolute log ratios of successive timings
};

}  // namespace attune
