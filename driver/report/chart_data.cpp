#include "report/chart_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

namespace attune {
namespace {

using Json = nlohmann::json;

/// Six digits: more than any measurement has, and half the page's size.
Json number(const std::optional<double>& value) {
    if (!value) return {};
    double rounded = *value;
    const std::string text = fmt::format("{:.6g}", *value);
    std::from_chars(text.data(), text.data() + text.size(), rounded);
    return rounded;
}

/// Texts that repeat, once each, with their positions.
class Pool {
  public:
    std::size_t index(const std::string& text) {
        const auto [found, added] = known_.try_emplace(text, texts_.size());
        if (added) texts_.push_back(text);
        return found->second;
    }
    [[nodiscard]] const std::vector<std::string>& texts() const { return texts_; }

  private:
    std::map<std::string, std::size_t> known_;
    std::vector<std::string> texts_;
};

Json effects_json(const Effects& effects) {
    Json items = Json::array();
    for (const KnobEffect& knob : effects.knobs) {
        for (const ValueEffect& value : knob.values) {
            if (items.size() == kMaxEffectBars) return items;
            items.push_back({{"name", fmt::format("{}={} (not {})", knob.name, value.value, knob.best_value)},
                             {"share", number(value.share)},
                             {"low", number(value.low)},
                             {"high", number(value.high)},
                             {"results", value.results}});
        }
    }
    return items;
}

}  // namespace

std::string chart_data_json(const ReportData& data) {
    Pool shards, statuses, outcomes, params;
    Json columns{{"family", Json::array({Json::array(), Json::array(), Json::array()})}};
    for (const char* name :
         {"iter", "seconds", "score", "bound", "delta", "shard", "status", "outcome", "params", "description"})
        columns[name] = Json::array();
    std::int64_t start_us = data.rows.empty() ? 0 : data.rows.front().finished_us;
    for (const IterationRow& row : data.rows)
        start_us = std::min(start_us, row.finished_us);
    for (const IterationRow& row : data.rows) {
        columns["iter"].push_back(row.iter);
        columns["seconds"].push_back(number(static_cast<double>(row.finished_us - start_us) / 1e6));
        columns["score"].push_back(number(row.geomean_ms));
        columns["bound"].push_back(number(row.bound_ms));
        columns["delta"].push_back(number(row.delta_ms));
        columns["shard"].push_back(shards.index(row.shard.substr(0, 8)));
        columns["status"].push_back(statuses.index(std::string(to_string(row.status))));
        columns["outcome"].push_back(outcomes.index(std::string(to_string(row.outcome))));
        columns["params"].push_back(params.index(row.params));
        columns["description"].push_back(row.description);
        for (std::size_t i = 0; i < row.family_ms.size(); ++i)
            columns["family"][i].push_back(number(row.family_ms[i]));
    }
    Json floors = Json::array();
    for (const auto& floor : data.floors)
        floors.push_back(number(floor));
    const Json page{{"rows", std::move(columns)},
                    {"shards", shards.texts()},
                    {"statuses", statuses.texts()},
                    {"outcomes", outcomes.texts()},
                    {"params", params.texts()},
                    {"effects", effects_json(data.effects)},
                    {"floors", floors}};
    return page.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace attune
