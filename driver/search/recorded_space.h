// Results of the past as a space to search again, with nothing to compile or run.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "search/strategy.h"

namespace attune {

/// One recorded experiment; parameters as `key`, `value` texts, the same keys in every row.
struct RecordedRow {
    std::vector<std::pair<std::string, std::string>> params;
    Trial trial;  ///< its candidate is filled in by RecordedSpace
};

/// Everything a study (or another tuner) has measured. Its space holds just the recorded candidates: parameters take
/// the values that occur, integers ascending, words in order of appearance.
class RecordedSpace {
  public:
    /// A candidate recorded twice keeps its first result. InputError when keys differ between rows, or when no row has
    /// a score. `name` is for messages.
    RecordedSpace(std::string name, std::vector<RecordedRow> rows);

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const Space& space() const { return space_; }
    [[nodiscard]] const Trial& result(const Candidate& candidate) const;
    [[nodiscard]] std::size_t size() const { return trials_.size(); }
    [[nodiscard]] double best_ms() const { return best_ms_; }

  private:
    std::string name_;
    Space space_;
    std::unordered_map<std::uint64_t, Trial> trials_;  ///< by rank
    double best_ms_ = 0.0;
};

/// One run of a strategy over a recorded space.
struct ReplayRun {
    std::vector<double> best_ms;    ///< after each evaluation; infinite until the first score
    std::vector<double> elapsed_s;  ///< simulated: what the evaluations so far had cost
    /// Evaluations until the best was within the share of the recorded optimum; 0 when it never was.
    std::size_t evaluations_to_near_best = 0;
};

/// How far a run goes.
struct ReplayLimits {
    double near_share = 0.01;  ///< near: at most this share above the recorded optimum
    std::size_t max_evaluations = SIZE_MAX;
    bool stop_when_near = false;
};

/// `earlier`: of earlier studies, told before the first ask (Trial::origin).
[[nodiscard]] ReplayRun replay(const RecordedSpace& recorded, std::string_view strategy, std::uint64_t seed,
                               const ReplayLimits& limits, const std::vector<Trial>& earlier = {});

}  // namespace attune
