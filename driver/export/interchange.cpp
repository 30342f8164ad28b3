#include "export/interchange.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "core/error.h"
#include "core/outcome.h"
#include "core/space.h"
#include "store/query.h"

namespace attune {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMsPerSecond = 1000.0;

struct Row {
    std::string params, outcome, finished_at, template_hash, device;
    std::optional<double> score_ms, bound_ms, window_ms, global_ms, retrieval_ms, registers, shared_bytes, spill_bytes;
    double compile_s = 0.0;
    double device_s = 0.0;
};

// The shard that was at work last comes last, so that the last row is of the latest edition. Within a shard the number
// counts: a clock may have jumped.
constexpr const char* kSelect =
    "SELECT params, outcome, finished_at, template_hash, device, geomean_ms, bound_ms, window_ms, global_ms, "
    "retrieval_ms, registers, shared_bytes, spill_bytes, compile_s, device_s FROM iterations WHERE study = ?1 "
    "ORDER BY max(finished_at) OVER (PARTITION BY shard), shard, iter";

std::string text_of(const Cell& cell) {
    const auto* text = std::get_if<std::string_view>(&cell);
    return text == nullptr ? std::string() : std::string(*text);
}

std::optional<double> number_of(const Cell& cell) {
    if (const auto* real = std::get_if<double>(&cell)) return *real;
    if (const auto* integer = std::get_if<std::int64_t>(&cell)) return static_cast<double>(*integer);
    return std::nullopt;
}

class RowReader : public RowSink {
  public:
    void columns(const std::vector<std::string>&) override {}
    bool row(std::span<const Cell> cells) override {
        rows.push_back({text_of(cells[0]), text_of(cells[1]), text_of(cells[2]), text_of(cells[3]), text_of(cells[4]),
                        number_of(cells[5]), number_of(cells[6]), number_of(cells[7]), number_of(cells[8]),
                        number_of(cells[9]), number_of(cells[10]), number_of(cells[11]), number_of(cells[12]),
                        number_of(cells[13]).value_or(0.0), number_of(cells[14]).value_or(0.0)});
        return true;
    }
    std::vector<Row> rows;
};

/// The study's rows of one device model.
std::vector<Row> read_rows(const Reader& reader, const std::string& study, const std::string& device_name) {
    RowReader sink;
    const std::vector<std::string> texts{study};
    run_query(reader.path(), kSelect, texts, sink);
    if (!device_name.empty()) std::erase_if(sink.rows, [&](const Row& row) { return row.device != device_name; });
    if (sink.rows.empty()) {
        throw InputError(
            fmt::format("study {} has no iterations{}", study, device_name.empty() ? "" : " on '" + device_name + "'"));
    }
    for (const Row& row : sink.rows) {
        if (row.device != sink.rows.front().device) {
            throw InputError(fmt::format("study {} was measured on '{}' and on '{}'; choose one with --measured-on",
                                         study, sink.rows.front().device, row.device));
        }
    }
    return std::move(sink.rows);
}

using Settings = std::vector<std::pair<std::string, std::string>>;

/// A number where the text is one, else the word.
Json value_of(const std::string& text) {
    const Json parsed = Json::parse(text, nullptr, false);
    return parsed.is_number_integer() ? parsed : Json(text);
}

Json configuration_of(const Settings& settings) {
    Json configuration = Json::object();
    for (const auto& [name, text] : settings)
        configuration[name] = value_of(text);
    return configuration;
}

std::string dump(const Json& json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

/// Kernel Tuner's words for what became of a configuration that has no time.
std::string error_name(const std::string& outcome) {
    return outcome == to_string(Outcome::compile_error) ? "CompilationFailedConfig" : "RuntimeFailedConfig";
}

Json cache_entry(const Row& row, const Settings& settings) {
    Json entry = configuration_of(settings);
    const std::optional<double> time = row.score_ms ? row.score_ms : row.bound_ms;
    entry["time"] = time ? Json(*time) : Json(error_name(row.outcome));
    entry["times"] = time ? Json::array({*time}) : Json::array();
    entry["outcome"] = row.outcome;
    entry["compile_time"] = row.compile_s * kMsPerSecond;
    entry["verification_time"] = 0.0;  // part of the time on the device
    entry["benchmark_time"] = row.device_s * kMsPerSecond;
    entry["strategy_time"] = 0.0;
    entry["framework_time"] = 0.0;
    entry["timestamp"] = row.finished_at;
    return entry;
}

/// Every value a knob may take: those of the studies' spaces, then others that were tried.
Json tuned_parameters(const StudyInfo& study, const std::vector<Row>& rows) {
    std::vector<std::string> order;
    std::map<std::string, std::vector<std::string>> values;
    const auto add = [&](const std::string& name, const std::string& text) {
        auto& known = values[name];
        if (known.empty()) order.push_back(name);
        if (std::find(known.begin(), known.end(), text) == known.end()) known.push_back(text);
    };
    for (const ShardInfo& shard : study.shards) {
        const Json space = Json::parse(shard.space_json);
        for (const Json& parameter : space.at("parameters")) {
            for (const Json& value : parameter.at("values"))
                add(parameter.at("name").get<std::string>(), value.get<std::string>());
        }
    }
    for (const Row& row : rows) {
        for (const auto& [name, text] : split_params(row.params))
            add(name, text);
    }
    Json parameters = Json::object();
    for (const std::string& name : order) {
        for (const std::string& text : values[name])
            parameters[name].push_back(value_of(text));
    }
    return parameters;
}

/// T4's words.
std::string invalidity_of(const std::string& text) {
    switch (parse_outcome(text).value_or(Outcome::crash)) {
        case Outcome::ok:
        case Outcome::pruned:
            return "correct";
        case Outcome::compile_error:
            return "compile";
        case Outcome::launch_error:
        case Outcome::crash:
            return "runtime";
        case Outcome::incorrect:
            return "correctness";
        case Outcome::timeout:
            return "timeout";
    }
    return "runtime";
}

Json t4_result(const Row& row) {
    Json measurements = Json::array();
    const auto add = [&](const char* name, const std::optional<double>& value, const char* unit) {
        if (value) measurements.push_back({{"name", name}, {"value", *value}, {"unit", unit}});
    };
    add("time", row.score_ms, "ms");
    add("time_bound", row.bound_ms, "ms");
    add("time_window", row.window_ms, "ms");
    add("time_global", row.global_ms, "ms");
    add("time_retrieval", row.retrieval_ms, "ms");
    add("registers", row.registers, "");
    add("shared_bytes", row.shared_bytes, "B");
    add("spill_bytes", row.spill_bytes, "B");
    const std::string invalidity = invalidity_of(row.outcome);
    return {{"timestamp", row.finished_at},
            {"configuration", configuration_of(split_params(row.params))},
            {"times",
             {{"compilation_time", row.compile_s * kMsPerSecond},
              {"benchmark", row.device_s * kMsPerSecond},
              {"runtimes", row.score_ms ? Json::array({*row.score_ms}) : Json::array()},
              {"framework", 0.0},
              {"search_algorithm", 0.0},
              {"validation", 0.0}}},
            {"invalidity", invalidity},
            {"correctness", invalidity == "correct" ? 1 : 0},
            {"measurements", measurements},
            {"objectives", {"time"}}};
}

}  // namespace

std::string kernel_tuner_text(const Reader& reader, const std::string& study, const std::string& device_name) {
    const StudyInfo info = reader.study(study);
    std::vector<Row> rows = read_rows(reader, info.name, device_name);
    // Another edition of the template is another kernel.
    const std::string edition = rows.back().template_hash;
    std::erase_if(rows, [&](const Row& row) { return row.template_hash != edition; });

    const Json parameters = tuned_parameters(info, rows);
    Json names = Json::array();
    for (const auto& [name, values] : parameters.items())
        names.push_back(name);
    Json header{
        {"device_name", rows.front().device}, {"kernel_name", info.name},  {"problem_size", info.suite.cases.size()},
        {"tune_params_keys", names},          {"tune_params", parameters}, {"objective", "time"},
        {"schema_version", "1.0.0"}};

    std::map<std::string, std::string> entries;  // a configuration measured twice: the later one
    for (const Row& row : rows) {
        const Settings settings = split_params(row.params);
        std::string key;
        for (const auto& [name, text] : settings)
            key += (key.empty() ? "" : ",") + text;
        entries[key] = dump(cache_entry(row, settings), -1);
    }
    // Kernel Tuner appends to a file that ends in "}\n}": one line a configuration.
    std::string text = dump(header, 0);
    text.resize(text.size() - 2);
    text += ",\n\"cache\": {";
    const char* separator = "\n";
    for (const auto& [key, entry] : entries) {
        text += fmt::format("{}{}: {}", separator, dump(Json(key), -1), entry);
        separator = ",\n";
    }
    return text + "}\n}";
}

std::string t4_text(const Reader& reader, const std::string& study, const std::string& device_name) {
    const StudyInfo info = reader.study(study);
    Json results = Json::array();
    for (const Row& row : read_rows(reader, info.name, device_name))
        results.push_back(t4_result(row));
    return dump({{"schema_version", "1.0.0"}, {"metadata", {{"timeunit", "milliseconds"}}}, {"results", results}}, 1) +
           "\n";
}

}  // namespace attune
