// SQL of a person's own on the record, strictly for reading.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace attune {

/// Bytes that are no text.
struct Blob {
    std::span<const unsigned char> bytes;
};

/// One value of a result row; texts and blobs live until the next row.
using Cell = std::variant<std::monostate, std::int64_t, double, std::string_view, Blob>;

/// Receives a result.
class RowSink {
  public:
    virtual ~RowSink() = default;
    virtual void columns(const std::vector<std::string>& names) = 0;
    /// False: no more rows are wanted.
    virtual bool row(std::span<const Cell> cells) = 0;
};

inline constexpr double kDefaultQueryLimit_s = 60.0;

/// Runs one SELECT. The connection is read-only, and an authorizer refuses whatever is not reading this database:
/// ATTACH, PRAGMA that set something, extensions, several statements. On top of SQLite's functions there is
/// `samples(blob)`: raw samples as a JSON array of ms. InputError when the SQL is wrong, forbidden or takes longer than
/// `limit_s`; EnvironmentError when the file cannot be read. `texts` are bound to ?1, ?2, …
void run_query(const std::filesystem::path& database, const std::string& sql, std::span<const std::string> texts,
               RowSink& sink, double limit_s = kDefaultQueryLimit_s);

/// The columns of view `iterations`.
[[nodiscard]] std::vector<std::string> iteration_columns(const std::filesystem::path& database);

}  // namespace attune
