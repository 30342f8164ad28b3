// A walk that takes slower steps too, the less often the longer it runs, and warms up again when it stands still.
#include <fmt/format.h>

#include "search/guarded_strategy.h"
#include "search/strategies.h"

namespace attune {
namespace {

// Temperatures are in natural logarithms of the score: at 0.1 a step to a 10 % slower candidate is taken in e^-1 of
// cases.
constexpr double kHot = 0.2;
constexpr double kCold = 0.002;
constexpr double kCooling = 0.97;
constexpr double kSecondChange = 0.25;  ///< share of proposals that change two parameters

class SimulatedAnnealing final : public GuardedStrategy {
  public:
    SimulatedAnnealing(const Space& space, std::uint64_t seed) : GuardedStrategy(space, seed) {}

  private:
    std::optional<Proposal> propose() override {
        if (!current_) return random_proposal("start of annealing");
        std::vector<Candidate> neighbours = new_neighbours(*current_);
        if (!neighbours.empty() && random().unit() < kSecondChange) {
            std::vector<Candidate> further = new_neighbours(neighbours.front());
            if (!further.empty()) neighbours = std::move(further);
        }
        if (neighbours.empty()) {
            temperature_ = kHot;
            std::optional<Proposal> start = random_proposal("annealing anew: every neighbour is known");
            if (start) current_ = start->candidate, level_ = HUGE_VAL;
            return start;
        }
        return Proposal{neighbours.front(),
                        fmt::format("{}: step at temperature {:.3f}",
                                    change_text(space(), *current_, neighbours.front()), temperature_)};
    }

    void learn(const Trial& trial) override {
        const std::optional<double> level = log_score(trial);
        if (!level) return;
        if (!current_ || *level <= level_ || random().unit() < std::exp((level_ - *level) / temperature_)) {
            current_ = trial.candidate;
            level_ = *level;
        }
        temperature_ *= kCooling;
        if (temperature_ < kCold) temperature_ = kHot;
    }

    std::optional<Candidate> current_;
    double level_ = HUGE_VAL;
    double temperature_ = kHot;
};

}  // namespace

std::unique_ptr<Strategy> make_simulated_annealing(const Space& space, std::uint64_t seed) {
    return std::make_unique<SimulatedAnnealing>(space, seed);
}

}  // namespace attune
