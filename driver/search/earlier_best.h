// What earlier studies found best: where a search that starts warm looks first.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "search/strategy.h"

namespace attune {

/// The few best candidates of earlier studies that are legal here, best first. Scores count as shares of the best of
/// their own origin, so that a slower device or a longer suite does not matter.
class EarlierBest {
  public:
    explicit EarlierBest(const Space& space) : space_(space) {}

    void add(const Trial& trial);
    /// The next of them; nothing when all have been given.
    [[nodiscard]] std::optional<Proposal> next();

  private:
    void rank();

    const Space& space_;
    std::vector<Trial> trials_;
    std::map<std::uint32_t, double> best_ms_;  ///< by origin
    std::vector<Proposal> waiting_;            ///< best last
    bool ranked_ = true;
};

}  // namespace attune
