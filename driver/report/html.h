// Text into HTML, safely: the only ways this module writes what a record says into a page.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// `text` with every character that means something to HTML replaced, and bytes that are no UTF-8 too.
[[nodiscard]] std::string html_escape(std::string_view text);

/// JSON text as the content of a <script> element: no `<` survives, so nothing can end the element.
[[nodiscard]] std::string script_escape(std::string_view json);

/// A cell of a table, escaped already.
struct HtmlCell {
    std::string html;
    bool numeric = false;
};

/// A table; columns are numeric (right-aligned) where their cells are.
class HtmlTable {
  public:
    explicit HtmlTable(std::vector<std::string> header) : header_(std::move(header)) {}
    HtmlTable& row() {
        rows_.emplace_back();
        return *this;
    }
    HtmlTable& text(std::string_view value) { return add({html_escape(value), false}); }
    HtmlTable& number(std::string_view value) { return add({html_escape(value), true}); }
    HtmlTable& code(std::string_view value) { return add({"<code>" + html_escape(value) + "</code>", false}); }
    HtmlTable& html(std::string value) { return add({std::move(value), false}); }
    [[nodiscard]] std::string str() const;

  private:
    HtmlTable& add(HtmlCell cell) {
        rows_.back().push_back(std::move(cell));
        return *this;
    }
    std::vector<std::string> header_;
    std::vector<std::vector<HtmlCell>> rows_;
};

}  // namespace attune
