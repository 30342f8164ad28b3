#include "search/strategies.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"
#include "core/suggest.h"

namespace attune {
namespace {

struct Entry {
    StrategyName name;
    std::unique_ptr<Strategy> (*make)(const Space&, std::uint64_t);
};

constexpr std::array kStrategies{
    Entry{{"auto", "model-based search that hill-climbs from its best and never stops exploring"}, make_auto},
    Entry{{"model", "Gaussian process over the knobs, largest expected improvement next"}, make_model},
    Entry{{"hill_climb", "one change at a time from the best, restarting when stuck"}, make_hill_climb},
    Entry{{"simulated_annealing", "a walk that takes slower steps less and less often"}, make_simulated_annealing},
    Entry{{"genetic", "children of good candidates replace the worst of a population"}, make_genetic},
    Entry{{"random", "legal candidates, uniformly and without repeats"}, make_random},
    Entry{{"exhaustive", "every legal candidate, in the order of the parameters"}, make_exhaustive},
};

}  // namespace

const std::vector<StrategyName>& strategy_names() {
    static const std::vector<StrategyName> names = [] {
        std::vector<StrategyName> list;
        for (const Entry& entry : kStrategies)
            list.push_back(entry.name);
        return list;
    }();
    return names;
}

std::optional<Proposal> ask_patiently(Strategy& strategy) {
    std::optional<Proposal> proposal = strategy.ask();
    while (!proposal && strategy.still_looking())
        proposal = strategy.ask();
    return proposal;
}

std::unique_ptr<Strategy> make_strategy(std::string_view name, const Space& space, std::uint64_t seed) {
    std::vector<std::string_view> names;
    for (const Entry& entry : kStrategies) {
        if (entry.name.name == name) return entry.make(space, seed);
        names.push_back(entry.name.name);
    }
    throw InputError(fmt::format("unknown strategy '{}'{}", name, name_hint(name, names)));
}

}  // namespace attune
