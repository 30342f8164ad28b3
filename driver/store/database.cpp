#include "store/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <array>
#include <chrono>
#include <system_error>
#include <thread>

#include "core/error.h"

namespace attune {

namespace embedded {
extern const std::string_view schema_sql;
extern const std::string_view schema_2_sql;
}  // namespace embedded

namespace {

// "atun": tells our files from other programs' SQLite databases (`file` shows it too).
constexpr int kApplicationId = 0x6174756e;

// Version 2 changed no table that is read. Its view `best` knows of what was found incorrect; version 1's does not.
constexpr int kOldestReadable = 1;

int pragma(SQLite::Database& db, const char* name) {
    return db.execAndGet(fmt::format("PRAGMA {}", name)).getInt();
}

/// Whether nobody has written to it yet.
bool is_blank(SQLite::Database& db) {
    return pragma(db, "user_version") == 0 && pragma(db, "application_id") == 0 &&
           db.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
}

// SQLite would call it an error of the disk.
void require_no_folder(const std::filesystem::path& path) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error))
        throw InputError(fmt::format("{} is a folder; name the database file in it", path.string()));
}

void require_ours(SQLite::Database& db, const std::filesystem::path& path, int newest) {
    const int version = pragma(db, "user_version");
    const int owner = pragma(db, "application_id");
    if (owner != kApplicationId && !is_blank(db)) {
        throw EnvironmentError(
            fmt::format("{} is an SQLite database of another program; name another file", path.string()));
    }
    if (version > newest) {
        throw EnvironmentError(fmt::format(
            "{} was written by a newer attune (database version {}, this program knows {}); update attune or "
            "name another file",
            path.string(), version, newest));
    }
}

// Two processes that create one file at once: SQLite does not wait for the busy time-out when it changes the journal
// mode, so the loser of that race tries again.
void enter_wal(SQLite::Database& db, int busy_timeout_ms) {
    constexpr int kPauseMs = 20;
    for (int waited_ms = 0;; waited_ms += kPauseMs) {
        try {
            db.exec("PRAGMA journal_mode = WAL");
            return;
        } catch (const SQLite::Exception& error) {
            if (error.getErrorCode() != SQLITE_BUSY || waited_ms >= busy_timeout_ms) throw;
            std::this_thread::sleep_for(std::chrono::milliseconds(kPauseMs));
        }
    }
}

void configure_reading(SQLite::Database& db) {
    db.exec("PRAGMA mmap_size = 1073741824");
    db.exec("PRAGMA cache_size = -65536");
}

std::string uri_of(const std::filesystem::path& path, std::string_view parameters) {
    std::string uri = "file:";
    for (const char letter : std::filesystem::absolute(path).string()) {
        uri +=
            letter == '?' || letter == '#' || letter == '%' ? fmt::format("%{:02X}", letter) : std::string(1, letter);
    }
    return uri.append(parameters);
}

}  // namespace

std::span<const Migration> migrations() {
    static const std::array kSteps{Migration{1, embedded::schema_sql}, Migration{2, embedded::schema_2_sql}};
    return kSteps;
}

int schema_version() {
    return migrations().back().version;
}

void migrate(SQLite::Database& db, const std::filesystem::path& path, std::span<const Migration> steps) {
    const int newest = steps.back().version;
    require_ours(db, path, newest);
    for (const Migration& step : steps) {
        if (pragma(db, "user_version") >= step.version) continue;
        SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
        require_ours(db, path, newest);  // another process may have been quicker
        if (pragma(db, "user_version") >= step.version) continue;
        db.exec(std::string(step.sql));
        db.exec(fmt::format("PRAGMA application_id = {}", kApplicationId));
        db.exec(fmt::format("PRAGMA user_version = {}", step.version));
        transaction.commit();
    }
}

