#include "report/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/space.h"
#include "core/statistics.h"
#include "core/verdict.h"
#include "store/query.h"

namespace attune {
namespace {

constexpr std::size_t kTop = 10;
constexpr std::size_t kMaxMessage = 200;
constexpr double kConfidence = 0.95;

std::string text_of(const Cell& cell) {
    const auto* text = std::get_if<std::string_view>(&cell);
    return text == nullptr ? std::string() : std::string(*text);
}

std::int64_t count_of(const Cell& cell) {
    const auto* value = std::get_if<std::int64_t>(&cell);
    return value == nullptr ? 0 : *value;
}

double real_of(const Cell& cell) {
    const auto* value = std::get_if<double>(&cell);
    return value == nullptr ? static_cast<double>(count_of(cell)) : *value;
}

template <class Use>
class EachRow : public RowSink {
  public:
    explicit EachRow(Use use) : use_(std::move(use)) {}
    void columns(const std::vector<std::string>&) override {}
    bool row(std::span<const Cell> cells) override {
        use_(cells);
        return true;
    }

  private:
    Use use_;
};

template <class Use>
void each(const Reader& reader, const std::string& sql, const std::string& study, Use use) {
    EachRow sink(std::move(use));
    const std::vector<std::string> texts{study};
    run_query(reader.path(), sql, texts, sink);
}

std::string range_text(std::int64_t low, std::int64_t high) {
    if (high <= 0) return {};
    return low == high ? fmt::format("{}", high) : fmt::format("{}–{}", low, high);
}

std::vector<EnvironmentUse> read_environments(const Reader& reader, const std::string& study) {
    std::vector<EnvironmentUse> uses;
    each(reader,
         "SELECT device, device_uuid, driver, compiler, host, attune_version, count(*), min(nullif(sm_clock_mhz, 0)), "
         "max(sm_clock_mhz), min(nullif(temperature_c, 0)), max(temperature_c), group_concat(DISTINCT "
         "nullif(throttle_reasons, '')) FROM iterations WHERE study = ?1 GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 7 DESC",
         study, [&](std::span<const Cell> cells) {
             uses.push_back({text_of(cells[0]), text_of(cells[1]), text_of(cells[2]), text_of(cells[3]),
                             text_of(cells[4]), text_of(cells[5]), text_of(cells[11]), count_of(cells[6]),
                             range_text(count_of(cells[7]), count_of(cells[8])),
                             range_text(count_of(cells[9]), count_of(cells[10]))});
         });
    return uses;
}

/// What distinguishes this failure from others: its first line, numbers aside.
std::string message_of(const std::string& diagnostics, const std::string& description) {
    const std::string& text = diagnostics.find_first_not_of(" \r\n\t") == std::string::npos ? description : diagnostics;
    const std::size_t start = std::min(text.find_first_not_of(" \r\n\t"), text.size());
    return text.substr(start, std::min(text.find('\n', start) - start, kMaxMessage));
}

std::string without_numbers(const std::string& message) {
    std::string shape;
    for (const char c : message) {
        const bool digit = (c >= '0' && c <= '9') || c == '.' || c == '-';
        if (!digit) shape += c;
        if (digit && (shape.empty() || shape.back() != '#')) shape += '#';
    }
    return shape;
}

std::vector<FailureGroup> read_failures(const Reader& reader, const std::string& study) {
    std::map<std::pair<std::string, std::string>, FailureGroup> groups;
    each(reader,
         "SELECT outcome, substr(diagnostics, 1, 400), description, iter, reproduce FROM iterations WHERE study = ?1 "
         "AND "
         "status = 'crash' ORDER BY shard, iter",
         study, [&](std::span<const Cell> cells) {
             const std::string message = message_of(text_of(cells[1]), text_of(cells[2]));
             FailureGroup& group = groups[{text_of(cells[0]), without_numbers(message)}];
             group = {text_of(cells[0]), message, group.count + 1, count_of(cells[3]), text_of(cells[4])};
         });
    std::vector<FailureGroup> failures;
    for (auto& [key, group] : groups)
        failures.push_back(std::move(group));
    std::ranges::stable_sort(failures, std::ranges::greater{}, &FailureGroup::count);
    return failures;
}

/// Half-widths of the intervals on the ratio, where challenger and incumbent alternated.
std::optional<double> read_challenge_share(const Reader& reader, const std::string& study) {
    std::vector<double> widths;
    each(reader, "SELECT ratio_low, ratio_high FROM iterations WHERE study = ?1 AND ratio_low > 0 AND ratio_high > 0",
         study, [&](std::span<const Cell> cells) {
             widths.push_back(std::sqrt(real_of(cells[1]) / real_of(cells[0])) - 1.0);
         });
    if (widths.empty()) return std::nullopt;
    return median(widths);
}

std::optional<double> repeat_share_of(const std::vector<IterationRow>& rows) {
    std::map<std::pair<std::string, std::string>, std::pair<double, double>> ranges;
    std::set<std::pair<std::string, std::string>> repeated;
    for (const IterationRow& row : rows) {
        if (!row.geomean_ms) continue;
        const std::pair key{row.params, row.template_hash};
        const auto [found, added] = ranges.try_emplace(key, *row.geomean_ms, *row.geomean_ms);
        if (added) continue;
        repeated.insert(key);
        found->second = {std::min(found->second.first, *row.geomean_ms),
                         std::max(found->second.second, *row.geomean_ms)};
    }
    std::vector<double> shares;
    for (const auto& key : repeated)
        shares.push_back(ranges[key].second / ranges[key].first - 1.0);
    if (shares.empty()) return std::nullopt;
    return median(shares);
}

std::vector<CaseNoise> noise_of(const IterationDetail& best, const Suite& suite,
                                const std::optional<DeviceLimits>& limits) {
    std::vector<CaseNoise> noise;
    for (const CaseRecord& item : best.record.cases) {
        CaseNoise& row = noise.emplace_back();
        row.case_id = item.case_id;
        row.cold_ms = item.cold_median_ms;
        row.warm_ms = item.warm_median_ms;
        row.samples = item.samples.cold_ms.size();
        row.throttled = item.samples.throttled;
        const auto spec = std::ranges::find(suite.cases, item.case_id, &CaseSpec::case_id);
        if (limits && spec != suite.cases.end()) row.floor_ms = floor_ms(*spec, *limits);
        if (row.samples == 0) continue;
        row.interval_share = relative_half_width(median_interval(item.samples.cold_ms, kConfidence));
        row.spread_share = noise_share(item.samples.cold_ms);
        row.drift_share = drift_share(item.samples.cold_ms);
    }
    return noise;
}

std::vector<std::size_t> top_of(const std::vector<IterationRow>& rows) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].geomean_ms && rows[i].outcome == Outcome::ok) order.push_back(i);
    }
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return *rows[i].geomean_ms; });
    std::set<std::pair<std::string, std::string>> seen;
    std::erase_if(order, [&](std::size_t i) { return !seen.insert({rows[i].params, rows[i].template_hash}).second; });
    order.resize(std::min(order.size(), kTop));
    return order;
}

