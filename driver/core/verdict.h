// Scores and verdicts: what a set of times is worth, whether a variant can still win, whether it has won. Pure.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "core/record.h"
#include "core/study.h"

namespace attune {

/// Median over each family's cases of their cold medians, in ms; nothing for a family without cases or with a case not
/// timed yet.
[[nodiscard]] FamilyTimes family_medians(const std::vector<CaseRecord>& cases);

/// Geometric mean of the three family medians; nothing while one is missing.
[[nodiscard]] std::optional<double> score_ms(const FamilyTimes& family_ms);

/// Lowers each time in `best` to the one in `family_ms` where that is lower, or the only one.
void keep_best(FamilyTimes& best, const FamilyTimes& family_ms);

/// The score a variant would reach if each family not timed yet took the best time known for it; 0 when a family has
/// neither.
[[nodiscard]] double score_bound_ms(const FamilyTimes& family_ms, const FamilyTimes& best_family_ms);

/// Whether a variant whose score is `score_ms`, or at least that, can beat the incumbent in alternation. Its times and
/// the incumbent's were taken minutes apart, so one that is slower by less than the noise floor still can.
[[nodiscard]] bool can_still_win(double score_ms, double incumbent_ms, double floor_share);

/// Alternating times of challenger (a) and incumbent (b) on one case, all rounds so far: with either in its own place,
/// where the challenger goes first, and in the other's, where it goes second.
struct CasePairs {
    Family family = Family::sliding_window;
    std::array<PairedSamples, 2> places;

    [[nodiscard]] std::size_t count() const { return places[0].a_ms.size() + places[1].a_ms.size(); }
};

/// Challenger over incumbent: below 1 is a gain.
struct PairedVerdict {
    double ratio = 1.0;  ///< geometric mean over families of the geometric mean over their cases
    double ratio_low = 0.0;
    double ratio_high = 0.0;  ///< the interval holds at the study's confidence over all rounds together
    bool decided = false;     ///< the interval excludes 1, or the remaining rounds cannot make it do so
};

/// Judges what has been sampled so far. It may be asked after every round of at least `settings.min_pairs` pairs while
/// they are no more than `settings.max_pairs`, and once in any case: each look spends its share of the error, so that
/// repeated looking does not add false keeps. The challenger has won when `ratio_high` < 1.
[[nodiscard]] PairedVerdict judge_pairs(const std::vector<CasePairs>& pairs, const MeasureSettings& settings);

}  // namespace attune
