#include "store/merger.h"

#include <SQLiteCpp/VariadicBind.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace attune {
namespace {

/// What of a study must agree before its iterations may stand side by side.
constexpr std::string_view kCaseColumns =
    "position, case_id, family, batch_size, num_heads, t_max, window_blocks, global_blocks, retrieval_blocks, "
    "retrieval_local_bias, seq_len_min_ratio, seed, profile";
constexpr std::string_view kIterationColumns =
    "status, outcome, geomean_ms, delta_ms, window_ms, global_ms, retrieval_ms, bound_ms, robust, registers, "
    "shared_bytes, "
    "spill_bytes, performance_warning, compile_s, device_s, finished_us, strategy, params, description";
constexpr std::string_view kDetailColumns =
    "from_cache, incumbent_iter, ratio, ratio_low, ratio_high, pairs, sm_clock_mhz, memory_clock_mhz, temperature_c, "
    "throttle_reasons, source_sha256, reproduce, tune_header";
constexpr std::string_view kShardState = "next_draw, space, measure, baseline, strategy, seed";
constexpr std::string_view kEnvironmentColumns =
    "device_uuid, device_name, driver_version, compiler, host, attune_version";

/// `columns` with `prefix` before each.
std::string prefixed(std::string_view prefix, std::string_view columns) {
    std::string result(prefix);
    for (const char letter : columns) {
        result += letter;
        if (letter == ' ') result += prefix;
    }
    return result;
}

}  // namespace

MergeSummary Merger::run() {
    copy_studies();
    copy_shards();
    copy_shared_rows();
    MergeSummary summary;
    for (const ShardPair& shard : shards()) {
        require_same_history(shard);
        if (shard.from_count > shard.into_count) copy_iterations(shard);
        summary.added += std::max<std::int64_t>(shard.from_count - shard.into_count, 0);
        summary.present += std::min(shard.from_count, shard.into_count);
    }
    return summary;
}

std::string Merger::here(std::string sql) const {
    constexpr std::string_view kPlaceholder = "from.";
    for (auto at = sql.find(kPlaceholder); at != std::string::npos; at = sql.find(kPlaceholder, at + 1)) {
        sql.replace(at, kPlaceholder.size(), schema_ + ".");
    }
    return sql;
}

std::optional<std::string> Merger::first_text(std::string sql) {
    SQLite::Statement select(db_, here(std::move(sql)));
    return select.executeStep() ? std::optional(select.getColumn(0).getString()) : std::nullopt;
}

void Merger::conflict(const std::string& what, const std::string& advice) const {
    throw InputError(fmt::format("cannot merge {} into {}: {}; {}", from_.string(), into_.string(), what, advice));
}

void Merger::copy_studies() {
    if (const auto study = first_text("SELECT a.name FROM from.study a JOIN main.study b ON b.name = a.name "
                                      "WHERE (a.template, a.device) <> (b.template, b.device)")) {
        conflict(fmt::format("they tune different templates or devices as study '{}'", *study),
                 "give one of them another name in its study file");
    }
    exec(
        "INSERT INTO main.study (name, template, device, suite, created_us) "
        "SELECT name, template, device, suite, created_us FROM from.study WHERE true "
        "ON CONFLICT (name) DO UPDATE SET created_us = min(created_us, excluded.created_us), "
        "suite = min(suite, excluded.suite)");
    const std::string cases_of_from =
        fmt::format("SELECT s.name, {} FROM from.suite_case c JOIN from.study s ON s.id = c.study_id",
                    prefixed("c.", kCaseColumns));
    const std::string cases_of_into = fmt::format(
        "SELECT s.name, {} FROM main.suite_case c JOIN main.study s ON s.id = c.study_id "
        "WHERE s.name IN (SELECT name FROM from.study)",
        prefixed("c.", kCaseColumns));
    // Cases of studies new to main are missing there, not different.
    const std::string known = "name IN (SELECT t.name FROM main.study t JOIN main.suite_case u ON u.study_id = t.id)";
    if (const auto study = first_text(fmt::format("SELECT name FROM (SELECT * FROM ({0} EXCEPT {1}) UNION ALL SELECT * "
                                                  "FROM ({1} EXCEPT {0})) WHERE {2} LIMIT 1",
                                                  cases_of_from, cases_of_into, known))) {
        conflict(fmt::format("study '{}' was measured on different cases", *study),
                 "give one of them another name in its study file");
    }
    exec(
        fmt::format("INSERT OR IGNORE INTO main.suite_case (study_id, {0}) SELECT t.id, {1} FROM from.suite_case c "
                    "JOIN from.study s ON s.id = c.study_id JOIN main.study t ON t.name = s.name",
                    kCaseColumns, prefixed("c.", kCaseColumns)));
}

