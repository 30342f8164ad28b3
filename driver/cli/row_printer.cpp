#include "cli/row_printer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/suggest.h"
#include "store/record_writer.h"

namespace attune {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
    using Visitors::operator()...;
};

/// Fewest digits that read back the same; the same text for TSV and CSV.
std::string plain_text(const Cell& cell, std::string_view missing) {
    return std::visit(Overloaded{[&](std::monostate) { return std::string(missing); },
                                 [](std::int64_t value) { return fmt::format("{}", value); },
                                 [](double value) { return fmt::format("{}", value); },
                                 [](std::string_view text) { return std::string(text); },
                                 [](const Blob& blob) { return fmt::format("<{} bytes>", blob.bytes.size()); }},
                      cell);
}

class TsvPrinter : public RowPrinter {
  public:
    explicit TsvPrinter(std::ostream& out) : out_(out) {}
    void columns(const std::vector<std::string>& names) override {
        std::string line;
        for (const std::string& name : names)
            line += (line.empty() ? "" : "\t") + one_line(name);
        out_ << line << '\n';
    }
    bool row(std::span<const Cell> cells) override {
        std::string line;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            if (i > 0) line += '\t';
            const std::string text = one_line(plain_text(cells[i], "-"));
            line += text.empty() ? "-" : text;
        }
        out_ << line << '\n';
        ++count_;
        return out_.good();
    }
    void finish() override {}
    std::size_t count() const override { return count_; }

  private:
    std::ostream& out_;
    std::size_t count_ = 0;
};

class CsvPrinter : public RowPrinter {
  public:
    explicit CsvPrinter(std::ostream& out) : out_(out) {}
    void columns(const std::vector<std::string>& names) override {
        std::string line;
        for (const std::string& name : names)
            line += (line.empty() ? "" : ",") + quoted(name);
        out_ << line << "\r\n";
    }
    bool row(std::span<const Cell> cells) override {
        std::string line;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            if (i > 0) line += ',';
            line += quoted(plain_text(cells[i], ""));
        }
        out_ << line << "\r\n";
        ++count_;
        return out_.good();
    }
    void finish() override {}
    std::size_t count() const override { return count_; }

  private:
    static std::string quoted(const std::string& text) {
        if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
        std::string result = "\"";
        for (const char letter : text)
            result += letter == '"' ? std::string("\"\"") : std::string(1, letter);
        return result + '"';
    }
    std::ostream& out_;
    std::size_t count_ = 0;
};

class JsonPrinter : public RowPrinter {
  public:
    explicit JsonPrinter(std::ostream& out) : out_(out) {}
    void columns(const std::vector<std::string>& names) override {
        names_ = names;
        std::vector<std::string> sorted = names;
        std::ranges::sort(sorted);
        if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
            throw InputError(fmt::format("two columns are called {}; give one another name with AS", *twice));
    }
    bool row(std::span<const Cell> cells) override {
        nlohmann::ordered_json object = nlohmann::ordered_json::object();
        for (std::size_t i = 0; i < cells.size(); ++i)
            object[names_[i]] = json_of(cells[i]);
        out_ << (count_++ == 0 ? "[\n" : ",\n")
             << object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
        return out_.good();
    }
    void finish() override { out_ << (count_ == 0 ? "[]\n" : "\n]\n"); }
    std::size_t count() const override { return count_; }

  private:
    static nlohmann::ordered_json json_of(const Cell& cell) {
        return std::visit(Overloaded{[](std::monostate) { return nlohmann::ordered_json(); },
                                     [](const Blob& blob) { return floats_of(blob); },
                                     [](const auto& value) { return nlohmann::ordered_json(value); }},
                          cell);
    }
    static nlohmann::ordered_json floats_of(const Blob& blob) {
        auto list = nlohmann::ordered_json::array();
        for (std::size_t at = 0; at + sizeof(float) <= blob.bytes.size(); at += sizeof(float)) {
            float value = 0;
            std::memcpy(&value, blob.bytes.data() + at, sizeof value);
            list.push_back(value);
        }
        return list;
    }
    std::ostream& out_;
    std::vector<std::string> names_;
    std::size_t count_ = 0;
};

/// Looks at the first rows to choose widths, then prints as rows come.
class TablePrinter : public RowPrinter {
  public:
    TablePrinter(std::ostream& out, int width) : out_(out), width_(static_cast<std::size_t>(std::max(width, 20))) {}

