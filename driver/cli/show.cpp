// `attune show`: one iteration in full.

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/cli.h"
#include "cli/usage.h"
#include "store/reader.h"
#include "store/tsv.h"

namespace attune {
namespace {

using Json = nlohmann::ordered_json;

struct ShowOptions {
    std::filesystem::path db;
    std::string iteration;
    std::string study;
    bool as_json = false;
};

std::string time_text(std::int64_t us) {
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(us / 1'000'000)));
}

std::string count_text(int count) {
    return count < 0 ? "-" : fmt::format("{}", count);
}

Json json_of(const std::optional<double>& value) {
    return value ? Json(*value) : Json();
}

Json json_of(const CheckReport& check) {
    return {{"passed", check.passed},
            {"o_max_abs_error", check.o_max_abs_error},
            {"o_worst_ratio", check.o_worst_ratio},
            {"lse_max_abs_error", check.lse_max_abs_error},
            {"lse_worst_ratio", check.lse_worst_ratio},
            {"o_bad_elements", check.o_bad_elements},
            {"lse_bad_elements", check.lse_bad_elements},
            {"guards_intact", check.guards_intact},
            {"detail", check.detail}};
}

Json json_of(const Artifact& artifact) {
    Json kernels = Json::array();
    for (const KernelResources& kernel : artifact.kernels) {
        kernels.push_back({{"entry", kernel.entry},
                           {"registers", kernel.registers},
                           {"shared_bytes", kernel.shared_bytes},
                           {"spill_store_bytes", kernel.spill_store_bytes},
                           {"spill_load_bytes", kernel.spill_load_bytes},
                           {"stack_bytes", kernel.stack_bytes}});
    }
    return {{"compiler", artifact.compiler},
            {"options", artifact.options},
            {"source_hash", artifact.source_hash},
            {"performance_warning", artifact.performance_warning},
            {"from_cache", artifact.from_cache},
            {"kernels", kernels},
            {"log", artifact.log}};
}

Json json_of(const EnvironmentFacts& facts) {
    return {{"device", facts.device_name},
            {"device_uuid", facts.device_uuid},
            {"driver", facts.driver_version},
            {"compiler", facts.compiler},
            {"host", facts.host},
            {"attune_version", facts.attune_version},
            {"sm_clock_mhz", facts.sm_clock_mhz},
            {"memory_clock_mhz", facts.memory_clock_mhz},
            {"temperature_c", facts.temperature_c},
            {"throttle_reasons", facts.throttle_reasons}};
}

Json json_of(const CaseRecord& result) {
    return {{"case_id", result.case_id},
            {"family", to_string(result.family)},
            {"cold_median_ms", json_of(result.cold_median_ms)},
            {"warm_median_ms", json_of(result.warm_median_ms)},
            {"throttled", result.samples.throttled},
            {"check", result.check ? json_of(*result.check) : Json()},
            {"cold_ms", result.samples.cold_ms},
            {"warm_ms", result.samples.warm_ms}};
}

Json json_of(const IterationDetail& detail) {
    const IterationRecord& record = detail.record;
    Json cases = Json::array();
    for (const CaseRecord& result : record.cases)
        cases.push_back(json_of(result));
    Json stresses = Json::array();
    for (const StressRecord& result : record.stresses) {
        stresses.push_back(
            {{"case_id", result.case_id}, {"stress", to_string(result.stress)}, {"check", json_of(result.check)}});
    }
    Json sources = Json::object();
    for (const SourceFile& file : detail.sources)
        sources[file.name] = file.text;
    Json pair;
    if (record.pair) {
        pair = {{"incumbent_iter", record.pair->incumbent_iter},
                {"ratio", record.pair->ratio},
                {"ratio_low", record.pair->ratio_low},
                {"ratio_high", record.pair->ratio_high},
                {"pairs", record.pair->pairs}};
    }
    return {{"study", detail.key.study},
            {"shard", detail.key.shard},
            {"iter", detail.key.iter},
            {"finished_at", time_text(detail.finished_us)},
            {"status", to_string(record.status)},
            {"outcome", to_string(record.outcome)},
            {"geomean_ms", json_of(record.geomean_ms)},
            {"delta_ms", json_of(record.delta_ms)},
            {"window_ms", json_of(record.family_ms[0])},
            {"global_ms", json_of(record.family_ms[1])},
            {"retrieval_ms", json_of(record.family_ms[2])},
            {"bound_ms", json_of(record.bound_ms)},
            {"robust", record.robust ? Json(*record.robust) : Json()},
            {"params", record.params},
            {"description", record.description},
            {"strategy", record.strategy},
            {"template_hash", record.template_hash},
            {"pair", pair},
            {"cases", cases},
            {"stresses", stresses},
            {"artifact", record.artifact ? json_of(*record.artifact) : Json()},
            {"environment", json_of(record.environment)},
            {"compile_s", record.compile_s},
            {"device_s", record.device_s},
            {"diagnostics", record.diagnostics},
            {"reproduce", record.reproduce},
            {"sources", sources}};
}

