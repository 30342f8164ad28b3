#include "store/detail.h"

#include <fmt/format.h>

#include "store/rows.h"
#include "store/sql_values.h"

namespace attune {
namespace {

void read_iteration(SQLite::Database& db, std::int64_t id, IterationDetail& detail) {
    SQLite::Statement select(db, row_query("WHERE i.id = ?"));
    select.bind(1, id);
    select.executeStep();
    const IterationRow row = row_of(select);
    IterationRecord& record = detail.record;
    detail.finished_us = row.finished_us;
    record.params = row.params;
    record.status = row.status;
    record.outcome = row.outcome;
    record.description = row.description;
    record.geomean_ms = row.geomean_ms;
    record.delta_ms = row.delta_ms;
    record.family_ms = row.family_ms;
    record.bound_ms = row.bound_ms;
    record.robust = row.robust;
    record.template_hash = row.template_hash;
}

void read_costs_and_environment(SQLite::Database& db, std::int64_t id, IterationRecord& record) {
    SQLite::Statement select(db,
                             "SELECT i.compile_s, i.device_s, i.strategy, e.device_name, e.device_uuid, "
                             "e.driver_version, e.compiler, e.host, e.attune_version, d.sm_clock_mhz, "
                             "d.memory_clock_mhz, d.temperature_c, d.throttle_reasons "
                             "FROM iteration i JOIN environment e ON e.id = i.environment_id "
                             "JOIN iteration_detail d ON d.iteration_id = i.id WHERE i.id = ?");
    select.bind(1, id);
    select.executeStep();
    record.compile_s = select.getColumn(0).getDouble();
    record.device_s = select.getColumn(1).getDouble();
    record.strategy = select.getColumn(2).getString();
    EnvironmentFacts& facts = record.environment;
    facts.device_name = select.getColumn(3).getString();
    facts.device_uuid = select.getColumn(4).getString();
    facts.driver_version = select.getColumn(5).getString();
    facts.compiler = select.getColumn(6).getString();
    facts.host = select.getColumn(7).getString();
    facts.attune_version = select.getColumn(8).getString();
    facts.sm_clock_mhz = select.getColumn(9).getInt();  // NULL reads as 0, unknown
    facts.memory_clock_mhz = select.getColumn(10).getInt();
    facts.temperature_c = select.getColumn(11).getInt();
    facts.throttle_reasons = select.getColumn(12).getString();
}

std::vector<KernelResources> read_kernels(SQLite::Database& db, std::int64_t id) {
    SQLite::Statement select(db,
                             "SELECT entry, registers, shared_bytes, spill_store_bytes, spill_load_bytes, stack_bytes "
                             "FROM kernel WHERE iteration_id = ? ORDER BY position");
    select.bind(1, id);
    std::vector<KernelResources> kernels;
    while (select.executeStep()) {
        kernels.push_back({select.getColumn(0).getString(), sql::count_or_unknown(select.getColumn(1)),
                           sql::count_or_unknown(select.getColumn(2)), sql::count_or_unknown(select.getColumn(3)),
                           sql::count_or_unknown(select.getColumn(4)), sql::count_or_unknown(select.getColumn(5))});
    }
    return kernels;
}

void read_build_and_pair(SQLite::Database& db, std::int64_t id, IterationRecord& record) {
    SQLite::Statement select(
        db,
        "SELECT b.compiler, b.options, l.body, g.body, d.from_cache, d.source_sha256, d.reproduce, "
        "i.performance_warning, d.incumbent_iter, d.ratio, d.ratio_low, d.ratio_high, d.pairs "
        "FROM iteration i JOIN iteration_detail d ON d.iteration_id = i.id "
        "LEFT JOIN build b ON b.id = d.build_id LEFT JOIN content l ON l.id = d.log_id "
        "LEFT JOIN content g ON g.id = d.diagnostics_id WHERE i.id = ?");
    select.bind(1, id);
    select.executeStep();
    if (!select.getColumn(0).isNull()) {
        Artifact& artifact = record.artifact.emplace();
        artifact.compiler = select.getColumn(0).getString();
        artifact.options = select.getColumn(1).getString();
        artifact.log = select.getColumn(2).getString();
        artifact.from_cache = select.getColumn(4).getInt() != 0;
        artifact.source_hash = sql::hex_of_bytes(select.getColumn(5));
        artifact.performance_warning = select.getColumn(7).getInt() != 0;
        artifact.compile_s = artifact.from_cache ? 0.0 : record.compile_s;
        artifact.kernels = read_kernels(db, id);
    }
    record.diagnostics = select.getColumn(3).getString();
    record.reproduce = select.getColumn(6).getString();
    if (!select.getColumn(8).isNull()) {
        record.pair = PairRecord{select.getColumn(8).getInt64(), sql::real_or_nan(select.getColumn(9)),
                                 sql::real_or_nan(select.getColumn(10)), sql::real_or_nan(select.getColumn(11)),
                                 select.getColumn(12).getInt()};
    }
}

std::string result_query(std::string_view table, std::string_view columns) {
    return fmt::format(
        "SELECT c.case_id, c.family, {}, {} FROM {} r JOIN iteration i ON i.id = r.iteration_id "
        "JOIN suite_case c ON c.study_id = i.study_id AND c.position = r.position "
        "WHERE r.iteration_id = ? ORDER BY r.position",
        sql::kCheckColumns, columns, table);
}

void read_cases_of(SQLite::Database& db, std::int64_t id, IterationRecord& record) {
    SQLite::Statement select(
        db, result_query("case_result", "cold_median_ms, warm_median_ms, throttled, cold_ms, warm_ms"));
    select.bind(1, id);
    while (select.executeStep()) {
        constexpr int kAfter = 2 + sql::kCheckColumnCount;
        CaseRecord& result = record.cases.emplace_back();
        result.case_id = select.getColumn(0).getString();
        result.family = sql::family_of(select.getColumn(1).getString());
        result.check = sql::check_of(select, 2);
        result.cold_median_ms = sql::optional_real(select.getColumn(kAfter));
        result.warm_median_ms = sql::optional_real(select.getColumn(kAfter + 1));
        result.samples.throttled = select.getColumn(kAfter + 2).getInt() != 0;
        result.samples.cold_ms = sql::samples_of(select.getColumn(kAfter + 3));
        result.samples.warm_ms = sql::samples_of(select.getColumn(kAfter + 4));
    }
}

void read_stresses(SQLite::Database& db, std::int64_t id, IterationRecord& record) {
    SQLite::Statement select(db, result_query("stress_result", "stress"));
    select.bind(1, id);
    while (select.executeStep()) {
        StressRecord result;
        result.case_id = select.getColumn(0).getString();
        result.stress = sql::stress_of(select.getColumn(2 + sql::kCheckColumnCount).getString());
        result.check = sql::check_of(select, 2).value_or(CheckReport{});
        record.stresses.push_back(std::move(result));
    }
}

}  // namespace

IterationDetail read_detail(SQLite::Database& db, std::int64_t iteration_id) {
    IterationDetail detail;
    read_iteration(db, iteration_id, detail);
    read_costs_and_environment(db, iteration_id, detail.record);
    read_build_and_pair(db, iteration_id, detail.record);
    read_cases_of(db, iteration_id, detail.record);
    read_stresses(db, iteration_id, detail.record);
    detail.sources = read_sources(db, iteration_id);
    return detail;
}

}  // namespace attune
