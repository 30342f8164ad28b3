// Connections to the record's SQLite file, and the one place where SQLite's errors become ours.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace attune {

/// One step of the schema: the SQL that brings a database of version `version - 1` to `version`.
struct Migration {
    int version;
    std::string_view sql;
};

/// Every migration, from an empty file to the schema this program writes.
[[nodiscard]] std::span<const Migration> migrations();

/// `PRAGMA user_version` of a database this program writes.
[[nodiscard]] int schema_version();

/// Runs what `db` lacks of `steps`, each in one transaction together with its `user_version`. EnvironmentError when
/// `db` is newer than the last step or belongs to another program; nothing is changed then.
void migrate(SQLite::Database& db, const std::filesystem::path& path, std::span<const Migration> steps);

/// How long a connection waits for another one's transaction.
inline constexpr int kBusyTimeoutMs = 10'000;

/// Opens or creates `path` for writing: WAL, synchronous=FULL, foreign keys, migrated. EnvironmentError in one line.
[[nodiscard]] SQLite::Database open_for_writing(const std::filesystem::path& path,
                                                int busy_timeout_ms = kBusyTimeoutMs);

/// Opens an existing database for reading; creates and changes nothing. Works on read-only media. InputError when there
/// is no such file, EnvironmentError when it cannot be read or is of a version that this program does not read.
[[nodiscard]] SQLite::Database open_for_reading(const std::filesystem::path& path);

/// The URI under which SQLite opens `path` for reading only, on read-only media too.
[[nodiscard]] std::string reading_uri(const std::filesystem::path& path);

/// Says what a failure of SQLite on `path` means and what to do about it, as an EnvironmentError.
[[noreturn]] void raise_environment_error(const SQLite::Exception& error, const std::filesystem::path& path);

/// Runs `work`, with SQLite's failures on `path` translated.
template <class Work>
decltype(auto) guarded(const std::filesystem::path& path, Work&& work) {
    try {
        return std::forward<Work>(work)();
    } catch (const SQLite::Exception& error) {
        raise_environment_error(error, path);
    }
}

}  // namespace attune
