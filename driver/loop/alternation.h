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

/// Takes so many alternating pairs on a case.
using TakePairs = std::function<Result<PairedSamples>(std::size_t case_index, int pairs)>;

/// Loads the two sides into each other's slot; the next call puts them back.
using ChangePlaces = std::function<Result<bool>()>;

/// Takes pairs on every case, in rounds of `min_pairs`, up to a multiple of four, until the verdict is decided or
/// another round would exceed `max_pairs`; one is always taken. Half of each round is taken with the sides in each
/// other's slot: where code and workspace lie in memory, the same binary has been seen to run 1 % faster or slower
/// (docs/search.md).
[[nodiscard]] Result<Alternation> alternate(const Suite& suite, const MeasureSettings& settings, const TakePairs& take,
                                            const ChangePlaces& change_places);

}  // namespace attune
