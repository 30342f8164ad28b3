#include "search/earlier_best.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

namespace attune {
namespace {

// Neighbours of a known good candidate are for the strategy to find; a handful tells whether the past holds here.
constexpr std::size_t kProposals = 4;

}  // namespace

void EarlierBest::add(const Trial& trial) {
    if (!trial.score_ms) return;
    const auto [best, is_first] = best_ms_.emplace(trial.origin, *trial.score_ms);
    if (!is_first) best->second = std::min(best->second, *trial.score_ms);
    if (!space_.legal(trial.candidate)) return;
    trials_.push_back(trial);
    ranked_ = false;
}

std::optional<Proposal> EarlierBest::next() {
    if (!ranked_) rank();
    if (waiting_.empty()) return std::nullopt;
    Proposal proposal = std::move(waiting_.back());
    waiting_.pop_back();
    return proposal;
}

// The few are the same however many of them have been measured meanwhile, so that resuming does not add to them.
void EarlierBest::rank() {
    ranked_ = true;
    waiting_.clear();
    std::stable_sort(trials_.begin(), trials_.end(), [&](const Trial& a, const Trial& b) {
        return *a.score_ms / best_ms_.at(a.origin) < *b.score_ms / best_ms_.at(b.origin);
    });
    std::unordered_set<std::uint64_t> seen;
    for (const Trial& trial : trials_) {
        if (seen.size() == kProposals) break;
        if (!seen.insert(space_.index_of(trial.candidate)).second) continue;
        waiting_.push_back({trial.candidate, fmt::format("number {} of earlier studies, {:.4g} ms there", seen.size(),
                                                         *trial.score_ms)});
    }
    std::reverse(waiting_.begin(), waiting_.end());
}

}  // namespace attune
