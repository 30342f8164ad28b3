#include "loop/alternation.h"

#include <random>

namespace attune {
namespace {

/// Adds a pair; its sides are the wrong way round while they have changed places.
void append(CasePairs& to, const PairedSamples& taken, bool changed) {
    PairedSamples& samples = to.places[changed ? 1 : 0];
    const std::vector<float>& challenger = changed ? taken.b_ms : taken.a_ms;
    const std::vector<float>& incumbent = changed ? taken.a_ms : taken.b_ms;
    samples.a_ms.insert(samples.a_ms.end(), challenger.begin(), challenger.end());
    samples.b_ms.insert(samples.b_ms.end(), incumbent.begin(), incumbent.end());
}

}  // namespace

Result<bool> load_sides(Device& device, const Variant& challenger, const Variant& incumbent, Placing placing) {
    for (const bool incumbent_slot : {placing.incumbent_slot_first, !placing.incumbent_slot_first}) {
        const Variant& variant = incumbent_slot != placing.changed ? incumbent : challenger;
        const Result<bool> loaded = device.load(incumbent_slot ? Slot::incumbent : Slot::challenger, variant);
        if (!loaded.ok()) return loaded;
    }
    return true;
}

Result<Alternation> alternate(const Suite& suite, const MeasureSettings& settings, const TakePair& take,
                              const LoadSides& load, std::uint64_t seed) {
    std::vector<CasePairs> pairs;
    for (const CaseSpec& spec : suite.cases)
        pairs.push_back({spec.family, {}});
    // As many pairs in either place; and no less than `min_pairs`, as the verdict's share of the error for each look
    // counts on no more looks than that allows.
    const int round = (settings.min_pairs + 1) / 2 * 2;
    std::mt19937_64 random(seed);
    std::bernoulli_distribution either;
    Alternation ended;
    Placing placing;
    do {
        for (int in_round = 0; in_round < round; ++in_round) {
            // Both places in every two pairs, so that drift is shared out as well.
            placing.changed = in_round % 2 == 0 ? either(random) : !placing.changed;
            placing.incumbent_slot_first = either(random);
            if (const Result<bool> loaded = load(placing); !loaded.ok()) return loaded.failure();
            for (std::size_t index = 0; index < pairs.size(); ++index) {
                const Result<PairedSamples> taken = take(index);
                if (!taken.ok()) return taken.failure();
                append(pairs[index], taken.value(), placing.changed);
            }
            ++ended.pairs;
        }
        ended.verdict = judge_pairs(pairs, settings);
    } while (!ended.verdict.decided && ended.pairs + round <= settings.max_pairs);
    return ended;
}

}  // namespace attune