void Merger::copy_shards() {
    exec(
        fmt::format("INSERT OR IGNORE INTO main.shard (study_id, uid, host, database, created_us, {0}) "
                    "SELECT t.id, h.uid, h.host, h.database, h.created_us, {1} FROM from.shard h "
                    "JOIN from.study s ON s.id = h.study_id JOIN main.study t ON t.name = s.name",
                    kShardState, prefixed("h.", kShardState)));
    // The state of the copy that went further; the order of the rest only makes the choice independent of the order.
    exec(fmt::format(
        "UPDATE main.shard AS m SET ({0}) = (SELECT {1} FROM from.shard h WHERE h.uid = m.uid) "
        "WHERE EXISTS (SELECT 1 FROM from.shard h WHERE h.uid = m.uid AND "
        "((SELECT coalesce(max(iter), 0) FROM from.iteration i WHERE i.study_id = h.study_id AND i.shard_id = "
        "h.id), {1}) > ((SELECT coalesce(max(iter), 0) FROM main.iteration i WHERE i.study_id = m.study_id "
        "AND i.shard_id = m.id), {2}))",
        kShardState, prefixed("h.", kShardState), prefixed("m.", kShardState)));
}

/// Environments, builds, editions, contents and sources are shared: main's rows by content, and maps from the
/// attached ids to main's, in temporary tables that SQLite may keep on disk.
void Merger::copy_shared_rows() {
    exec(
        "DROP TABLE IF EXISTS temp.map_environment; DROP TABLE IF EXISTS temp.map_build; "
        "DROP TABLE IF EXISTS temp.map_edition; DROP TABLE IF EXISTS temp.map_content; "
        "DROP TABLE IF EXISTS temp.map_source");
    copy_shared("environment", kEnvironmentColumns, kEnvironmentColumns);
    copy_shared("build", "options, compiler", "options, compiler");
    copy_shared("edition", "template_hash", "template_hash");
    copy_shared("content", "sha256", "sha256, body");
    exec("CREATE TEMP TABLE new_source AS SELECT sha256 FROM from.source EXCEPT SELECT sha256 FROM main.source");
    copy_shared("source", "sha256", "sha256");
    exec(
        "INSERT INTO main.source_file (source_id, name, content_id) "
        "SELECT s.new_id, f.name, c.new_id FROM from.source_file f JOIN from.source o ON o.id = f.source_id "
        "JOIN temp.map_source s ON s.old_id = f.source_id JOIN temp.map_content c ON c.old_id = f.content_id "
        "WHERE o.sha256 IN (SELECT sha256 FROM temp.new_source)");
    exec("DROP TABLE temp.new_source");
}

void Merger::copy_shared(std::string_view table, std::string_view key, std::string_view columns) {
    exec(
        fmt::format("INSERT INTO main.{0} ({2}) SELECT {2} FROM from.{0} a WHERE NOT EXISTS "
                    "(SELECT 1 FROM main.{0} b WHERE ({3}) = ({4})) ORDER BY a.id",
                    table, key, columns, prefixed("b.", key), prefixed("a.", key)));
    exec(fmt::format("CREATE TEMP TABLE map_{0} (old_id INTEGER PRIMARY KEY, new_id INTEGER NOT NULL)", table));
    exec(
        fmt::format("INSERT INTO temp.map_{0} SELECT a.id, b.id FROM from.{0} a JOIN main.{0} b ON ({1}) = ({2}) "
                    "ORDER BY a.id",
                    table, prefixed("b.", key), prefixed("a.", key)));
}

std::vector<ShardPair> Merger::shards() {
    SQLite::Statement select(
        db_,
        here("SELECT s.name, h.uid, h.study_id, h.id, (SELECT coalesce(max(iter), 0) FROM from.iteration i WHERE "
             "i.study_id = h.study_id AND i.shard_id = h.id), m.study_id, m.id, (SELECT coalesce(max(iter), 0) FROM "
             "main.iteration i WHERE i.study_id = m.study_id AND i.shard_id = m.id), t.name FROM from.shard h "
             "JOIN from.study s ON s.id = h.study_id JOIN main.shard m ON m.uid = h.uid "
             "JOIN main.study t ON t.id = m.study_id ORDER BY h.uid"));
    std::vector<ShardPair> pairs;
    while (select.executeStep()) {
        int column = 0;
        const auto text = [&] { return select.getColumn(column++).getString(); };
        const auto number = [&] { return static_cast<std::int64_t>(select.getColumn(column++).getInt64()); };
        ShardPair pair;
        pair.study = text();
        pair.uid = text();
        pair.from_study_id = number();
        pair.from_shard_id = number();
        pair.from_count = number();
        pair.into_study_id = number();
        pair.into_shard_id = number();
        pair.into_count = number();
        if (text() != pair.study) {
            conflict(
                fmt::format("shard {} belongs to study '{}' in one and to another in the other", pair.uid, pair.study),
                "one of the files was edited by hand; leave it out");
        }
        pairs.push_back(std::move(pair));
    }
    return pairs;
}

