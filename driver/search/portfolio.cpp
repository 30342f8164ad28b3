// `auto`: the model for as long as it finds gains, and others beside it when it stalls, so that a night is never lost
// to one strategy's blind spot.
#include <array>

#include "search/guarded_strategy.h"
#include "search/strategies.h"

namespace attune {
namespace {

constexpr std::size_t kPatience = 40;    ///< results without a gain before the others take turns
constexpr std::size_t kOthersEvery = 5;  ///< then one ask in so many is theirs

class Portfolio final : public GuardedStrategy {
  public:
    Portfolio(const Space& space, std::uint64_t seed) : GuardedStrategy(space, seed) {
        // Each arm sees every result, whoever asked for it.
        arms_ = {make_model(space, seed), make_hill_climb(space, seed + 1), make_genetic(space, seed + 2),
                 make_random(space, seed + 3)};
    }
    [[nodiscard]] bool needs_result() const override { return arms_[kModel]->needs_result(); }

  private:
    static constexpr std::size_t kModel = 0;

    std::optional<Proposal> propose() override {
        std::size_t arm = kModel;
        if (since_gain_ >= kPatience && ++turn_ % kOthersEvery == 0) {
            arm = 1 + turn_ / kOthersEvery % (arms_.size() - 1);
        }
        return arms_[arm]->ask();
    }

    void learn(const Trial& trial) override {
        for (const auto& arm : arms_)
            arm->tell(trial);
        ++since_gain_;
        if (!trial.score_ms || (best_ms_ && *trial.score_ms >= *best_ms_)) return;
        best_ms_ = trial.score_ms;
        since_gain_ = 0;
    }

    void hear(const Trial& trial) override {
        for (const auto& arm : arms_)
            arm->tell(trial);
    }

    std::array<std::unique_ptr<Strategy>, 4> arms_;
    std::optional<double> best_ms_;
    std::size_t since_gain_ = 0;
    std::size_t turn_ = 0;
};

}  // namespace

std::unique_ptr<Strategy> make_auto(const Space& space, std::uint64_t seed) {
    return std::make_unique<Portfolio>(space, seed);
}

}  // namespace attune