class TextPage {
  public:
    explicit TextPage(const CliContext& context) : context_(context) {}

    void heading(const std::string& text) {
        context_.out << '\n' << (context_.color ? "\x1b[1m" : "") << text << (context_.color ? "\x1b[0m" : "") << '\n';
    }
    void field(const std::string& name, const std::string& text) {
        if (!text.empty()) context_.out << fmt::format("  {:<13} {}\n", name, text);
    }
    void block(const std::string& name, const std::string& text) {
        if (text.empty()) return;
        heading(name);
        context_.out << text << (text.ends_with('\n') ? "" : "\n");
    }
    void line(const std::string& text) { context_.out << "  " << text << '\n'; }

  private:
    const CliContext& context_;
};

void print_verdict(const IterationDetail& detail, const std::string& db, TextPage& page) {
    const IterationRecord& record = detail.record;
    page.field("params", record.params.empty() ? "-" : record.params);
    page.field("description", record.description);
    page.field("score",
               fmt::format("{} ms  delta {} ms", format_ms(record.geomean_ms), format_ms(record.delta_ms, true)));
    page.field("families", fmt::format("window {}  global {}  retrieval {} ms", format_ms(record.family_ms[0]),
                                       format_ms(record.family_ms[1]), format_ms(record.family_ms[2])));
    if (record.bound_ms) page.field("bound", fmt::format("stopped early: at least {} ms", format_ms(record.bound_ms)));
    if (record.robust) page.field("robust", *record.robust ? "yes" : "no");
    if (record.pair) {
        page.field("re-timed", fmt::format("{:.4f} of iteration {}, interval {:.4f} to {:.4f}, {} pairs a case",
                                           record.pair->ratio, record.pair->incumbent_iter, record.pair->ratio_low,
                                           record.pair->ratio_high, record.pair->pairs));
    }
    page.field("finished", time_text(detail.finished_us));
    page.field("cost", fmt::format("compile {:.2f} s, device {:.2f} s", record.compile_s, record.device_s));
    page.field("strategy", record.strategy);
    page.field("repeat", record.reproduce.empty() ? "" : record.reproduce + db);
}

void print_cases(const IterationRecord& record, TextPage& page) {
    if (record.cases.empty()) return;
    page.heading("cases (medians of the raw samples, ms; errors against the reference, 1 = tolerance)");
    std::size_t width = 4;
    for (const CaseRecord& result : record.cases)
        width = std::max(width, result.case_id.size());
    page.line(fmt::format("{:<{}}  {:>10} {:>5}  {:>10} {:>5}  {:>8} {:>8}  check", "case", width, "cold", "n", "warm",
                          "n", "o", "lse"));
    for (const CaseRecord& result : record.cases) {
        const std::string errors = result.check ? fmt::format("{:>8.3g} {:>8.3g}  {}", result.check->o_worst_ratio,
                                                              result.check->lse_worst_ratio,
                                                              result.check->passed ? "passed" : result.check->detail)
                                                : fmt::format("{:>8} {:>8}  -", "-", "-");
        page.line(fmt::format("{:<{}}  {:>10} {:>5}  {:>10} {:>5}  {}{}", result.case_id, width,
                              format_ms(result.cold_median_ms), result.samples.cold_ms.size(),
                              format_ms(result.warm_median_ms), result.samples.warm_ms.size(), errors,
                              result.samples.throttled ? "  throttled" : ""));
    }
}