FamilyTimes best_family_of(const std::vector<IterationRow>& rows) {
    FamilyTimes best;
    for (const IterationRow& row : rows) {
        if (row.outcome == Outcome::ok) keep_best(best, row.family_ms);
    }
    return best;
}

/// How slow a row is beside the best kernel over the families it was timed on: one that was stopped early has only
/// some.
std::optional<double> slowdown(const IterationRow& row, const FamilyTimes& best) {
    double logs = 0.0;
    int families = 0;
    for (std::size_t i = 0; i < best.size(); ++i) {
        if (!row.family_ms[i] || !best[i]) continue;
        logs += std::log(*row.family_ms[i] / *best[i]);
        ++families;
    }
    if (families == 0) return std::nullopt;
    return std::exp(logs / families);
}

Effects effects_of(const std::vector<IterationRow>& rows, const IterationDetail& best) {
    std::vector<Observation> observations;
    for (const IterationRow& row : rows) {
        if (row.template_hash != best.record.template_hash) continue;
        if (const auto time = slowdown(row, best.record.family_ms))
            observations.push_back({split_params(row.params), *time});
    }
    return knob_effects(observations, split_params(best.record.params));
}

/// Keeps the iterations of the device model that most of them ran on.
void keep_main_device(ReportData& data) {
    std::map<std::string, std::string> model_of;
    std::map<std::string, std::int64_t> counts;
    for (const EnvironmentUse& use : data.environments) {
        model_of[use.uuid] = use.device;
        counts[use.device] += use.iterations;
    }
    for (const auto& [device, count] : counts) {
        if (data.device.empty() || count > counts[data.device]) data.device = device;
    }
    data.other_devices = static_cast<std::int64_t>(
        std::erase_if(data.rows, [&](const IterationRow& row) { return model_of[row.device_uuid] != data.device; }));
}

}  // namespace

ReportData collect(const Reader& reader, const std::string& study) {
    ReportData data;
    data.study = reader.study(study);
    const std::string& name = data.study.name;
    data.rows = reader.iterations(name);
    data.environments = read_environments(reader, name);
    keep_main_device(data);
    data.failures = read_failures(reader, name);
    data.challenge_share = read_challenge_share(reader, name);
    data.repeat_share = repeat_share_of(data.rows);
    data.top = top_of(data.rows);
    data.best_family = best_family_of(data.rows);
    data.limits = device_limits(data.device);
    if (data.limits) data.floors = family_floors(data.study.suite, *data.limits);
    const auto first_kept = std::ranges::find(data.rows, Status::keep, &IterationRow::status);
    if (first_kept != data.rows.end()) data.first_kept = static_cast<std::size_t>(first_kept - data.rows.begin());

    const BestRequest request{name, false, std::nullopt};
    const std::vector<BestEntry> kept = reader.best(request);
    const BestEntry* winner = winner_of(kept, data.device, request);
    if (winner != nullptr) {
        data.best = reader.iteration(winner->key);
        data.noise = noise_of(*data.best, data.study.suite, data.limits);
        data.effects = effects_of(data.rows, *data.best);
    }
    return data;
}

}  // namespace attune
