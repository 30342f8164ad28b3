#include "loop/alternation.h"

#include <algorithm>

namespace attune {

Result<Alternation> alternate(const Suite& suite, const MeasureSettings& settings, const TakePairs& take) {
    std::vector<CasePairs> pairs;
    for (const CaseSpec& spec : suite.cases)
        pairs.push_back({spec.family, {}});
    const auto append = [](std::vector<float>& to, const std::vector<float>& from) {
        to.insert(to.end(), from.begin(), from.end());
    };
    Alternation ended;
    while (ended.pairs < settings.max_pairs) {
        const int round = std::min(settings.min_pairs, settings.max_pairs - ended.pairs);
        for (std::size_t index = 0; index < pairs.size(); ++index) {
            const Result<PairedSamples> taken = take(index, round);
            if (!taken.ok()) return taken.failure();
            append(pairs[index].samples.a_ms, taken.value().a_ms);
            append(pairs[index].samples.b_ms, taken.value().b_ms);
        }
        ended.pairs += round;
        ended.verdict = judge_pairs(pairs, settings);
        if (ended.verdict.decided) break;
    }
    return ended;
}

}  // namespace attune
