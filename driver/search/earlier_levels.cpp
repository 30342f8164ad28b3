#include "search/earlier_levels.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "core/statistics.h"
#include "search/guarded_strategy.h"

namespace attune {

double expected_of_bound(double bound, double best) {
    constexpr double kFamilyCount = 3.0;
    return best + kFamilyCount * std::max(0.0, bound - best);
}

void EarlierLevels::hear(const Trial& trial) {
    const std::optional<double> level = log_score(trial);
    if (!level) return;
    const Heard item{trial.candidate, space_.index_of(trial.candidate), trial.origin, *level, trial.features,
                     !trial.score_ms};
    if (!item.is_bound) {
        Origin& origin = origins_[item.origin];
        origin.best = std::min(origin.best, item.level);
        if (const auto here = here_.find(item.rank); here != here_.end()) {
            origin.offsets.push_back(here->second - item.level);
        }
        by_rank_.emplace(item.rank, heard_.size());
    }
    heard_.push_back(item);
    stale_ = true;
}

void EarlierLevels::meet(const Candidate& candidate, double level) {
    const std::uint64_t rank = space_.index_of(candidate);
    if (!here_.emplace(rank, level).second) return;
    const auto [first, last] = by_rank_.equal_range(rank);
    for (auto it = first; it != last; ++it) {
        const Heard& item = heard_[it->second];
        origins_.at(item.origin).offsets.push_back(level - item.level);
    }
}

std::vector<Level> EarlierLevels::levels(std::size_t count) {
    if (stale_) choose(count);
    std::map<std::uint32_t, double> offsets;
    for (const auto& [number, origin] : origins_) {
        if (!origin.offsets.empty()) offsets.emplace(number, median(origin.offsets));
    }
    std::vector<Level> levels;
    for (const std::size_t i : chosen_) {
        const Heard& item = heard_[i];
        const auto offset = offsets.find(item.origin);
        if (levels.size() == count || offset == offsets.end() || here_.contains(item.rank)) continue;
        levels.push_back({item.candidate, expected(item) + offset->second, item.features});
    }
    return levels;
}

double EarlierLevels::expected(const Heard& item) const {
    return item.is_bound ? expected_of_bound(item.level, origins_.at(item.origin).best) : item.level;
}

void EarlierLevels::choose(std::size_t count) {
    stale_ = false;
    std::vector<std::size_t> order(heard_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    // Bounds of a study without a score hang in the air.
    std::erase_if(order, [&](std::size_t i) { return !origins_.contains(heard_[i].origin); });
    const auto behind = [&](std::size_t i) { return expected(heard_[i]) - origins_.at(heard_[i].origin).best; };
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return behind(a) < behind(b); });
    std::unordered_set<std::uint64_t> seen;
    std::erase_if(order, [&](std::size_t i) { return !seen.insert(heard_[i].rank).second; });
    chosen_ = order;
    if (order.size() <= count) return;
    const std::size_t best = count / 2;
    chosen_.resize(best);
    for (std::size_t i = 0; i < count - best; ++i)
        chosen_.push_back(order[best + i * (order.size() - best) / (count - best)]);
}

}  // namespace attune
