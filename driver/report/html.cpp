#include "report/html.h"

#include <nlohmann/json.hpp>

namespace attune {
namespace {

/// Replaces what is not UTF-8, as a log may be, through the one library at hand that knows how.
std::string valid_utf8(std::string_view text) {
    const std::string quoted = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return nlohmann::json::parse(quoted).get<std::string>();
}

}  // namespace

std::string html_escape(std::string_view text) {
    std::string out;
    for (const char c : valid_utf8(text)) {
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            case '\'':
                out += "&#39;";
                break;
            default:
                // Control characters mean nothing here and some are not allowed in HTML at all.
                out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
        }
    }
    return out;
}

std::string script_escape(std::string_view json) {
    std::string out;
    out.reserve(json.size());
    for (const char c : json) {
        if (c == '<') {
            out += "\\u003c";
        } else {
            out += c;
        }
    }
    return out;
}

std::string HtmlTable::str() const {
    std::string out = "<div class=\"scroll\"><table><thead><tr>";
    for (std::size_t i = 0; i < header_.size(); ++i) {
        const bool numeric = !rows_.empty() && i < rows_.front().size() && rows_.front()[i].numeric;
        out += numeric ? "<th class=\"n\">" : "<th>";
        out += html_escape(header_[i]) + "</th>";
    }
    out += "</tr></thead><tbody>";
    for (const auto& cells : rows_) {
        out += "<tr>";
        for (const HtmlCell& cell : cells)
            out += (cell.numeric ? "<td class=\"n\">" : "<td>") + cell.html + "</td>";
        out += "</tr>";
    }
    return out + "</tbody></table></div>";
}

}  // namespace attune
