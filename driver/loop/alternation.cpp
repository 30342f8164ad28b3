#include "loop/alternation.h"

#include <algorithm>

namespace attune {
namespace {

/// Adds what was taken while the sides had changed places, or had not. The verdict takes the first of every two pairs
/// for one in which the challenger went first (core/verdict.h), so that changed ones are put the other way round.
void append(PairedSamples& to, const PairedSamples& taken, bool changed) {
    for (std::size_t i = 0; i < taken.a_ms.size(); ++i) {
        const std::size_t from = changed ? i ^ 1U : i;
        to.a_ms.push_back((changed ? taken.b_ms : taken.a_ms)[from]);
        to.b_ms.push_back((changed ? taken.a_ms : taken.b_ms)[from]);
    }
}

}  // namespace

Result<Alternation> alternate(const Suite& suite, const MeasureSettings& settings, const TakePairs& take,
                              const ChangePlaces& change_places) {
    std::vector<CasePairs> pairs;
    for (const CaseSpec& spec : suite.cases)
        pairs.push_back({spec.family, {}});
    // Even, so that either side goes first as often as the other in both halves.
    const int half_round = std::max(2, (settings.min_pairs + 2) / 4 * 2);
    Alternation ended;
    bool changed = false;
    while (ended.pairs < settings.max_pairs) {
        // A round begins with the places in which the last one ended: one change each.
        for (const bool is_second : {false, true}) {
            if (is_second) {
                if (const Result<bool> done = change_places(); !done.ok()) return done.failure();
                changed = !changed;
            }
            for (std::size_t index = 0; index < pairs.size(); ++index) {
                const Result<PairedSamples> taken = take(index, half_round);
                if (!taken.ok()) return taken.failure();
                append(pairs[index].samples, taken.value(), changed);
            }
        }
        ended.pairs += 2 * half_round;
        ended.verdict = judge_pairs(pairs, settings);
        if (ended.verdict.decided) break;
    }
    return ended;
}

}  // namespace attune
