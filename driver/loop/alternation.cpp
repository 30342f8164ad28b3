#include "loop/alternation.h"

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
    // Even, so that either side goes first as often as the other in both halves; and two are no less than `min_pairs`,
    // as the verdict's share of the error for each look counts on no more looks than that allows.
    const int half_round = (settings.min_pairs + 3) / 4 * 2;
    const int round = 2 * half_round;
    Alternation ended;
    bool changed = false;
    do {
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
        ended.pairs += round;
        ended.verdict = judge_pairs(pairs, settings);
    } while (!ended.verdict.decided && ended.pairs + round <= settings.max_pairs);
    return ended;
}

}  // namespace attune
