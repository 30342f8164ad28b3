// Every legal candidate, in the order of the parameters.
#include "search/guarded_strategy.h"
#include "search/strategies.h"

namespace attune {
namespace {

class Exhaustive final : public GuardedStrategy {
  public:
    Exhaustive(const Space& space, std::uint64_t seed) : GuardedStrategy(space, seed) {}
    [[nodiscard]] bool needs_result() const override { return false; }

  private:
    std::optional<Proposal> propose() override {
        Candidate candidate;
        while (position_ < space().extent() && steps() > 0) {
            --steps();
            space().visit(position_++, candidate);
            if (available(candidate)) return Proposal{candidate, "next in order"};
        }
        return std::nullopt;
    }
    void learn(const Trial& /*trial*/) override {}

    std::uint64_t position_ = 0;
};

}  // namespace

std::unique_ptr<Strategy> make_exhaustive(const Space& space, std::uint64_t seed) {
    return std::make_unique<Exhaustive>(space, seed);
}

}  // namespace attune
