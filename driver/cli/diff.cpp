// `attune diff`: two iterations side by side, sources included.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "cli/cli.h"
#include "cli/unified_diff.h"
#include "store/reader.h"
#include "store/tsv.h"

namespace attune {
namespace {

struct DiffOptions {
    std::filesystem::path db;
    std::string a;
    std::string b;
    std::string study;
};

/// One of the two, with the name it is printed under.
struct Side {
    std::string name;
    IterationDetail detail;
};

struct Row {
    std::string what, a, b, ratio;
};

/// Rows under the two names; a ratio is b over a.
void print_rows(std::string_view heading, const std::vector<Row>& rows, const CliContext& context) {
    if (rows.size() < 2) return;  // only its own heading
    std::size_t what = 0, a = 0, b = 0;
    for (const Row& row : rows) {
        what = std::max(what, row.what.size());
        a = std::max(a, row.a.size());
        b = std::max(b, row.b.size());
    }
    context.out << '\n' << heading << '\n';
    for (const Row& row : rows) {
        context.out << fmt::format("  {:<{}}  {:>{}}  {:>{}}{}\n", row.what, what, row.a, a, row.b, b,
                                   row.ratio.empty() ? "" : fmt::format("  {:>8}", row.ratio));
    }
}

std::map<std::string, std::string> parameters_of(const std::string& params) {
    std::map<std::string, std::string> result;
    for (const std::string& pair : CLI::detail::split(params, ',')) {
        const auto equals = pair.find('=');
        if (equals != std::string::npos) result[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
    return result;
}

void print_parameters(const Side& a, const Side& b, const CliContext& context) {
    const auto left = parameters_of(a.detail.record.params);
    const auto right = parameters_of(b.detail.record.params);
    std::map<std::string, std::pair<std::string, std::string>> all;
    for (const auto& [name, value] : left)
        all[name] = {value, "-"};
    for (const auto& [name, value] : right) {
        const auto known = left.find(name);
        all[name] = {known == left.end() ? "-" : known->second, value};
    }
    std::vector<Row> rows{{"", a.name, b.name, ""}};
    for (const auto& [name, values] : all) {
        if (values.first != values.second) rows.push_back({name, values.first, values.second, ""});
    }
    if (rows.size() == 1) {
        context.out << "\nparameters: the same\n";
    } else {
        print_rows("parameters that differ", rows, context);
    }
}

Row time_row(std::string what, const std::optional<double>& a, const std::optional<double>& b) {
    const bool comparable = a && b && *a > 0;
    return {std::move(what), format_ms(a), format_ms(b), comparable ? fmt::format("{:.4f}", *b / *a) : "-"};
}

void print_times(const Side& a, const Side& b, const CliContext& context) {
    const IterationRecord& left = a.detail.record;
    const IterationRecord& right = b.detail.record;
    std::vector<Row> rows{{"", a.name, b.name, "ratio"}};
    rows.push_back(time_row("score", left.geomean_ms, right.geomean_ms));
    for (const Family family : kFamilies) {
        const auto index = static_cast<std::size_t>(family);
        rows.push_back(time_row(std::string(to_string(family)), left.family_ms[index], right.family_ms[index]));
    }
    const auto case_of = [](const IterationRecord& record, const std::string& id) -> const CaseRecord* {
        const auto found =
            std::find_if(record.cases.begin(), record.cases.end(), [&](const auto& c) { return c.case_id == id; });
        return found == record.cases.end() ? nullptr : &*found;
    };
    std::vector<std::string> ids;
    for (const IterationRecord* record : {&left, &right}) {
        for (const CaseRecord& result : record->cases) {
            if (std::find(ids.begin(), ids.end(), result.case_id) == ids.end()) ids.push_back(result.case_id);
        }
    }
    for (const std::string& id : ids) {
        const CaseRecord* one = case_of(left, id);
        const CaseRecord* other = case_of(right, id);
        rows.push_back(time_row(id + " cold", one ? one->cold_median_ms : std::nullopt,
                                other ? other->cold_median_ms : std::nullopt));
        rows.push_back(time_row(id + " warm", one ? one->warm_median_ms : std::nullopt,
                                other ? other->warm_median_ms : std::nullopt));
    }
    print_rows("times in ms", rows, context);
}

void print_resources(const Side& a, const Side& b, const CliContext& context) {
    std::map<std::string, std::pair<KernelResources, KernelResources>> kernels;
    if (a.detail.record.artifact) {
        for (const KernelResources& kernel : a.detail.record.artifact->kernels)
            kernels[kernel.entry].first = kernel;
    }
    if (b.detail.record.artifact) {
        for (const KernelResources& kernel : b.detail.record.artifact->kernels)
            kernels[kernel.entry].second = kernel;
    }
    const auto text = [](int count) { return count < 0 ? std::string("-") : fmt::format("{}", count); };
    std::vector<Row> rows{{"", a.name, b.name, ""}};
    for (const auto& [entry, sides] : kernels) {
        const auto& [one, other] = sides;
        rows.push_back({entry + " registers", text(one.registers), text(other.registers), ""});
        rows.push_back({entry + " static shared bytes", text(one.shared_bytes), text(other.shared_bytes), ""});
        rows.push_back({entry + " spill stores", text(one.spill_store_bytes), text(other.spill_store_bytes), ""});
        rows.push_back({entry + " spill loads", text(one.spill_load_bytes), text(other.spill_load_bytes), ""});
        rows.push_back({entry + " stack bytes", text(one.stack_bytes), text(other.stack_bytes), ""});
    }
    print_rows("resources", rows, context);
}

std::string coloured(const std::string& diff) {
    std::string result;
    for (std::size_t at = 0; at < diff.size();) {
        const std::size_t end = std::min(diff.find('\n', at), diff.size() - 1) + 1;
        const std::string line = diff.substr(at, end - at - 1);
        const bool name = line.starts_with("+++") || line.starts_with("---");
        const char* color = name ? "\x1b[1m" : line[0] == '+' ? "\x1b[32m" : line[0] == '-' ? "\x1b[31m" : "";
        result += *color == '\0' ? line : color + line + "\x1b[0m";
        result += '\n';
        at = end;
    }
    return result;
}

void print_sources(const Side& a, const Side& b, const CliContext& context) {
    std::map<std::string, std::pair<std::string, std::string>> files;
    for (const SourceFile& file : a.detail.sources)
        files[file.name].first = file.text;
    for (const SourceFile& file : b.detail.sources)
        files[file.name].second = file.text;
    std::string diffs;
    for (const auto& [name, texts] : files) {
        diffs += unified_diff(texts.first, texts.second, fmt::format("{}/{}", a.name, name),
                              fmt::format("{}/{}", b.name, name));
    }
    if (diffs.empty()) {
        context.out << "\nsources: the same\n";
    } else {
        context.out << "\nsources\n" << (context.color ? coloured(diffs) : diffs);
    }
}

void remark(const Side& a, const Side& b, const CliContext& context) {
    const EnvironmentFacts& left = a.detail.record.environment;
    const EnvironmentFacts& right = b.detail.record.environment;
    if (left.device_uuid != right.device_uuid) {
        context.err << fmt::format("attune: measured on different devices, times do not compare: {} ({}) and {} ({})\n",
                                   left.device_name, left.device_uuid, right.device_name, right.device_uuid);
    } else if (a.detail.key.study != b.detail.key.study) {
        context.err << "attune: two studies: scores compare only where their suites are the same\n";
    }
}

void run(const DiffOptions& options, const CliContext& context) {
    const Reader reader(options.db);
    const auto side = [&](const std::string& text) {
        const IterationKey key = reader.resolve(text, options.study);
        return Side{reader.short_name(key), reader.iteration(key)};
    };
    const Side a = side(options.a);
    const Side b = side(options.b);
    for (const Side* one : {&a, &b}) {
        const IterationRecord& record = one->detail.record;
        context.out << fmt::format("{}: {} ({})  {}\n", one->name, to_string(record.status), to_string(record.outcome),
                                   record.description);
    }
    print_parameters(a, b, context);
    print_times(a, b, context);
    print_resources(a, b, context);
    print_sources(a, b, context);
    remark(a, b, context);
}

}  // namespace

void add_diff(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<DiffOptions>();
    options->db = context.default_db;
    CLI::App* command =
        app.add_subcommand("diff", "two iterations side by side: parameters, times, resources, sources");
    command->add_option("a", options->a, "N, STUDY:N or STUDY@SHARD:N")->required();
    command->add_option("b", options->b, "the other one; ratios are b over a")->required();
    command->add_option("--study", options->study, "the study of both");
    command->add_option("--db", options->db, "database")->capture_default_str();
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
