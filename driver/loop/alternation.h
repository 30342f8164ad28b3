// Challenger and incumbent in alternation, so that drift hits both alike.
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

/// Takes pairs on every case, in rounds, until the verdict is decided or the study's budget is spent.
[[nodiscard]] Result<Alternation> alternate(const Suite& suite, const MeasureSettings& settings, const TakePairs& take);

}  // namespace attune
