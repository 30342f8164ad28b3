#include "config/kernel_tuner_cache.h"

#include <fmt/format.h>

#include <map>

#include "config/json_reader.h"

namespace attune {
namespace {

constexpr double kMsPerSecond = 1000.0;

using Members = std::map<std::string, JsonValue, std::less<>>;

Members members_of(const JsonValue& value) {
    Members members;
    for (const auto& [key, member] : value.members())
        members.emplace(key, member);
    return members;
}

const JsonValue& member(const Members& members, const std::string& key, const JsonValue& owner) {
    const auto found = members.find(key);
    if (found == members.end()) owner.fail(fmt::format("key '{}' is missing; is this a Kernel Tuner cache file?", key));
    return found->second;
}

RecordedRow read_row(const JsonValue& value, const std::vector<std::string>& keys) {
    const Members members = members_of(value);
    RecordedRow row;
    for (const std::string& key : keys) {
        const JsonValue& setting = member(members, key, value);
        row.params.emplace_back(key, setting.is_text() ? setting.text() : setting.dump());
    }
    const JsonValue& time = member(members, "time", value);
    if (!time.is_text()) {
        row.trial.score_ms = time.number(0.0);
        row.trial.outcome = Outcome::ok;
        row.trial.status = Status::discard;
    }
    for (const char* part : {"compile_time", "verification_time", "benchmark_time"}) {
        const auto cost_ms = members.find(part);
        if (cost_ms != members.end()) row.trial.cost_s += cost_ms->second.number() / kMsPerSecond;
    }
    return row;
}

}  // namespace

std::vector<RecordedRow> read_kernel_tuner_cache(const std::filesystem::path& path) {
    const JsonValue root = read_json_file(path);
    const Members members = members_of(root);
    std::vector<std::string> keys;
    for (const JsonValue& key : member(members, "tune_params_keys", root).items())
        keys.push_back(key.text());
    std::vector<RecordedRow> rows;
    for (const auto& [name, value] : member(members, "cache", root).members())
        rows.push_back(read_row(value, keys));
    return rows;
}

}  // namespace attune
