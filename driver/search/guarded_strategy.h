// What all strategies share: the ledger that keeps every proposal legal and new, and a way on when ideas run out.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "search/earlier_best.h"
#include "search/random.h"
#include "search/random_walk.h"
#include "search/strategy.h"

namespace attune {

/// Ranks of candidates that were proposed or told. A space of usual size has a bit each, so that the ledger does not
/// grow with the night; of a vaster one only those seen are noted.
class Ledger {
  public:
    explicit Ledger(const Space& space)
        : space_(space), bits_(space.combinations() <= kMostBits ? space.combinations() : 0) {}

    [[nodiscard]] bool available(const Candidate& candidate) const {
        return !seen(space_.index_of(candidate)) && space_.legal(candidate);
    }
    void mark(const Candidate& candidate) {
        const std::uint64_t rank = space_.index_of(candidate);
        if (bits_.empty()) {
            ranks_.insert(rank);
        } else {
            bits_[rank] = true;
        }
    }

  private:
    static constexpr std::uint64_t kMostBits = 1U << 23U;  // a megabyte

    [[nodiscard]] bool seen(std::uint64_t rank) const { return bits_.empty() ? ranks_.contains(rank) : bits_[rank]; }

    const Space& space_;
    std::vector<bool> bits_;
    std::unordered_set<std::uint64_t> ranks_;
};

/// Base of every strategy. A strategy proposes what it likes best and may be out of ideas; proposals that are illegal
/// or known are asked for again, and in the end a random new candidate takes their place, so that a search only ends
/// with its space. The first asks go to the best of earlier studies, where any were told.
class GuardedStrategy : public Strategy {
  public:
    [[nodiscard]] std::optional<Proposal> ask() final;
    [[nodiscard]] bool still_looking() const final { return still_looking_; }
    void tell(const Trial& trial) final;

  protected:
    GuardedStrategy(const Space& space, std::uint64_t seed);

    /// The next idea; nothing when there is none before more is told.
    [[nodiscard]] virtual std::optional<Proposal> propose() = 0;
    virtual void learn(const Trial& trial) = 0;
    /// Of an earlier study; there is no need to listen.
    virtual void hear(const Trial& /*trial*/) {}

    [[nodiscard]] const Space& space() const { return space_; }
    [[nodiscard]] Random& random() { return random_; }
    [[nodiscard]] bool available(const Candidate& candidate) const { return ledger_.available(candidate); }
    /// Steps through the space, legal or not, that this ask may still take. Whoever looks through it counts them down.
    [[nodiscard]] std::uint64_t& steps() { return steps_; }
    /// A random candidate that is new; nothing when the space is exhausted or no steps are left.
    [[nodiscard]] std::optional<Candidate> random_candidate();
    /// `random_candidate` in words: why is "restart: no neighbour left", say.
    [[nodiscard]] std::optional<Proposal> random_proposal(const std::string& why);
    /// Candidates one change away from `from` that are new, in random order.
    [[nodiscard]] std::vector<Candidate> new_neighbours(const Candidate& from);

  private:
    const Space& space_;
    Ledger ledger_;
    Random random_;
    RandomWalk walk_;
    EarlierBest earlier_;
    std::uint64_t steps_ = 0;
    bool still_looking_ = false;
};

/// Natural logarithm of a trial's score, or of the bound it was stopped at; nothing for a crash. Gains of a knob are
/// factors, so the logarithm is what adds up.
[[nodiscard]] std::optional<double> log_score(const Trial& trial);

/// `tile_n 64 -> 128, stages 2 -> 3`; "the same" when nothing differs.
[[nodiscard]] std::string change_text(const Space& space, const Candidate& from, const Candidate& to);

}  // namespace attune
