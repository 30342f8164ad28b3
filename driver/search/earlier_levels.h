// Results of earlier studies, brought to the level of this search for a model to learn from.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "search/strategy.h"

namespace attune {

/// A candidate and its log score, or what stands for it.
struct Level {
    Candidate candidate;
    double level = 0.0;
    StaticFeatures features{};
};

/// What to expect of a variant that was pruned, in log scores: it was timed on one family of three, as a rule, and its
/// bound takes the best times on record for the others. It will lag as far behind on those.
[[nodiscard]] double expected_of_bound(double bound, double best);

/// Scores of another device or suite are higher or lower as a whole. How much, the candidates measured both there and
/// here tell: the median of their differences in log score. A study's baseline is one such candidate as a rule.
class EarlierLevels {
  public:
    explicit EarlierLevels(const Space& space) : space_(space) {}

    void hear(const Trial& trial);                        ///< of an earlier study; a crash says nothing of this device
    void meet(const Candidate& candidate, double level);  ///< measured here
    /// At most `count` of them: the best, and others evenly spread over the rest. Only those not measured here, and of
    /// studies that have a candidate in common with this search.
    [[nodiscard]] std::vector<Level> levels(std::size_t count);

  private:
    struct Heard {
        Candidate candidate;
        std::uint64_t rank = 0;
        std::uint32_t origin = 0;
        double level = 0.0;
        StaticFeatures features{};
        bool is_bound = false;
    };
    struct Origin {
        double best = HUGE_VAL;
        std::vector<double> offsets;  ///< level here minus level there
    };
    [[nodiscard]] double expected(const Heard& item) const;
    void choose(std::size_t count);

    const Space& space_;
    std::vector<Heard> heard_;
    std::map<std::uint32_t, Origin> origins_;
    std::unordered_multimap<std::uint64_t, std::size_t> by_rank_;  ///< positions in `heard_`
    std::unordered_map<std::uint64_t, double> here_;
    std::vector<std::size_t> chosen_;  ///< positions in `heard_`
    bool stale_ = false;
};

}  // namespace attune
