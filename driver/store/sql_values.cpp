#include "store/sql_values.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "core/error.h"

namespace attune::sql {
namespace {

static_assert(std::endian::native == std::endian::little, "samples are stored as little-endian float32");

int digit_of(char letter) {
    if (letter >= '0' && letter <= '9') return letter - '0';
    if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
    if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
    return -1;
}

template <class Values>
auto named(const Values& values, std::string_view name) {
    for (const auto value : values) {
        if (to_string(value) == name) return value;
    }
    throw EnvironmentError(
        fmt::format("the database names '{}', which this program does not know; update attune", name));
}

}  // namespace

std::vector<unsigned char> bytes_of_hex(std::string_view hex) {
    std::vector<unsigned char> bytes;
    if (hex.size() % 2 != 0) return bytes;
    bytes.reserve(hex.size() / 2);
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        const int high = digit_of(hex[i]);
        const int low = digit_of(hex[i + 1]);
        if (high < 0 || low < 0) return {};
        bytes.push_back(static_cast<unsigned char>(high * 16 + low));
    }
    return bytes;
}

std::string hex_of_bytes(const SQLite::Column& column) {
    const auto* bytes = static_cast<const unsigned char*>(column.getBlob());
    std::string hex;
    for (int i = 0; i < column.getBytes(); ++i)
        hex += fmt::format("{:02x}", bytes[i]);
    return hex;
}

void bind_samples(SQLite::Statement& statement, int index, const std::vector<float>& samples) {
    if (samples.empty()) {
        statement.bind(index);
    } else {
        statement.bind(index, samples.data(), static_cast<int>(samples.size() * sizeof(float)));
    }
}

std::vector<float> samples_of(const SQLite::Column& column) {
    std::vector<float> samples(static_cast<std::size_t>(column.getBytes()) / sizeof(float));
    if (!samples.empty()) std::memcpy(samples.data(), column.getBlob(), samples.size() * sizeof(float));
    return samples;
}

void bind_check(SQLite::Statement& statement, int first, const CheckReport* check) {
    if (check == nullptr) {
        for (int i = 0; i < kCheckColumnCount; ++i)
            statement.bind(first + i);
        return;
    }
    statement.bind(first, check->passed ? 1 : 0);
    statement.bind(first + 1, check->o_max_abs_error);
    statement.bind(first + 2, check->o_worst_ratio);
    statement.bind(first + 3, check->lse_max_abs_error);
    statement.bind(first + 4, check->lse_worst_ratio);
    statement.bind(first + 5, check->o_bad_elements);
    statement.bind(first + 6, check->lse_bad_elements);
    statement.bind(first + 7, check->guards_intact ? 1 : 0);
    check->detail.empty() ? statement.bind(first + 8) : statement.bind(first + 8, check->detail);
}

std::optional<CheckReport> check_of(SQLite::Statement& statement, int first) {
    if (statement.getColumn(first).isNull()) return std::nullopt;
    CheckReport check;
    check.passed = statement.getColumn(first).getInt() != 0;
    check.o_max_abs_error = real_or_nan(statement.getColumn(first + 1));
    check.o_worst_ratio = real_or_nan(statement.getColumn(first + 2));
    check.lse_max_abs_error = real_or_nan(statement.getColumn(first + 3));
    check.lse_worst_ratio = real_or_nan(statement.getColumn(first + 4));
    check.o_bad_elements = statement.getColumn(first + 5).getInt64();
    check.lse_bad_elements = statement.getColumn(first + 6).getInt64();
    check.guards_intact = statement.getColumn(first + 7).getInt() != 0;
    check.detail = statement.getColumn(first + 8).getString();
    return check;
}

Family family_of(std::string_view name) {
    return named(kFamilies, name);
}

Stress stress_of(std::string_view name) {
    return name == to_string(Stress::none) ? Stress::none : named(kStresses, name);
}

}  // namespace attune::sql
