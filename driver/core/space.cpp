#include "core/space.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/suggest.h"

namespace attune {
namespace {

std::vector<std::string> texts_of(const Parameter& parameter) {
    std::vector<std::string> texts;
    for (std::size_t choice = 0; choice < parameter.values.size(); ++choice)
        texts.push_back(parameter.text(choice));
    return texts;
}

}  // namespace

std::string Parameter::text(std::size_t choice) const {
    return words.empty() ? std::to_string(values.at(choice)) : words.at(choice);
}

std::size_t choice_of(const Parameter& parameter, std::string_view text) {
    for (std::size_t choice = 0; choice < parameter.values.size(); ++choice) {
        if (parameter.text(choice) == text) return choice;
    }
    throw InputError(fmt::format("parameter '{}' has no value '{}'; write one of: {}", parameter.name, text,
                                 fmt::join(texts_of(parameter), ", ")));
}

std::size_t index_of_parameter(const std::vector<Parameter>& parameters, std::string_view name) {
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        if (parameters[i].name == name) return i;
        names.push_back(parameters[i].name);
    }
    throw InputError(fmt::format("no parameter '{}'{}", name, name_hint(name, names)));
}

Space::Space(std::vector<Parameter> parameters, Legality legal)
    : parameters_(std::move(parameters)), legal_(std::move(legal)), combinations_(1) {
    constexpr std::uint64_t kLimit = std::uint64_t{1} << 63U;
    for (const Parameter& parameter : parameters_) {
        const std::size_t count = parameter.values.size();
        if (count == 0 || count > std::numeric_limits<std::uint16_t>::max()) {
            throw InputError(fmt::format("parameter '{}' has {} values; give it 1 to 65535", parameter.name, count));
        }
        if (combinations_ > kLimit / count) {
            throw InputError("the space has more than 2^63 combinations; give its parameters fewer values");
        }
        combinations_ *= count;
    }
}

Space Space::of_members(std::vector<Parameter> parameters, std::vector<std::uint64_t> ranks) {
    Space space(std::move(parameters), nullptr);
    std::sort(ranks.begin(), ranks.end());
    ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
    space.members_ = std::move(ranks);
    space.listed_ = true;
    return space;
}

bool Space::legal(const Candidate& candidate) const {
    if (listed_) return std::binary_search(members_.begin(), members_.end(), index_of(candidate));
    return legal_(candidate);
}

Candidate Space::at(std::uint64_t index) const {
    Candidate candidate;
    at(index, candidate);
    return candidate;
}

void Space::at(std::uint64_t index, Candidate& candidate) const {
    candidate.choice.resize(parameters_.size());
    for (std::size_t i = parameters_.size(); i-- > 0;) {
        const std::uint64_t radix = parameters_[i].values.size();
        candidate.choice[i] = static_cast<std::uint16_t>(index % radix);
        index /= radix;
    }
}

std::uint64_t Space::index_of(const Candidate& candidate) const {
    std::uint64_t index = 0;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
        index = index * parameters_[i].values.size() + candidate.choice[i];
    }
    return index;
}

Candidate Space::defaults() const {
    Candidate candidate;
    for (const Parameter& parameter : parameters_) {
        candidate.choice.push_back(static_cast<std::uint16_t>(parameter.default_choice));
    }
    return candidate;
}

std::optional<std::uint64_t> Space::count_legal(std::uint64_t limit) const {
    if (listed_) return members_.size();
    if (combinations_ > limit) return std::nullopt;
    std::uint64_t count = 0;
    Candidate candidate;
    for (std::uint64_t index = 0; index < combinations_; ++index) {
        at(index, candidate);
        if (legal_(candidate)) ++count;
    }
    return count;
}

std::vector<Candidate> Space::neighbours(const Candidate& from) const {
    std::vector<Candidate> result;
    Candidate next = from;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
        for (std::size_t choice = 0; choice < parameters_[i].values.size(); ++choice) {
            if (choice == from.choice[i]) continue;
            next.choice[i] = static_cast<std::uint16_t>(choice);
            if (legal(next)) result.push_back(next);
        }
        next.choice[i] = from.choice[i];
    }
    return result;
}

Space shard(const Space& space, std::uint64_t index, std::uint64_t count) {
    return {space.parameters(), [&space, index, count](const Candidate& candidate) {
                // splitmix64 of the rank: neighbouring candidates land in different parts.
                std::uint64_t hash = space.index_of(candidate) + 0x9E3779B97F4A7C15;
                hash = (hash ^ (hash >> 30U)) * 0xBF58476D1CE4E5B9;
                hash = (hash ^ (hash >> 27U)) * 0x94D049BB133111EB;
                return (hash ^ (hash >> 31U)) % count == index && space.legal(candidate);
            }};
}

std::string Space::describe(const Candidate& candidate) const {
    std::string text;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
        if (i > 0) text += ',';
        text += parameters_[i].name + '=' + parameters_[i].text(candidate.choice[i]);
    }
    return text;
}

Candidate Space::parse(std::string_view text, const Candidate& base) const {
    return parse_params(parameters_, text, base);
}

std::vector<std::pair<std::string, std::string>> split_params(std::string_view text) {
    std::vector<std::pair<std::string, std::string>> settings;
    while (!text.empty()) {
        const std::string_view item = text.substr(0, text.find(','));
        if (const auto equal = item.find('='); equal != std::string_view::npos) {
            settings.emplace_back(item.substr(0, equal), item.substr(equal + 1));
        }
        text.remove_prefix(std::min(text.size(), item.size() + 1));
    }
    return settings;
}

Candidate parse_params(const std::vector<Parameter>& parameters, std::string_view text, const Candidate& base) {
    Candidate candidate = base;
    std::vector<bool> seen(parameters.size(), false);
    while (!text.empty()) {
        const std::string_view item = text.substr(0, text.find(','));
        text.remove_prefix(std::min(text.size(), item.size() + 1));
        const std::size_t equals = item.find('=');
        if (equals == std::string_view::npos) {
            throw InputError(
                fmt::format("'{}' is no key=value pair; write for example {}", item,
                            parameters.empty() ? "tile_m=64" : parameters[0].name + "=" + parameters[0].text(0)));
        }
        const std::size_t i = index_of_parameter(parameters, item.substr(0, equals));
        if (seen[i]) throw InputError(fmt::format("parameter '{}' is given twice", parameters[i].name));
        seen[i] = true;
        candidate.choice[i] = static_cast<std::uint16_t>(choice_of(parameters[i], item.substr(equals + 1)));
    }
    return candidate;
}

}  // namespace attune