void print_stresses(const IterationRecord& record, TextPage& page) {
    if (record.stresses.empty()) return;
    page.heading("stress draws");
    for (const StressRecord& result : record.stresses) {
        page.line(fmt::format("{} {}: {}  o {:.3g}  lse {:.3g}{}", result.case_id, to_string(result.stress),
                              result.check.passed ? "passed" : "FAILED", result.check.o_worst_ratio,
                              result.check.lse_worst_ratio, result.check.passed ? "" : "  " + result.check.detail));
    }
}

void print_build(const IterationRecord& record, TextPage& page) {
    if (!record.artifact) return;
    page.heading("build");
    page.field("compiler", record.artifact->compiler);
    page.field("options", record.artifact->options);
    page.field("source hash", record.artifact->source_hash);
    for (const KernelResources& kernel : record.artifact->kernels) {
        page.field("kernel",
                   fmt::format("{}: {} registers, {} static shared bytes, spills {} stored {} loaded, stack {}",
                               kernel.entry, count_text(kernel.registers), count_text(kernel.shared_bytes),
                               count_text(kernel.spill_store_bytes), count_text(kernel.spill_load_bytes),
                               count_text(kernel.stack_bytes)));
    }
}

void print_environment(const EnvironmentFacts& facts, TextPage& page) {
    page.heading("environment");
    page.field("device", fmt::format("{} ({})", facts.device_name, facts.device_uuid));
    page.field("driver", facts.driver_version);
    page.field("host", facts.host);
    page.field("attune", facts.attune_version);
    if (facts.sm_clock_mhz > 0) {
        page.field("clocks", fmt::format("{} MHz, memory {} MHz", facts.sm_clock_mhz, facts.memory_clock_mhz));
    }
    if (facts.temperature_c > 0) page.field("temperature", fmt::format("{} C", facts.temperature_c));
    page.field("throttling", facts.throttle_reasons);
}

/// `db`: the option by which commands find the database, or empty.
void print_text(const IterationDetail& detail, const std::string& name, const std::string& db,
                const CliContext& context) {
    TextPage page(context);
    context.out << fmt::format("{} iteration {}: {} ({})\n", detail.key.study, detail.key.iter,
                               to_string(detail.record.status), to_string(detail.record.outcome));
    print_verdict(detail, db, page);
    print_cases(detail.record, page);
    print_stresses(detail.record, page);
    print_build(detail.record, page);
    print_environment(detail.record.environment, page);
    page.block("diagnostics", detail.record.diagnostics);
    if (detail.record.artifact && detail.record.artifact->log != detail.record.diagnostics) {
        page.block("compiler log", detail.record.artifact->log);
    }
    if (detail.sources.empty()) return;
    page.heading(fmt::format("source (attune restore {} --to DIR{})", name, db));
    for (const SourceFile& file : detail.sources)
        page.line(fmt::format("{} ({} bytes)", file.name, file.text.size()));
}

void run(const ShowOptions& options, const CliContext& context) {
    const Reader reader(options.db);
    const IterationKey key = reader.resolve(options.iteration, options.study);
    const IterationDetail detail = reader.iteration(key);
    if (options.as_json) {
        context.out << json_of(detail).dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
    } else {
        print_text(detail, reader.short_name(key), db_option(options.db, context), context);
    }
}

}  // namespace

void add_show(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<ShowOptions>();
    options->db = context.default_db;
    CLI::App* command = app.add_subcommand("show", "one iteration in full");
    command->add_option("iteration", options->iteration, "N, STUDY:N or STUDY@SHARD:N")->required();
    command->add_option("--study", options->study, "the study of N");
    command->add_flag("--json", options->as_json, "as JSON, raw samples and sources included");
    command->add_option("--db", options->db, "database")->capture_default_str();
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