    void columns(const std::vector<std::string>& names) override {
        names_ = names;
        numeric_.assign(names.size(), true);
    }
    bool row(std::span<const Cell> cells) override {
        std::vector<std::string> texts;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            texts.push_back(text_of(names_[i], cells[i]));
            if (std::holds_alternative<std::string_view>(cells[i])) numeric_[i] = false;
        }
        ++count_;
        if (planned_) {
            print(texts);
        } else {
            waiting_.push_back(std::move(texts));
            if (waiting_.size() == kRowsLookedAt) plan();
        }
        return out_.good();
    }
    void finish() override {
        if (!planned_) plan();
    }
    std::size_t count() const override { return count_; }

  private:
    static constexpr std::size_t kRowsLookedAt = 1000;
    static constexpr std::size_t kGap = 2;
    static constexpr std::size_t kLeastText = 12;  ///< a text column is cut no narrower

    static std::string text_of(const std::string& name, const Cell& cell) {
        if (const auto* value = std::get_if<double>(&cell)) {
            if (name == "delta_ms") return fmt::format("{:+.6f}", *value);
            return name.ends_with("_ms") ? fmt::format("{:.6f}", *value) : fmt::format("{:.6g}", *value);
        }
        return one_line(plain_text(cell, "-"));
    }

    void plan() {
        planned_ = true;
        widths_.clear();
        for (std::size_t i = 0; i < names_.size(); ++i) {
            std::size_t width = display_width(names_[i]);
            for (const auto& texts : waiting_)
                width = std::max(width, display_width(texts[i]));
            widths_.push_back(width);
        }
        shrink();
        if (!vertical_ && !names_.empty()) print(names_);
        for (const auto& texts : waiting_)
            print(texts);
        waiting_.clear();
    }

    /// Takes from the widest text column until the table fits; when it cannot, rows are printed upright.
    void shrink() {
        const auto total = [&] {
            std::size_t sum = 0;
            for (const std::size_t width : widths_)
                sum += width + kGap;
            return sum - (widths_.empty() ? 0 : kGap);
        };
        while (total() > width_) {
            std::size_t widest = widths_.size();
            for (std::size_t i = 0; i < widths_.size(); ++i) {
                if (numeric_[i] || widths_[i] <= std::max(kLeastText, display_width(names_[i]))) continue;
                if (widest == widths_.size() || widths_[i] > widths_[widest]) widest = i;
            }
            if (widest == widths_.size()) {
                vertical_ = true;
                return;
            }
            --widths_[widest];
        }
    }

    void print(const std::vector<std::string>& texts) {
        if (vertical_) return print_upright(texts);
        std::string line;
        for (std::size_t i = 0; i < texts.size(); ++i) {
            const std::string text = cut_to_width(texts[i], widths_[i]);
            const std::string gap(widths_[i] - display_width(text), ' ');
            line += numeric_[i] ? gap + text : text + gap;
            line += std::string(kGap, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out_ << line << '\n';
    }

    void print_upright(const std::vector<std::string>& texts) {
        std::size_t name_width = 0;
        for (const std::string& name : names_)
            name_width = std::max(name_width, display_width(name));
        for (std::size_t i = 0; i < texts.size(); ++i) {
            out_ << names_[i] << std::string(name_width - display_width(names_[i]) + kGap, ' ') << texts[i] << '\n';
        }
        out_ << '\n';
    }

    std::ostream& out_;
    std::size_t width_;
    std::vector<std::string> names_;
    std::vector<bool> numeric_;
    std::vector<std::size_t> widths_;
    std::vector<std::vector<std::string>> waiting_;
    bool planned_ = false;
    bool vertical_ = false;
    std::size_t count_ = 0;
};

}  // namespace

RowFormat parse_row_format(const std::string& name, const CliContext& context) {
    static constexpr std::array<std::string_view, 4> kNames{"table", "tsv", "csv", "json"};
    if (name.empty()) return context.out_is_terminal ? RowFormat::table : RowFormat::tsv;
    const auto found = std::find(kNames.begin(), kNames.end(), name);
    if (found == kNames.end()) throw InputError(fmt::format("--format {} is unknown{}", name, name_hint(name, kNames)));
    return static_cast<RowFormat>(found - kNames.begin());
}

std::unique_ptr<RowPrinter> make_row_printer(RowFormat format, std::ostream& out, int width_columns) {
    switch (format) {
        case RowFormat::table:
            return std::make_unique<TablePrinter>(out, width_columns);
        case RowFormat::tsv:
            return std::make_unique<TsvPrinter>(out);
        case RowFormat::csv:
            return std::make_unique<CsvPrinter>(out);
        case RowFormat::json:
            return std::make_unique<JsonPrinter>(out);
    }
    return nullptr;
}

std::size_t display_width(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string cut_to_width(std::string_view text, std::size_t width) {
    if (display_width(text) <= width) return std::string(text);
    std::string cut;
    std::size_t taken = 0;
    for (const char letter : text) {
        if ((static_cast<unsigned char>(letter) & 0xC0U) != 0x80U && ++taken >= width) break;
        cut += letter;
    }
    return cut + "…";
}

}  // namespace attune
