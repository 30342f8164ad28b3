// Rows of a query in the format a person or a program wants.
#pragma once

#include <memory>
#include <ostream>
#include <string>

#include "cli/cli.h"
#include "store/query.h"

namespace attune {

enum class RowFormat { table, tsv, csv, json };

/// "" means: a table on a terminal, TSV into a pipe. InputError for an unknown name.
[[nodiscard]] RowFormat parse_row_format(const std::string& name, const CliContext& context);

/// A printer that ends what it has begun when destroyed or told to.
class RowPrinter : public RowSink {
  public:
    /// Prints what is buffered and closes brackets; called once, after the last row.
    virtual void finish() = 0;
    /// Rows received.
    [[nodiscard]] virtual std::size_t count() const = 0;
};

/// - table: aligned to `width_columns`; long texts are cut with `…`, and rows that cannot fit are printed as one
///   `column  value` line each. Times (`*_ms`) have six decimals, other numbers six digits.
/// - tsv, csv: a header, numbers in the fewest digits that read back the same; missing is `-` in TSV and empty in CSV.
///   Control characters become spaces in TSV; CSV quotes as RFC 4180 says.
/// - json: an array of objects, every value as stored; a blob is an array of its float32 samples. InputError when
///   two columns have one name.
[[nodiscard]] std::unique_ptr<RowPrinter> make_row_printer(RowFormat format, std::ostream& out, int width_columns);

/// Columns a text takes on a terminal: its UTF-8 code points.
[[nodiscard]] std::size_t display_width(std::string_view text);
/// `text` cut to `width` columns, the last one then being `…`.
[[nodiscard]] std::string cut_to_width(std::string_view text, std::size_t width);

}  // namespace attune
