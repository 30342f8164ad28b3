// The morning page: one HTML file that says what a study found, readable offline, on a phone, in the dark.
#pragma once

#include <string>

#include "store/reader.h"

namespace attune {

struct ReportOptions {
    std::string study;  ///< empty: the only one
    std::string attune_version;
    std::string generated_at;  ///< as people read it
    int refresh_s = 0;         ///< the page reloads itself this often; 0: never
    std::string db_option{};   ///< " --db FILE" where the commands on the page need it to find the database
};

/// The page. Whatever the record holds (parameters, descriptions, logs) ends up as text, never as markup or script.
/// InputError as Reader::study says.
[[nodiscard]] std::string report_html(const Reader& reader, const ReportOptions& options);

}  // namespace attune