/// Copies of one shard agree as far as both go, unless both were tuned on after the copy was made.
void Merger::require_same_history(const ShardPair& shard) {
    SQLite::Statement select(
        db_,
        here("SELECT a.iter FROM from.iteration a JOIN main.iteration b ON b.study_id = ?3 AND b.shard_id = ?4 AND "
             "b.iter = a.iter WHERE a.study_id = ?1 AND a.shard_id = ?2 AND (a.finished_us, a.params, a.status) <> "
             "(b.finished_us, b.params, b.status) ORDER BY a.iter LIMIT 1"));
    SQLite::bind(select, shard.from_study_id, shard.from_shard_id, shard.into_study_id, shard.into_shard_id);
    if (!select.executeStep()) return;
    conflict(fmt::format("both hold copies of shard {} of study '{}', which differ from iteration {} on", shard.uid,
                         shard.study, select.getColumn(0).getInt64()),
             "a database was copied and both copies were tuned; keep one of them, and start shards from new files");
}

void Merger::copy_iterations(const ShardPair& shard) {
    const std::int64_t base = db_.execAndGet("SELECT coalesce(max(id), 0) FROM main.iteration").getInt64();
    // ids follow iter, so every table is appended to in its own order.
    const std::string id = fmt::format("i.iter + {}", base - shard.into_count);
    const std::string which = fmt::format("i.study_id = {} AND i.shard_id = {} AND i.iter > {} ORDER BY i.iter",
                                          shard.from_study_id, shard.from_shard_id, shard.into_count);
    exec(fmt::format(
        "INSERT INTO main.iteration (id, study_id, shard_id, iter, environment_id, edition_id, {0}) "
        "SELECT {1}, {2}, {3}, i.iter, e.new_id, t.new_id, {4} FROM from.iteration i "
        "JOIN temp.map_environment e ON e.old_id = i.environment_id "
        "LEFT JOIN temp.map_edition t ON t.old_id = i.edition_id WHERE {5}",
        kIterationColumns, id, shard.into_study_id, shard.into_shard_id, prefixed("i.", kIterationColumns), which));
    exec(fmt::format(
        "INSERT INTO main.iteration_detail (iteration_id, source_id, build_id, log_id, diagnostics_id, {0}) "
        "SELECT {1}, s.new_id, b.new_id, l.new_id, g.new_id, {2} FROM from.iteration i "
        "JOIN from.iteration_detail d ON d.iteration_id = i.id "
        "LEFT JOIN temp.map_source s ON s.old_id = d.source_id "
        "LEFT JOIN temp.map_build b ON b.old_id = d.build_id "
        "LEFT JOIN temp.map_content l ON l.old_id = d.log_id "
        "LEFT JOIN temp.map_content g ON g.old_id = d.diagnostics_id WHERE {3}",
        kDetailColumns, id, prefixed("d.", kDetailColumns), which));
    for (const std::string_view table : {"kernel", "case_result", "stress_result"})
        copy_results(table, id, which);
}

/// The rows an iteration has several of, in the order of their primary key.
void Merger::copy_results(std::string_view table, const std::string& id, const std::string& which) {
    SQLite::Statement select(
        db_, fmt::format("SELECT name FROM pragma_table_info('{}') WHERE name <> 'iteration_id'", table));
    std::string columns;
    while (select.executeStep())
        columns += (columns.empty() ? "" : ", ") + select.getColumn(0).getString();
    exec(
        fmt::format("INSERT INTO main.{0} (iteration_id, {1}) SELECT {2}, {3} FROM from.iteration i "
                    "JOIN from.{0} r ON r.iteration_id = i.id WHERE {4}{5}",
                    table, columns, id, prefixed("r.", columns), which,
                    table == "stress_result" ? ", r.position, r.stress" : ", r.position"));
}

}  // namespace attune
