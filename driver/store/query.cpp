#include "store/query.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>

#include "core/error.h"
#include "store/database.h"

namespace attune {
namespace {

using Clock = std::chrono::steady_clock;

struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using StatementHandle = std::unique_ptr<sqlite3_stmt, Finalize>;

bool is_one_of(const char* word, std::span<const std::string_view> words) {
    return word != nullptr && std::find(words.begin(), words.end(), word) != words.end();
}

/// An allow-list: what a SELECT needs, and PRAGMAs that only describe.
int authorize(void* /*unused*/, int action, const char* first, const char* second, const char* /*database*/,
              const char* /*view*/) {
    static constexpr std::array<std::string_view, 7> kDescribing{
        "table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list", "database_list"};
    static constexpr std::array<std::string_view, 2> kVersions{"user_version", "application_id"};
    static constexpr std::array<std::string_view, 2> kForbidden{"load_extension", "fts3_tokenizer"};
    switch (action) {
        case SQLITE_SELECT:
        case SQLITE_READ:
        case SQLITE_RECURSIVE:
            return SQLITE_OK;
        case SQLITE_FUNCTION:
            return is_one_of(second, kForbidden) ? SQLITE_DENY : SQLITE_OK;
        case SQLITE_PRAGMA:
            return is_one_of(first, kDescribing) || (second == nullptr && is_one_of(first, kVersions)) ? SQLITE_OK
                                                                                                       : SQLITE_DENY;
        default:
            return SQLITE_DENY;
    }
}

int past_deadline(void* deadline) {
    return Clock::now() > *static_cast<const Clock::time_point*>(deadline) ? 1 : 0;
}

/// Time spent by the receiver of a row (a pager may hold a pipe for minutes) does not count.
class Pause {
  public:
    explicit Pause(Clock::time_point& deadline) : deadline_(deadline), start_(Clock::now()) {}
    ~Pause() { deadline_ += Clock::now() - start_; }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

