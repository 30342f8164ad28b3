#include "core/verdict.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/statistics.h"

namespace attune {
namespace {

constexpr std::size_t kFewestRatios = 4;

/// Log ratios of the pairs taken in one place. The mean of both places' estimates is free of linear drift, of any
/// advantage of going first or second, and of what a place in memory is worth; within one place nothing of that is
/// there to be trimmed.
std::vector<double> log_ratios(const PairedSamples& samples) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < std::min(samples.a_ms.size(), samples.b_ms.size()); ++i)
        ratios.push_back(std::log(static_cast<double>(samples.a_ms[i]) / static_cast<double>(samples.b_ms[i])));
    return ratios;
}

/// Sum of both places' trimmed means, with Welch and Satterthwaite's degrees of freedom.
struct Estimate {
    double log_ratio = 0.0;
    double variance = 0.0;
    double freedom = 1.0;
};

std::optional<Estimate> estimate(const std::vector<CasePairs>& pairs) {
    std::array<double, kFamilies.size()> cases{};
    for (const CasePairs& item : pairs)
        cases[static_cast<std::size_t>(item.family)] += 1.0;
    const auto families =
        static_cast<double>(std::count_if(cases.begin(), cases.end(), [](double n) { return n > 0; }));
    Estimate total;
    double spread = 0.0;
    for (const std::size_t place : {0U, 1U}) {
        // All cases are timed between two loads, and a load is worth the same to each: they are no independent
        // witnesses.
        std::vector<Series> series;
        for (const CasePairs& item : pairs) {
            series.push_back(
                {0.5 / (families * cases[static_cast<std::size_t>(item.family)]), log_ratios(item.places[place])});
        }
        if (series.empty() || series.front().samples.size() < kFewestRatios) return std::nullopt;
        const TrimmedMean mean = trimmed_mean_of_sum(series);
        total.log_ratio += mean.mean;
        total.variance += mean.variance;
        spread += mean.variance * mean.variance / mean.freedom;
    }
    if (spread > 0.0) total.freedom = total.variance * total.variance / spread;
    return total;
}

}  // namespace

FamilyTimes family_medians(const std::vector<CaseRecord>& cases) {
    FamilyTimes result;
    for (const Family family : kFamilies) {
        std::vector<double> medians;
        bool complete = true;
        for (const CaseRecord& record : cases) {
            if (record.family != family) continue;
            complete = complete && record.cold_median_ms.has_value();
            medians.push_back(record.cold_median_ms.value_or(0.0));
        }
        if (complete && !medians.empty()) result[static_cast<std::size_t>(family)] = median(medians);
    }
    return result;
}

std::optional<double> score_ms(const FamilyTimes& family_ms) {
    double logs = 0.0;
    for (const auto& time : family_ms) {
        if (!time) return std::nullopt;
        logs += std::log(*time);
    }
    return std::exp(logs / static_cast<double>(family_ms.size()));
}

void keep_best(FamilyTimes& best, const FamilyTimes& family_ms) {
    for (std::size_t i = 0; i < best.size(); ++i) {
        if (family_ms[i] && (!best[i] || *family_ms[i] < *best[i])) best[i] = family_ms[i];
    }
}

double score_bound_ms(const FamilyTimes& family_ms, const FamilyTimes& best_family_ms) {
    FamilyTimes hopeful = family_ms;
    for (std::size_t i = 0; i < hopeful.size(); ++i) {
        if (!hopeful[i]) hopeful[i] = best_family_ms[i];
    }
    return score_ms(hopeful).value_or(0.0);
}

bool can_still_win(double score_ms, double incumbent_ms, double floor_share) {
    return score_ms < incumbent_ms * (1.0 + floor_share);
}

PairedVerdict judge_pairs(const std::vector<CasePairs>& pairs, const MeasureSettings& settings) {
    const std::optional<Estimate> found = estimate(pairs);
    if (!found) return {1.0, 0.0, std::numeric_limits<double>::max(), false};
    std::size_t taken = std::numeric_limits<std::size_t>::max();
    for (const CasePairs& item : pairs)
        taken = std::min(taken, item.count());
    // Bonferroni over the looks: crude, but it holds whatever the dependence between looks.
    const double look_share = std::min(1.0, static_cast<double>(settings.min_pairs) / settings.max_pairs);
    const double tail = (1.0 - settings.confidence) / 2.0 * look_share;
    const double error = std::sqrt(found->variance);
    const double half_width = student_t_quantile(tail, found->freedom) * error;
    PairedVerdict verdict{std::exp(found->log_ratio), std::exp(found->log_ratio - half_width),
                          std::exp(found->log_ratio + half_width), false};
    // Hopeless: were the truth two standard errors better than it looks, all pairs together would still not show it.
    const double shrink = std::sqrt(std::min(1.0, static_cast<double>(taken) / settings.max_pairs));
    const bool hopeless = found->log_ratio - 2.0 * error + half_width * shrink > 0.0;
    verdict.decided = verdict.ratio_high < 1.0 || verdict.ratio_low > 1.0 || hopeless;
    return verdict;
}

}  // namespace attune
