// Challenger and incumbent in alternation, so that drift hits both alike, and in each other's place, so that the place
// does.
#pragma once

#include <cstdint>
#include <functional>

#include "backend/backend.h"
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

/// How the two sides are loaded for a pair: into their own slots of the device or into each other's, and which slot
/// first.
struct Placing {
    bool changed = false;
    bool incumbent_slot_first = false;
};
using LoadSides = std::function<Result<bool>(Placing placing)>;

/// Loads both sides so.
[[nodiscard]] Result<bool> load_sides(Device& device, const Variant& challenger, const Variant& incumbent,
                                      Placing placing);

/// Takes pairs on every case, in rounds of `min_pairs`, an even number, until the verdict is decided or another round
/// would exceed `max_pairs`; one is always taken. Both sides are loaded anew for every pair, half of the pairs in each
/// other's slot, in an order drawn from `seed`: where code and workspace lie in memory, the same binary has been seen
/// to run 1 % faster or slower, and a driver that goes round in memory would favour one side in any fixed order
/// (docs/search.md).
[[nodiscard]] Result<Alternation> alternate(const Suite& suite, const MeasureSettings& settings, const TakePair& take,
                                            const LoadSides& load, std::uint64_t seed);

}  // namespace attune