  private:
    Clock::time_point& deadline_;
    Clock::time_point start_;
};

/// SQL function samples(blob): '[0.0468,0.0467]'.
void samples_function(sqlite3_context* context, int /*count*/, sqlite3_value** values) {
    if (sqlite3_value_type(values[0]) == SQLITE_NULL) return;
    const auto* bytes = static_cast<const unsigned char*>(sqlite3_value_blob(values[0]));
    const auto count = static_cast<std::size_t>(sqlite3_value_bytes(values[0])) / sizeof(float);
    std::string json = "[";
    for (std::size_t i = 0; i < count; ++i) {
        float value = 0;
        std::memcpy(&value, bytes + i * sizeof value, sizeof value);
        fmt::format_to(std::back_inserter(json), "{}{}", i == 0 ? "" : ",", value);
    }
    json += ']';
    sqlite3_result_text(context, json.data(), static_cast<int>(json.size()), SQLITE_TRANSIENT);
}

[[noreturn]] void raise_query_error(sqlite3* db, int code, const std::filesystem::path& path, double limit_s) {
    const std::string said = sqlite3_errmsg(db);
    switch (code & 0xff) {
        case SQLITE_INTERRUPT:
            throw InputError(
                fmt::format("the query took longer than {} s; narrow it, add LIMIT, or raise --time-limit", limit_s));
        case SQLITE_AUTH:
            throw InputError(fmt::format("the query is refused: {}; only reading this database is allowed", said));
        case SQLITE_ERROR:
        case SQLITE_RANGE:
        case SQLITE_TOOBIG:
        case SQLITE_MISMATCH:
            throw InputError(
                fmt::format("SQLite does not accept the query: {}; docs/database.md lists views and columns", said));
        default:
            raise_environment_error(SQLite::Exception(db, code), path);
    }
}

/// The first statement of `sql`, moving `sql` past it; nothing when only white space or comments are left.
StatementHandle prepare_next(sqlite3* db, std::string_view& sql, const std::filesystem::path& path, double limit_s) {
    sqlite3_stmt* raw = nullptr;
    const char* tail = nullptr;
    const int code = sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &raw, &tail);
    StatementHandle statement(raw);
    if (code != SQLITE_OK) raise_query_error(db, code, path, limit_s);
    sql.remove_prefix(static_cast<std::size_t>(tail - sql.data()));
    return statement;
}

StatementHandle prepare_one(sqlite3* db, std::string_view sql, const std::filesystem::path& path, double limit_s) {
    StatementHandle statement = prepare_next(db, sql, path, limit_s);
    if (!statement) throw InputError("the query is empty; write a SELECT");
    if (prepare_next(db, sql, path, limit_s)) {
        throw InputError("the query holds more than one statement; write one SELECT");
    }
    return statement;
}

Cell cell_of(sqlite3_stmt* statement, int column) {
    const auto size = [&] { return static_cast<std::size_t>(sqlite3_column_bytes(statement, column)); };
    switch (sqlite3_column_type(statement, column)) {
        case SQLITE_INTEGER:
            return std::int64_t{sqlite3_column_int64(statement, column)};
        case SQLITE_FLOAT:
            return sqlite3_column_double(statement, column);
        case SQLITE_TEXT: {
            const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
            return std::string_view(text, size());
        }
        case SQLITE_BLOB: {
            const auto* bytes = static_cast<const unsigned char*>(sqlite3_column_blob(statement, column));
            return Blob{{bytes, size()}};
        }
        default:
            return std::monostate{};
    }
}

void step_through(sqlite3* db, sqlite3_stmt* statement, const std::filesystem::path& path, RowSink& sink,
                  double limit_s, Clock::time_point& deadline) {
    const int count = sqlite3_column_count(statement);
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i)
        names.emplace_back(sqlite3_column_name(statement, i));
    std::vector<Cell> cells(static_cast<std::size_t>(count));
    int code = sqlite3_step(statement);  // before the header: a query that fails prints nothing
    if (code == SQLITE_ROW || code == SQLITE_DONE) sink.columns(names);
    for (; code == SQLITE_ROW; code = sqlite3_step(statement)) {
        for (int i = 0; i < count; ++i)
            cells[static_cast<std::size_t>(i)] = cell_of(statement, i);
        const Pause pause(deadline);
        if (!sink.row(cells)) return;
    }
    if (code != SQLITE_DONE) raise_query_error(db, code, path, limit_s);
}

}  // namespace

void run_query(const std::filesystem::path& database, const std::string& sql, std::span<const std::string> texts,
               RowSink& sink, double limit_s) {
    SQLite::Database connection = open_for_reading(database);
    sqlite3* db = connection.getHandle();
    sqlite3_create_function(db, "samples", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr, samples_function, nullptr,
                            nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
    // Table-valued functions declare themselves on first use by a CREATE TABLE, which the authorizer would refuse.
    (void)connection.tryExec(
        "SELECT 1 FROM json_each('[]'), json_tree('[]'), pragma_table_info(''), pragma_table_xinfo(''), "
        "pragma_table_list, pragma_index_list(''), pragma_index_info(''), pragma_foreign_key_list('') LIMIT 0");
    sqlite3_set_authorizer(db, authorize, nullptr);
    Clock::time_point deadline =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(limit_s));
    constexpr int kStepsBetweenLooks = 10'000;
    sqlite3_progress_handler(db, kStepsBetweenLooks, past_deadline, &deadline);

    const StatementHandle statement = prepare_one(db, sql, database, limit_s);
    for (std::size_t i = 0; i < texts.size(); ++i) {
        sqlite3_bind_text(statement.get(), static_cast<int>(i) + 1, texts[i].data(), static_cast<int>(texts[i].size()),
                          SQLITE_TRANSIENT);
    }
    step_through(db, statement.get(), database, sink, limit_s, deadline);
}

std::vector<std::string> iteration_columns(const std::filesystem::path& database) {
    SQLite::Database db = open_for_reading(database);
    return guarded(database, [&] {
        SQLite::Statement select(db, "SELECT name FROM pragma_table_info('iterations')");
        std::vector<std::string> names;
        while (select.executeStep())
            names.push_back(select.getColumn(0).getString());
        return names;
    });
}

}  // namespace attune
