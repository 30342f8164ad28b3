// Challenger and incumbent in alternation, so that drift hits both alike, and in each other's place, so that the place
// does.
#pragma once

#include <functional>

#include "core/measurement.h"
#include "core/outcome.h"
#include "core/study.h"
#include "core/verdict.h"
#include "core/workload.h"

namespace attune {

/// How an alternation ended, after `pairs` pairs a case.
struct Alternation {
    PairedVerdict verdict;
    int pairs = 0;
};

/// Times the two on a case, next to each other: what is in the challenger's slot, then what is in the incumbent's.
using TakePair = std::function<Result<PairedSamples>(std::size_t case_index)>;

/// Loads the two sides into each other's slot; the next call puts them back.
using ChangePlaces = std::function<Result<bool>()>;

/// Takes pairs on every case, in rounds of `min_pairs`, an even number, until the verdict is decided or another round
/// would exceed `max_pairs`; one is always taken. The sides change places between any two pairs, and thereby the order,
/// too: where code and workspace lie in memory, the same binary has been seen to run 1 % faster or slower
/// (docs/search.md).
[[nodiscard]] Result<Alternation> alternate(const Suite& suite, const MeasureSettings& settings, const TakePair& take,
                                            const ChangePlaces& change_places);

}  // namespace attune
