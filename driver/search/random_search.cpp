// Legal candidates, uniformly and without repeats.
#include "search/guarded_strategy.h"
#include "search/strategies.h"

namespace attune {
namespace {

class RandomSearch final : public GuardedStrategy {
  public:
    RandomSearch(const Space& space, std::uint64_t seed) : GuardedStrategy(space, seed) {}
    [[nodiscard]] bool needs_result() const override { return false; }

  private:
    std::optional<Proposal> propose() override { return random_proposal("random"); }
    void learn(const Trial& /*trial*/) override {}
};

}  // namespace

std::unique_ptr<Strategy> make_random(const Space& space, std::uint64_t seed) {
    return std::make_unique<RandomSearch>(space, seed);
}

}  // namespace attune
