// One change at a time: the first neighbour that is faster becomes the new centre; when no neighbour of the centre is
// left, the climb starts again from a random candidate.
#include <fmt/format.h>

#include "search/guarded_strategy.h"
#include "search/strategies.h"

namespace attune {
namespace {

class HillClimb final : public GuardedStrategy {
  public:
    HillClimb(const Space& space, std::uint64_t seed) : GuardedStrategy(space, seed) {}

  private:
    std::optional<Proposal> propose() override {
        if (!centre_) return random_proposal("start of a climb");
        while (!neighbours_.empty()) {
            const Candidate next = neighbours_.back();
            neighbours_.pop_back();
            if (!available(next)) continue;
            return Proposal{next, fmt::format("{}: one change from {:.4g} ms", change_text(space(), *centre_, next),
                                              std::exp(height_))};
        }
        // Neighbours may still be out for measuring: one of them can revive this climb when it is told.
        std::optional<Proposal> start = random_proposal("new climb: no neighbour of the last summit is untried");
        if (start) starts_.push_back(start->candidate);
        return start;
    }

    void learn(const Trial& trial) override {
        const std::optional<double> height = log_score(trial);
        const bool is_start = std::erase(starts_, trial.candidate) > 0;
        if (!height || !trial.score_ms) return;
        const bool summit_left = is_start && neighbours_.empty();
        if (centre_ && *height >= height_ && !summit_left) return;
        centre_ = trial.candidate;
        height_ = *height;
        neighbours_ = new_neighbours(trial.candidate);
    }

    std::optional<Candidate> centre_;
    double height_ = 0.0;
    std::vector<Candidate> neighbours_;  ///< of the centre, not proposed yet
    std::vector<Candidate> starts_;      ///< proposed as starts, not told yet
};

}  // namespace

std::unique_ptr<Strategy> make_hill_climb(const Space& space, std::uint64_t seed) {
    return std::make_unique<HillClimb>(space, seed);
}

}  // namespace attune
