#include "store/record_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "core/resource_totals.h"
#include "core/sha256.h"
#include "store/sql_values.h"
#include "store/store.h"

namespace attune {
namespace {

constexpr std::string_view kInsertIteration =
    "INSERT INTO iteration (study_id, shard_id, iter, environment_id, edition_id, status, outcome, geomean_ms, "
    "delta_ms, "
    "window_ms, global_ms, retrieval_ms, bound_ms, robust, registers, shared_bytes, spill_bytes, performance_warning, "
    "compile_s, device_s, finished_us, strategy, params, description) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, "
    "?24)";

constexpr std::string_view kInsertDetail =
    "INSERT INTO iteration_detail (iteration_id, source_id, build_id, log_id, diagnostics_id, from_cache, "
    "incumbent_iter, "
    "ratio, ratio_low, ratio_high, pairs, sm_clock_mhz, memory_clock_mhz, temperature_c, throttle_reasons, "
    "source_sha256, "
    "reproduce, tune_header) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

std::string insert_with_check(std::string_view table, std::string_view keys, int key_count, std::string_view rest = {},
                              int rest_count = 0) {
    std::string marks = "?";
    for (int i = 1; i < key_count + sql::kCheckColumnCount + rest_count; ++i)
        marks += ", ?";
    return fmt::format("INSERT INTO {} ({}, {}{}) VALUES ({})", table, keys, sql::kCheckColumns, rest, marks);
}

/// Cuts out the middle of a text that exceeds the bound, never inside a UTF-8 sequence.
std::string bounded(const std::string& text) {
    if (text.size() <= kMaxLogBytes) return text;
    const auto starts_character = [&](std::size_t at) {
        return (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
    };
    std::size_t head = kMaxLogBytes * 3 / 4;  // the first errors explain the rest
    while (head > 0 && !starts_character(head))
        --head;
    std::size_t tail = text.size() - kMaxLogBytes / 4;
    while (tail < text.size() && !starts_character(tail))
        ++tail;
    return fmt::format("{}\n[… {} bytes left out …]\n{}", text.substr(0, head), tail - head, text.substr(tail));
}

struct Entry {
    std::int64_t id;
    bool added;
};

/// The row `find` finds for a key, or the one `add` inserts for it. `bind_key` binds the key to either.
template <class Bind>
Entry find_or_add(SQLite::Database& db, SQLite::Statement& find, SQLite::Statement& add, Bind&& bind_key) {
    find.reset();
    bind_key(find);
    if (find.executeStep()) {
        const std::int64_t id = find.getColumn(0).getInt64();
        find.reset();  // a statement left on a row would hold the read transaction open
        return {id, false};
    }
    find.reset();
    add.reset();
    bind_key(add);
    add.exec();
    return {db.getLastInsertRowid(), true};
}

auto hash_binder(const std::string& hex) {
    return [hash = sql::bytes_of_hex(hex)](SQLite::Statement& statement) {
        statement.bind(1, hash.data(), static_cast<int>(hash.size()));
    };
}

}  // namespace

std::string one_line(std::string_view text) {
    std::string line(text);
    for (char& letter : line) {
        if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) letter = ' ';
    }
    while (!line.empty() && line.back() == ' ')
        line.pop_back();
    line.erase(0, line.find_first_not_of(' ') == std::string::npos ? line.size() : line.find_first_not_of(' '));
    return line;
}

RecordWriter::RecordWriter(SQLite::Database& db, std::map<std::string, int> case_positions)
    : db_(db),
      case_positions_(std::move(case_positions)),
      iteration_(db, std::string(kInsertIteration)),
      detail_(db, std::string(kInsertDetail)),
      kernel_(db,
              "INSERT INTO kernel (iteration_id, position, entry, registers, shared_bytes, spill_store_bytes, "
              "spill_load_bytes, stack_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
      case_(db, insert_with_check("case_result", "iteration_id, position", 2,
                                  ", cold_median_ms, warm_median_ms, throttled, cold_ms, warm_ms", 5)),
      stress_(db, insert_with_check("stress_result", "iteration_id, position, stress", 3)),
      find_content_(db, "SELECT id FROM content WHERE sha256 = ?1"),
      add_content_(db, "INSERT INTO content (sha256, body) VALUES (?1, ?2)"),
      find_source_(db, "SELECT id FROM source WHERE sha256 = ?1"),
      add_source_(db, "INSERT INTO source (sha256) VALUES (?1)"),
      add_source_file_(db, "INSERT INTO source_file (source_id, name, content_id) VALUES (?1, ?2, ?3)"),
      find_environment_(
          db,
          "SELECT id FROM environment WHERE device_uuid = ?1 AND device_name = ?2 AND driver_version = ?3 "
          "AND compiler = ?4 AND host = ?5 AND attune_version = ?6"),
      add_environment_(db,
                       "INSERT INTO environment (device_uuid, device_name, driver_version, compiler, host, "
                       "attune_version) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"),
      find_edition_(db, "SELECT id FROM edition WHERE template_hash = ?1"),
      add_edition_(db, "INSERT INTO edition (template_hash) VALUES (?1)"),
      find_build_(db, "SELECT id FROM build WHERE compiler = ?1 AND options = ?2"),
      add_build_(db, "INSERT INTO build (compiler, options) VALUES (?1, ?2)") {}

void RecordWriter::insert(const IterationRecord& record, const std::vector<SourceFile>& sources,
                          const IterationPlace& place) {
    const std::int64_t id = insert_iteration(record, place);
    insert_detail(id, record, sources);
    if (record.artifact) insert_kernels(id, *record.artifact);
    insert_cases(id, record);
    insert_stresses(id, record);
}

std::int64_t RecordWriter::insert_iteration(const IterationRecord& record, const IterationPlace& place) {
    const ResourceTotals totals = record.artifact ? totals_of(*record.artifact) : ResourceTotals{};
    auto& to = iteration_;
    to.reset();
    to.bind(1, place.study_id);
    to.bind(2, place.shard_id);
    to.bind(3, place.iter);
    to.bind(4, environment_id(record.environment));
    sql::bind_id(to, 5, edition_id(record.template_hash));
    to.bind(6, std::string(to_string(record.status)));
    to.bind(7, std::string(to_string(record.outcome)));
    sql::bind(to, 8, record.geomean_ms);
    sql::bind(to, 9, record.delta_ms);
    for (std::size_t i = 0; i < record.family_ms.size(); ++i) {
        sql::bind(to, 10 + static_cast<int>(i), record.family_ms[i]);
    }
    sql::bind(to, 13, record.bound_ms);
    record.robust ? to.bind(14, *record.robust ? 1 : 0) : to.bind(14);
    sql::bind_count(to, 15, totals.registers);
    sql::bind_count(to, 16, totals.shared_bytes);
    sql::bind_count(to, 17, totals.spill_bytes);
    to.bind(18, record.artifact && record.artifact->performance_warning ? 1 : 0);
    to.bind(19, record.compile_s);
    to.bind(20, record.device_s);
    to.bind(21, place.finished_us);
    to.bind(22, record.strategy);
    to.bind(23, one_line(record.params));
    to.bind(24, one_line(record.description));
    to.exec();
    return db_.getLastInsertRowid();
}

void RecordWriter::insert_detail(std::int64_t id, const IterationRecord& record,
                                 const std::vector<SourceFile>& sources) {
    const EnvironmentFacts& environment = record.environment;
    auto& to = detail_;
    to.reset();
    to.clearBindings();
    to.bind(1, id);
    sql::bind_id(to, 2, source_id(sources));
    if (record.artifact) {
        const auto hash = sql::bytes_of_hex(record.artifact->source_hash);
        to.bind(3, build_id(*record.artifact));
        sql::bind_id(to, 4, log_id(record.artifact->log));
        to.bind(6, record.artifact->from_cache ? 1 : 0);
        if (!hash.empty()) to.bind(16, hash.data(), static_cast<int>(hash.size()));
    }
    sql::bind_id(to, 5, log_id(record.diagnostics));
    if (record.pair) {
        to.bind(7, record.pair->incumbent_iter);
        to.bind(8, record.pair->ratio);
        to.bind(9, record.pair->ratio_low);
        to.bind(10, record.pair->ratio_high);
        to.bind(11, record.pair->pairs);
    }
    if (environment.sm_clock_mhz > 0) to.bind(12, environment.sm_clock_mhz);
    if (environment.memory_clock_mhz > 0) to.bind(13, environment.memory_clock_mhz);
    if (environment.temperature_c > 0) to.bind(14, environment.temperature_c);
    if (!environment.throttle_reasons.empty()) to.bind(15, environment.throttle_reasons);
    to.bind(17, record.reproduce);
    const auto own =
        std::find_if(sources.begin(), sources.end(), [](const auto& file) { return file.name == kTuneHeader; });
    if (own != sources.end()) to.bind(18, own->text);
    to.exec();
}

void RecordWriter::insert_kernels(std::int64_t id, const Artifact& artifact) {
    for (std::size_t i = 0; i < artifact.kernels.size(); ++i) {
        const KernelResources& kernel = artifact.kernels[i];
        kernel_.reset();
        kernel_.bind(1, id);
        kernel_.bind(2, static_cast<int>(i));
        kernel_.bind(3, kernel.entry);
        sql::bind_count(kernel_, 4, kernel.registers);
        sql::bind_count(kernel_, 5, kernel.shared_bytes);
        sql::bind_count(kernel_, 6, kernel.spill_store_bytes);
        sql::bind_count(kernel_, 7, kernel.spill_load_bytes);
        sql::bind_count(kernel_, 8, kernel.stack_bytes);
        kernel_.exec();
    }
}

void RecordWriter::insert_cases(std::int64_t id, const IterationRecord& record) {
    for (const CaseRecord& result : record.cases) {
        case_.reset();
        case_.bind(1, id);
        case_.bind(2, position_of(result.case_id));
        sql::bind_check(case_, 3, result.check ? &*result.check : nullptr);
        sql::bind(case_, 12, result.cold_median_ms);
        sql::bind(case_, 13, result.warm_median_ms);
        case_.bind(14, result.samples.throttled ? 1 : 0);
        sql::bind_samples(case_, 15, result.samples.cold_ms);
        sql::bind_samples(case_, 16, result.samples.warm_ms);
        case_.exec();
    }
}

void RecordWriter::insert_stresses(std::int64_t id, const IterationRecord& record) {
    for (const StressRecord& result : record.stresses) {
        stress_.reset();
        stress_.bind(1, id);
        stress_.bind(2, position_of(result.case_id));
        stress_.bind(3, std::string(to_string(result.stress)));
        sql::bind_check(stress_, 4, &result.check);
        stress_.exec();
    }
}

std::int64_t RecordWriter::environment_id(const EnvironmentFacts& facts) {
    return find_or_add(db_, find_environment_, add_environment_,
                       [&](SQLite::Statement& statement) {
                           statement.bind(1, facts.device_uuid);
                           statement.bind(2, facts.device_name);
                           statement.bind(3, facts.driver_version);
                           statement.bind(4, facts.compiler);
                           statement.bind(5, facts.host);
                           statement.bind(6, facts.attune_version);
                       })
        .id;
}

std::optional<std::int64_t> RecordWriter::edition_id(const std::string& template_hash) {
    if (template_hash.empty()) return std::nullopt;
    const auto bind_key = [&](SQLite::Statement& statement) { statement.bind(1, template_hash); };
    return find_or_add(db_, find_edition_, add_edition_, bind_key).id;
}

std::int64_t RecordWriter::build_id(const Artifact& artifact) {
    return find_or_add(db_, find_build_, add_build_,
                       [&](SQLite::Statement& statement) {
                           statement.bind(1, artifact.compiler);
                           statement.bind(2, artifact.options);
                       })
        .id;
}

std::int64_t RecordWriter::content_id(const std::string& text) {
    add_content_.reset();
    add_content_.bind(2, text);
    return find_or_add(db_, find_content_, add_content_, hash_binder(sha256_hex(text))).id;
}

std::optional<std::int64_t> RecordWriter::log_id(const std::string& log) {
    if (log.empty()) return std::nullopt;
    return content_id(bounded(log));
}

std::optional<std::int64_t> RecordWriter::source_id(const std::vector<SourceFile>& sources) {
    std::map<std::string_view, const SourceFile*> files;  // by name, so that the bundle's order does not matter
    for (const SourceFile& file : sources) {
        if (file.name != kTuneHeader) files.emplace(file.name, &file);
    }
    if (files.empty()) return std::nullopt;
    Sha256 sha;
    for (const auto& [name, file] : files) {
        sha.update_field(name);
        sha.update_field(file->text);
    }
    const Entry source = find_or_add(db_, find_source_, add_source_, hash_binder(sha.hex()));
    if (!source.added) return source.id;
    for (const auto& [name, file] : files) {
        const std::int64_t content = content_id(file->text);
        add_source_file_.reset();
        add_source_file_.bind(1, source.id);
        add_source_file_.bind(2, file->name);
        add_source_file_.bind(3, content);
        add_source_file_.exec();
    }
    return source.id;
}

int RecordWriter::position_of(const std::string& case_id) const {
    const auto found = case_positions_.find(case_id);
    if (found == case_positions_.end()) throw std::logic_error("a result of case '" + case_id + "', not in the suite");
    return found->second;
}

}  // namespace attune
