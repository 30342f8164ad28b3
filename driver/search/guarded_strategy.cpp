#include "search/guarded_strategy.h"

#include <fmt/format.h>

namespace attune {
namespace {

/// Of one ask. Whether a candidate is legal takes microseconds to tell.
constexpr std::uint64_t kMostSteps = 1U << 16U;

}  // namespace

GuardedStrategy::GuardedStrategy(const Space& space, std::uint64_t seed)
    : space_(space), ledger_(space), random_(seed), walk_(space, seed), earlier_(space) {}

std::optional<Proposal> GuardedStrategy::ask() {
    constexpr int kAttempts = 32;
    steps_ = kMostSteps;
    still_looking_ = false;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        std::optional<Proposal> proposal = earlier_.next();
        if (!proposal) proposal = propose();
        if (!proposal) break;
        if (!ledger_.available(proposal->candidate)) continue;
        ledger_.mark(proposal->candidate);
        return proposal;
    }
    std::optional<Proposal> proposal = random_proposal("random");
    if (proposal) ledger_.mark(proposal->candidate);
    still_looking_ = !proposal && steps_ == 0;
    return proposal;
}

void GuardedStrategy::tell(const Trial& trial) {
    if (trial.origin != 0) {
        earlier_.add(trial);
        hear(trial);
        return;
    }
    ledger_.mark(trial.candidate);
    learn(trial);
}

std::optional<Candidate> GuardedStrategy::random_candidate() {
    while (true) {
        std::optional<Candidate> candidate = walk_.next(steps_);
        if (!candidate || ledger_.available(*candidate)) return candidate;
    }
}

std::optional<Proposal> GuardedStrategy::random_proposal(const std::string& why) {
    std::optional<Candidate> candidate = random_candidate();
    if (!candidate) return std::nullopt;
    return Proposal{*std::move(candidate), why};
}

std::vector<Candidate> GuardedStrategy::new_neighbours(const Candidate& from) {
    std::vector<Candidate> neighbours = space_.neighbours(from);
    std::erase_if(neighbours, [&](const Candidate& candidate) { return !ledger_.available(candidate); });
    random_.shuffle(neighbours);
    return neighbours;
}

std::optional<double> log_score(const Trial& trial) {
    if (trial.score_ms) return std::log(*trial.score_ms);
    if (trial.bound_ms) return std::log(*trial.bound_ms);
    return std::nullopt;
}

std::string change_text(const Space& space, const Candidate& from, const Candidate& to) {
    std::string text;
    for (std::size_t i = 0; i < to.choice.size(); ++i) {
        if (from.choice[i] == to.choice[i]) continue;
        const Parameter& parameter = space.parameters()[i];
        if (!text.empty()) text += ", ";
        text +=
            fmt::format("{} {} -> {}", parameter.name, parameter.text(from.choice[i]), parameter.text(to.choice[i]));
    }
    return text.empty() ? "the same" : text;
}

}  // namespace attune
