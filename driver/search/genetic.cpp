// A steady-state genetic algorithm: children of two good candidates replace the worst.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "search/guarded_strategy.h"
#include "search/strategies.h"

namespace attune {
namespace {

constexpr std::size_t kPopulation = 20;
constexpr double kMutations = 1.2;  ///< expected mutated parameters a child

class Genetic final : public GuardedStrategy {
  public:
    Genetic(const Space& space, std::uint64_t seed) : GuardedStrategy(space, seed) {}

  private:
    struct Member {
        Candidate candidate;
        double level;
    };

    std::optional<Proposal> propose() override {
        if (population_.size() + founders_out_.size() < kPopulation || population_.size() < 2) {
            std::optional<Proposal> founder = random_proposal("founder of the population");
            if (founder) founders_out_.insert(founder->candidate);
            return founder;
        }
        const Candidate& mother = parent();
        const Candidate& father = parent();
        Candidate child = mother;
        const double rate = kMutations / static_cast<double>(child.choice.size());
        for (std::size_t i = 0; i < child.choice.size(); ++i) {
            if (random().below(2) == 0) child.choice[i] = father.choice[i];
            if (random().unit() < rate) {
                child.choice[i] = static_cast<std::uint16_t>(random().below(space().parameters()[i].values.size()));
            }
        }
        return Proposal{child, fmt::format("{}: child of two of the best {}", change_text(space(), mother, child),
                                           population_.size())};
    }

    /// The better of two random members.
    const Candidate& parent() {
        const std::size_t a = random().below(population_.size());
        const std::size_t b = random().below(population_.size());
        return population_[std::min(a, b)].candidate;
    }

    void learn(const Trial& trial) override {
        founders_out_.erase(trial.candidate);
        const std::optional<double> level = log_score(trial);
        if (!level) return;
        // Measured again: a candidate that is in the population twice would be mother and father of many a child.
        std::erase_if(population_, [&](const Member& member) { return member.candidate == trial.candidate; });
        const auto place = std::upper_bound(population_.begin(), population_.end(), *level,
                                            [](double value, const Member& member) { return value < member.level; });
        population_.insert(place, {trial.candidate, *level});
        if (population_.size() > kPopulation) population_.pop_back();
    }

    std::vector<Member> population_;    ///< best first
    std::set<Candidate> founders_out_;  ///< proposed, and not told of yet; one that crashes is replaced
};

}  // namespace

std::unique_ptr<Strategy> make_genetic(const Space& space, std::uint64_t seed) {
    return std::make_unique<Genetic>(space, seed);
}

}  // namespace attune
