#include "search/recorded_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace attune {
namespace {

std::optional<std::int64_t> as_integer(const std::string& text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// The parameter whose values are `texts`, in order of appearance.
Parameter make_parameter(const std::string& name, const std::vector<std::string>& texts) {
    Parameter parameter{name, {}, {}, 0, ""};
    for (const std::string& text : texts) {
        const std::optional<std::int64_t> value = as_integer(text);
        if (!value) {
            parameter.words = texts;
            break;
        }
        parameter.values.push_back(*value);
    }
    std::sort(parameter.values.begin(), parameter.values.end());
    if (parameter.words.empty()) return parameter;
    parameter.values.clear();
    for (std::size_t i = 0; i < texts.size(); ++i)
        parameter.values.push_back(static_cast<std::int64_t>(i));
    return parameter;
}

std::vector<Parameter> parameters_of(const std::string& name, const std::vector<RecordedRow>& rows) {
    if (rows.empty()) throw InputError(fmt::format("{}: nothing is recorded; run the study first", name));
    std::vector<Parameter> parameters;
    for (std::size_t i = 0; i < rows.front().params.size(); ++i) {
        const std::string& key = rows.front().params[i].first;
        std::vector<std::string> texts;
        std::unordered_map<std::string, bool> seen;
        for (const RecordedRow& row : rows) {
            if (row.params.size() != rows.front().params.size() || row.params[i].first != key) {
                throw InputError(fmt::format(
                    "{}: not every experiment has the same parameters ('{}' is missing in one)", name, key));
            }
            if (seen.emplace(row.params[i].second, true).second) texts.push_back(row.params[i].second);
        }
        parameters.push_back(make_parameter(key, texts));
    }
    return parameters;
}

Candidate candidate_of(const std::vector<std::unordered_map<std::string, std::uint16_t>>& choices,
                       const RecordedRow& row) {
    Candidate candidate;
    for (std::size_t i = 0; i < choices.size(); ++i)
        candidate.choice.push_back(choices[i].at(row.params[i].second));
    return candidate;
}

}  // namespace

RecordedSpace::RecordedSpace(std::string name, std::vector<RecordedRow> rows)
    : name_(std::move(name)), space_(Space::of_members(parameters_of(name_, rows), {})) {
    std::vector<std::unordered_map<std::string, std::uint16_t>> choices;
    for (const Parameter& parameter : space_.parameters()) {
        auto& texts = choices.emplace_back();
        for (std::size_t choice = 0; choice < parameter.values.size(); ++choice) {
            texts.emplace(parameter.text(choice), static_cast<std::uint16_t>(choice));
        }
    }
    std::vector<std::uint64_t> ranks;
    best_ms_ = std::numeric_limits<double>::infinity();
    for (RecordedRow& row : rows) {
        row.trial.candidate = candidate_of(choices, row);
        const std::uint64_t rank = space_.index_of(row.trial.candidate);
        if (row.trial.score_ms) best_ms_ = std::min(best_ms_, *row.trial.score_ms);
        if (trials_.emplace(rank, std::move(row.trial)).second) ranks.push_back(rank);
    }
    if (!std::isfinite(best_ms_)) throw InputError(fmt::format("{}: no recorded experiment has a score", name_));
    space_ = Space::of_members(space_.parameters(), std::move(ranks));
}

const Trial& RecordedSpace::result(const Candidate& candidate) const {
    return trials_.at(space_.index_of(candidate));
}

ReplayRun replay(const RecordedSpace& recorded, std::string_view strategy, std::uint64_t seed,
                 const ReplayLimits& limits, const std::vector<Trial>& earlier) {
    const std::unique_ptr<Strategy> search = make_strategy(strategy, recorded.space(), seed);
    for (const Trial& trial : earlier)
        search->tell(trial);
    const double near_ms = recorded.best_ms() * (1.0 + limits.near_share);
    ReplayRun run;
    double best_ms = std::numeric_limits<double>::infinity();
    double elapsed_s = 0.0;
    while (run.best_ms.size() < limits.max_evaluations) {
        const std::optional<Proposal> proposal = ask_patiently(*search);
        if (!proposal) break;
        const Trial& trial = recorded.result(proposal->candidate);
        elapsed_s += trial.cost_s;
        if (trial.score_ms) best_ms = std::min(best_ms, *trial.score_ms);
        run.best_ms.push_back(best_ms);
        run.elapsed_s.push_back(elapsed_s);
        if (run.evaluations_to_near_best == 0 && best_ms <= near_ms) {
            run.evaluations_to_near_best = run.best_ms.size();
            if (limits.stop_when_near) break;
        }
        search->tell(trial);
    }
    return run;
}

}  // namespace attune
