// iters.tsv: one row an iteration, a view of the database.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "store/store.h"

namespace attune {

inline constexpr std::string_view kTsvHeader =
    "iter\tgeomean_ms\tdelta_ms\twindow_ms\tglobal_ms\tretrieval_ms\tstatus\tparams\tdescription\n";

/// Milliseconds with six decimals (a nanosecond), `-` when missing; with `sign`, also of a gain or zero.
[[nodiscard]] std::string format_ms(std::optional<double> value_ms, bool sign = false);

/// The line of an iteration, its line end included.
[[nodiscard]] std::string tsv_line(const IterationRow& row);

/// Calls its argument with every line of the file in order, the header's not included.
using TsvLines = std::function<void(const std::function<void(const std::string&)>&)>;

/// The file itself. Every function throws EnvironmentError when the file cannot be read or written.
class TsvFile {
  public:
    explicit TsvFile(std::filesystem::path path) : path_(std::move(path)) {}

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    /// Replaces the file by header and `lines`, atomically, when it differs in any byte.
    void sync(const TsvLines& lines);
    /// Appends a line. False, and nothing is appended, when the file is not as the last sync or append left it.
    [[nodiscard]] bool append(const std::string& line);
    /// Says that a line was not appended: the next append is refused, and the sync that follows brings both.
    void miss_line() { size_ = -1; }

  private:
    [[nodiscard]] bool matches(const TsvLines& lines) const;
    void rewrite(const TsvLines& lines);

    [[nodiscard]] std::filesystem::path fresh_path() const { return path_.string() + ".new"; }

    std::filesystem::path path_;
    std::int64_t size_ = -1;  ///< bytes the file has when nobody else touched it
};

}  // namespace attune
