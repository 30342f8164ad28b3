#include "store/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "store/sql_values.h"

namespace attune {

std::string row_query(const std::string& tail) {
    return "SELECT i.id, i.iter, i.params, t.template_hash, i.status, i.outcome, i.description, i.geomean_ms, "
           "i.delta_ms, "
           "i.window_ms, i.global_ms, i.retrieval_ms, i.bound_ms, i.robust, i.registers, i.shared_bytes, "
           "i.spill_bytes, "
           "i.performance_warning, i.compile_s + i.device_s, e.device_uuid, h.uid, i.finished_us "
           "FROM iteration i "
           "JOIN environment e ON e.id = i.environment_id JOIN shard h ON h.id = i.shard_id "
           "LEFT JOIN edition t ON t.id = i.edition_id " +
           tail;
}

std::string not_refuted(std::string_view alias) {
    return fmt::format(
        "NOT EXISTS (SELECT 1 FROM iteration f WHERE f.study_id = {0}.study_id AND f.shard_id = {0}.shard_id AND "
        "f.status = 'crash' AND f.iter > {0}.iter AND f.outcome = 'incorrect' AND f.params = {0}.params AND "
        "f.edition_id IS {0}.edition_id)",
        alias);
}

IterationRow row_of(SQLite::Statement& statement) {
    int index = 1;
    const auto next = [&] { return statement.getColumn(index++); };
    IterationRow row;
    row.iter = next().getInt64();
    row.params = next().getString();
    row.template_hash = next().getString();
    row.status = parse_status(next().getString()).value_or(Status::crash);
    row.outcome = parse_outcome(next().getString()).value_or(Outcome::crash);
    row.description = next().getString();
    row.geomean_ms = sql::optional_real(next());
    row.delta_ms = sql::optional_real(next());
    for (auto& family_ms : row.family_ms)
        family_ms = sql::optional_real(next());
    row.bound_ms = sql::optional_real(next());
    if (const auto robust = next(); !robust.isNull()) row.robust = robust.getInt() != 0;
    row.registers = sql::count_or_unknown(next());
    row.shared_bytes = sql::count_or_unknown(next());
    row.spill_bytes = sql::count_or_unknown(next());
    row.performance_warning = next().getInt() != 0;
    row.cost_s = next().getDouble();
    row.device_uuid = next().getString();
    row.shard = next().getString();
    row.finished_us = next().getInt64();
    return row;
}

std::int64_t row_id(SQLite::Statement& statement) {
    return statement.getColumn(0).getInt64();
}

std::vector<SourceFile> read_sources(SQLite::Database& db, std::int64_t iteration_id) {
    std::vector<SourceFile> files;
    SQLite::Statement shared(db,
                             "SELECT f.name, t.body FROM iteration_detail d JOIN source_file f ON f.source_id = "
                             "d.source_id JOIN content t ON t.id = f.content_id WHERE d.iteration_id = ?");
    shared.bind(1, iteration_id);
    while (shared.executeStep())
        files.push_back({shared.getColumn(0).getString(), shared.getColumn(1).getString()});

    SQLite::Statement own(
        db, "SELECT tune_header FROM iteration_detail WHERE iteration_id = ? AND tune_header IS NOT NULL");
    own.bind(1, iteration_id);
    if (own.executeStep()) files.push_back({kTuneHeader, own.getColumn(0).getString()});
    std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return files;
}

std::vector<CaseSpec> read_cases(SQLite::Database& db, std::int64_t study_id) {
    SQLite::Statement select(db,
                             "SELECT case_id, family, batch_size, num_heads, t_max, window_blocks, global_blocks, "
                             "retrieval_blocks, retrieval_local_bias, seq_len_min_ratio, seed, profile FROM suite_case "
                             "WHERE study_id = ? ORDER BY position");
    select.bind(1, study_id);
    std::vector<CaseSpec> cases;
    while (select.executeStep()) {
        CaseSpec spec;
        spec.case_id = select.getColumn(0).getString();
        spec.family = sql::family_of(select.getColumn(1).getString());
        spec.batch_size = select.getColumn(2).getInt();
        spec.num_heads = select.getColumn(3).getInt();
        spec.t_max = select.getColumn(4).getInt();
        spec.window_blocks = select.getColumn(5).getInt();
        spec.global_blocks = select.getColumn(6).getInt();
        spec.retrieval_blocks = select.getColumn(7).getInt();
        spec.retrieval_local_bias = select.getColumn(8).getDouble();
        spec.seq_len_min_ratio = select.getColumn(9).getDouble();
        spec.seed = std::bit_cast<std::uint64_t>(static_cast<std::int64_t>(select.getColumn(10).getInt64()));
        spec.profile = select.getColumn(11).getString();
        cases.push_back(std::move(spec));
    }
    return cases;
}

}  // namespace attune
