// Small conversions between our values and SQLite's, shared by everything that binds or reads a row.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/measurement.h"
#include "core/workload.h"

namespace attune::sql {

/// A missing value is NULL.
inline void bind(SQLite::Statement& statement, int index, std::optional<double> value) {
    value ? statement.bind(index, *value) : statement.bind(index);
}

/// The driver writes -1 for "not reported"; the database writes NULL.
inline void bind_count(SQLite::Statement& statement, int index, std::int64_t value) {
    value >= 0 ? statement.bind(index, value) : statement.bind(index);
}

inline void bind_id(SQLite::Statement& statement, int index, std::optional<std::int64_t> id) {
    id ? statement.bind(index, *id) : statement.bind(index);
}

[[nodiscard]] inline std::optional<double> optional_real(const SQLite::Column& column) {
    return column.isNull() ? std::nullopt : std::optional(column.getDouble());
}

[[nodiscard]] inline int count_or_unknown(const SQLite::Column& column) {
    return column.isNull() ? -1 : column.getInt();
}

/// SQLite stores NaN as NULL.
[[nodiscard]] inline double real_or_nan(const SQLite::Column& column) {
    return column.isNull() ? std::numeric_limits<double>::quiet_NaN() : column.getDouble();
}

/// Hex digits to bytes; empty when `hex` is not an even number of hex digits.
[[nodiscard]] std::vector<unsigned char> bytes_of_hex(std::string_view hex);
[[nodiscard]] std::string hex_of_bytes(const SQLite::Column& column);

void bind_samples(SQLite::Statement& statement, int index, const std::vector<float>& samples);
[[nodiscard]] std::vector<float> samples_of(const SQLite::Column& column);

/// The nine columns of a check, in the schema's order. Nothing: all NULL.
inline constexpr std::string_view kCheckColumns =
    "passed, o_max_abs_error, o_worst_ratio, lse_max_abs_error, lse_worst_ratio, o_bad_elements, lse_bad_elements, "
    "guards_intact, detail";
inline constexpr int kCheckColumnCount = 9;
void bind_check(SQLite::Statement& statement, int first, const CheckReport* check);
[[nodiscard]] std::optional<CheckReport> check_of(SQLite::Statement& statement, int first);

/// Values by the names the schema keeps. EnvironmentError for a name this program does not know.
[[nodiscard]] Family family_of(std::string_view name);
[[nodiscard]] Stress stress_of(std::string_view name);

}  // namespace attune::sql
