// The search seam: ask() for the next experiment, tell() how it ended.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/outcome.h"
#include "core/space.h"

namespace attune {

/// What is known of a candidate from its compile alone; -1 where unknown.
struct StaticFeatures {
    int registers = -1;
    int shared_bytes = -1;
    int spill_bytes = -1;
    int performance_warning = -1;
};

/// How an experiment ended, in the order experiments ended.
struct Trial {
    Candidate candidate;
    Status status = Status::crash;
    Outcome outcome = Outcome::crash;
    std::optional<double> score_ms;  ///< geometric mean of family medians; absent for crash and pruned
    std::optional<double> bound_ms;  ///< pruned: the score is at least this
    double cost_s = 0.0;             ///< device and compile seconds spent on it
    StaticFeatures features;
    /// 0: this search. Any other number stands for one earlier study on one device: scores of one origin compare with
    /// each other only, the candidate need not be legal here, and where it is it may be proposed.
    std::uint32_t origin = 0;
};

/// A candidate to try next, and the words of iters.tsv: what was changed and why.
struct Proposal {
    Candidate candidate;
    std::string description;
};

/// Strategies see a space and outcomes, nothing else. `ask` may be called several times before the next `tell`; it
/// never proposes an illegal candidate nor one it has proposed or been told before in this search. Same seed, same
/// calls, same answers. Told of earlier studies (Trial::origin), it starts warm.
class Strategy {
  public:
    virtual ~Strategy() = default;
    /// Nothing: the space is exhausted, or while trials are outstanding it waits to be told, or it is still_looking.
    /// One ask is over in a fraction of a second, so that whoever asks can attend to other things, however rare legal
    /// candidates are.
    [[nodiscard]] virtual std::optional<Proposal> ask() = 0;
    /// Whether the last ask came to nothing only because its time was over: the next one goes on from there.
    [[nodiscard]] virtual bool still_looking() const { return false; }
    virtual void tell(const Trial& trial) = 0;
    /// Whether a result told first could change the answer of the next `ask`. Where not, nobody need wait for it.
    [[nodiscard]] virtual bool needs_result() const { return true; }
};

/// Asks until there is an answer, however long it takes.
[[nodiscard]] std::optional<Proposal> ask_patiently(Strategy& strategy);

/// Names `make_strategy` accepts, the default first, each with one sentence.
struct StrategyName {
    std::string_view name;
    std::string_view summary;
};
[[nodiscard]] const std::vector<StrategyName>& strategy_names();

/// InputError lists the known names when `name` is not one of them. `space` must outlive the strategy.
[[nodiscard]] std::unique_ptr<Strategy> make_strategy(std::string_view name, const Space& space, std::uint64_t seed);

}  // namespace attune