std::string reading_uri(const std::filesystem::path& path) {
    const std::string plain = uri_of(path, "?mode=ro");
    try {
        SQLite::Database db(plain, SQLite::OPEN_READONLY | SQLite::OPEN_URI, kBusyTimeoutMs);
        (void)pragma(db, "user_version");
        return plain;
    } catch (const SQLite::Exception& error) {
        // A WAL database wants to create a file beside it, which read-only media refuse. With no log waiting, the file
        // itself is all there is and cannot change either.
        std::error_code missing;
        const auto wal_bytes = std::filesystem::file_size(path.string() + "-wal", missing);
        const bool log_waits = !missing && wal_bytes > 0;
        if (error.getErrorCode() != SQLITE_CANTOPEN || log_waits) throw;
    }
    return uri_of(path, "?immutable=1");
}

SQLite::Database open_for_writing(const std::filesystem::path& path, int busy_timeout_ms) {
    require_no_folder(path);
    std::error_code error;
    if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
    if (error) {
        throw EnvironmentError(fmt::format("cannot create the folder of {}: {}; create it or name another file",
                                           path.string(), error.message()));
    }
    return guarded(path, [&] {
        SQLite::Database db(path.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_URI,
                            busy_timeout_ms);
        require_ours(db, path, schema_version());  // before the journal mode changes the file
        enter_wal(db, busy_timeout_ms);
        // FULL: a commit is on the disk when it returns, also when the machine loses power or its GPU takes it down.
        db.exec("PRAGMA synchronous = FULL");
        db.exec("PRAGMA foreign_keys = ON");
        // A writer touches the ends of its tables. What more it kept would only make a night's memory grow.
        db.exec("PRAGMA cache_size = -512");
        migrate(db, path, migrations());
        return db;
    });
}

SQLite::Database open_for_reading(const std::filesystem::path& path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) {
        throw InputError(fmt::format("there is no database {}; `attune tune` makes one, or name another file",
                                     std::filesystem::absolute(path).string()));
    }
    require_no_folder(path);
    return guarded(path, [&] {
        SQLite::Database db(reading_uri(path), SQLite::OPEN_READONLY | SQLite::OPEN_URI, kBusyTimeoutMs);
        require_ours(db, path, schema_version());
        if (is_blank(db))
            throw InputError(fmt::format("{} is empty; `attune tune` fills it, or name another file", path.string()));
        if (const int version = pragma(db, "user_version"); version < kOldestReadable) {
            throw EnvironmentError(
                fmt::format("{} was written by an older attune (database version {}, now {}); run "
                            "`attune tune` on it once, which brings it up to date",
                            path.string(), version, schema_version()));
        }
        configure_reading(db);
        return db;
    });
}

void raise_environment_error(const SQLite::Exception& error, const std::filesystem::path& path) {
    const std::string file = path.string();
    const std::string said = error.what();
    switch (error.getErrorCode()) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            throw EnvironmentError(fmt::format(
                "{} is locked by another program; close what has it open (`fuser {}` names it)", file, file));
        case SQLITE_FULL:
            throw EnvironmentError(
                fmt::format("no space left for {}; free some and run the same command again, it resumes", file));
        case SQLITE_IOERR:
            throw EnvironmentError(
                fmt::format("cannot read or write {} ({}); check the disk's space and health (`df`, `dmesg`), then run "
                            "the same command again",
                            file, said));
        case SQLITE_READONLY:
            if (error.getExtendedErrorCode() == SQLITE_READONLY_ROLLBACK) {
                throw EnvironmentError(fmt::format(
                    "an `attune merge` into {} was interrupted; run it again, which undoes the half and does it all",
                    file));
            }
            [[fallthrough]];
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_AUTH:
            throw EnvironmentError(
                fmt::format("cannot open {} ({}); check the permissions of the file and of its folder, or name another",
                            file, said));
        case SQLITE_NOTADB:
            throw EnvironmentError(
                fmt::format("{} is no database; name another file, or if it was one, save what can be read of it with "
                            "`sqlite3 {} .recover | sqlite3 NEW.db`",
                            file, file));
        case SQLITE_CORRUPT:
            throw EnvironmentError(
                fmt::format("{} is damaged ({}); move it away, and save what can be read of it with "
                            "`sqlite3 {} .recover | sqlite3 NEW.db`",
                            file, said, file));
        default:
            throw EnvironmentError(fmt::format("{}: SQLite says: {}", file, said));
    }
}

}  // namespace attune
