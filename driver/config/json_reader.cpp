#include "config/json_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "core/error.h"
#include "core/suggest.h"

namespace attune {
namespace {

using nlohmann::json;

/// Longest piece of a file's own text that an error message repeats.
constexpr std::size_t kMaxQuotedBytes = 60;

/// Messages are one line of printable text, whatever the file holds.
std::string one_line(std::string_view text) {
    std::string line(text.substr(0, kMaxQuotedBytes));
    for (char& c : line) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
    }
    if (text.size() > kMaxQuotedBytes) line += "...";
    return line;
}

std::string quoted(const json& node) {
    return one_line(node.dump(-1, ' ', true, json::error_handler_t::replace));
}

/// First pass over a text: finds what the library's own tree would hide (duplicate keys) or cannot bound (depth).
class StructureCheck : public nlohmann::json_sax<json> {
  public:
    StructureCheck(std::string_view text, const std::string& name) : text_(text), name_(name) {}

    bool null() override { return scalar(); }
    bool boolean(bool /*value*/) override { return scalar(); }
    bool number_integer(number_integer_t /*value*/) override { return scalar(); }
    bool number_unsigned(number_unsigned_t /*value*/) override { return scalar(); }
    bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return scalar(); }
    bool string(string_t& /*value*/) override { return scalar(); }
    bool binary(binary_t& /*value*/) override { return scalar(); }
    bool start_object(std::size_t /*size*/) override { return open(false); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t /*size*/) override { return open(true); }
    bool end_array() override { return close(); }

    bool key(string_t& key) override {
        Level& level = levels_.back();
        if (!level.keys.insert(key).second) {
            throw InputError(fmt::format("{}: {}key '{}' appears twice; remove one", name_, path(), one_line(key)));
        }
        level.key = key;
        return true;
    }

    bool parse_error(std::size_t position, const std::string& /*token*/, const json::exception& error) override {
        const std::string_view before = text_.substr(0, std::min(position == 0 ? 0 : position - 1, text_.size()));
        const auto line = 1 + std::count(before.begin(), before.end(), '\n');
        const std::size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
        throw InputError(
            fmt::format("{}: line {}, column {}: {}", name_, line, before.size() - start + 1, reason(error.what())));
    }

  private:
    struct Level {
        bool is_list = false;
        std::size_t index = 0;
        std::string key;
        std::set<std::string, std::less<>> keys;
    };

    /// The library's text without its own error code and position.
    static std::string reason(std::string_view what) {
        for (const std::string_view prefix : {std::string_view("] "), std::string_view("column ")}) {
            const std::size_t at = what.find(prefix);
            if (at != std::string_view::npos) what.remove_prefix(at + prefix.size());
        }
        const std::size_t colon = what.find(": ");
        if (colon != std::string_view::npos && colon < 8) what.remove_prefix(colon + 2);
        std::string line(what);
        for (char& c : line) {
            if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
        }
        return line;
    }

    std::string path() const {
        std::string text;
        for (std::size_t i = 0; i + 1 < levels_.size(); ++i) {
            const Level& level = levels_[i];
            text +=
                level.is_list ? fmt::format("item {}: ", level.index) : fmt::format("key '{}': ", one_line(level.key));
        }
        return text;
    }

    void count() {
        if (!levels_.empty()) ++levels_.back().index;
    }
    bool scalar() {
        count();
        return true;
    }
    bool open(bool is_list) {
        count();
        if (levels_.size() >= static_cast<std::size_t>(kMaxJsonDepth)) {
            throw InputError(fmt::format("{}: nested deeper than {} levels", name_, kMaxJsonDepth));
        }
        levels_.push_back({});
        levels_.back().is_list = is_list;
        return true;
    }
    bool close() {
        levels_.pop_back();
        return true;
    }

    std::string_view text_;
    const std::string& name_;
    std::vector<Level> levels_;
};

}  // namespace

struct JsonValue::Document {
    std::string name;
    json root;
};

JsonValue::JsonValue(std::shared_ptr<const Document> document, const json& node, std::vector<std::string> path)
    : document_(std::move(document)), node_(&node), path_(std::move(path)) {}

JsonValue JsonValue::child(const json& node, std::string step) const {
    JsonValue value(document_, node, path_);
    value.path_.push_back(std::move(step));
    return value;
}

std::string JsonValue::where() const {
    std::string text = document_->name;
    for (const std::string& step : path_)
        text += ": " + step;
    return text;
}

void JsonValue::fail(std::string_view problem) const {
    throw InputError(fmt::format("{}: {}", where(), problem));
}

void JsonValue::expected(std::string_view what) const {
    fail(fmt::format("must be {}, got {}", what, quoted(*node_)));
}

JsonValue JsonValue::labelled(std::string label) const {
    JsonValue value = *this;
    if (value.path_.empty()) {
        value.path_.push_back(std::move(label));
    } else {
        value.path_.back() = std::move(label);
    }
    return value;
}

bool JsonValue::is_text() const {
    return node_->is_string();
}
bool JsonValue::is_integer() const {
    return node_->is_number_integer();
}
bool JsonValue::is_list() const {
    return node_->is_array();
}
bool JsonValue::is_object() const {
    return node_->is_object();
}

const std::string& JsonValue::text() const {
    if (!node_->is_string()) expected("a text");
    return node_->get_ref<const std::string&>();
}

const std::string& JsonValue::line() const {
    const std::string& value = text();
    if (value.empty() || value.find_first_of("\t\r\n") != std::string::npos) {
        expected("a text of one line, not empty, without tabs");
    }
    return value;
}

bool JsonValue::boolean() const {
    if (!node_->is_boolean()) expected("true or false");
    return node_->get<bool>();
}

std::int64_t JsonValue::integer(std::int64_t min, std::int64_t max) const {
    constexpr auto kLowest = std::numeric_limits<std::int64_t>::min();
    constexpr auto kHighest = std::numeric_limits<std::int64_t>::max();
    const bool fits = node_->is_number_integer() &&
                      !(node_->is_number_unsigned() && node_->get<std::uint64_t>() > std::uint64_t{kHighest});
    const std::int64_t value = fits ? node_->get<std::int64_t>() : 0;
    if (fits && value >= min && value <= max) return value;
    if (min == kLowest && max == kHighest) expected("an integer");
    if (max == kHighest) expected(fmt::format("an integer >= {}", min));
    if (min == kLowest) expected(fmt::format("an integer <= {}", max));
    expected(fmt::format("an integer from {} to {}", min, max));
}

std::uint64_t JsonValue::uint64() const {
    if (!node_->is_number_unsigned()) expected("an integer from 0 to 2^64 - 1");
    return node_->get<std::uint64_t>();
}

double JsonValue::number(double min, double max) const {
    const double value = node_->is_number() ? node_->get<double>() : NAN;
    if (std::isfinite(value) && value >= min && value <= max) return value;
    if (min == std::numeric_limits<double>::lowest() && max == std::numeric_limits<double>::max()) expected("a number");
    if (max == std::numeric_limits<double>::max()) expected(fmt::format("a number >= {}", min));
    expected(fmt::format("a number from {} to {}", min, max));
}

std::size_t JsonValue::choice(std::span<const std::string_view> words) const {
    if (!node_->is_string()) expected("a text");
    const std::string& value = text();
    const auto found = std::find(words.begin(), words.end(), value);
    if (found == words.end()) fail(fmt::format("unknown value {}{}", quoted(*node_), name_hint(value, words)));
    return static_cast<std::size_t>(found - words.begin());
}

std::vector<JsonValue> JsonValue::items() const {
    if (!node_->is_array()) expected("a list");
    std::vector<JsonValue> result;
    result.reserve(node_->size());
    for (const json& item : *node_)
        result.push_back(child(item, fmt::format("item {}", result.size() + 1)));
    return result;
}

std::vector<std::pair<std::string, JsonValue>> JsonValue::members() const {
    if (!node_->is_object()) expected("an object");
    std::vector<std::pair<std::string, JsonValue>> result;
    for (const auto& [key, value] : node_->items()) {
        result.emplace_back(key, child(value, fmt::format("key '{}'", one_line(key))));
    }
    return result;
}

JsonObject JsonValue::object(std::initializer_list<std::string_view> known) const {
    if (!node_->is_object()) expected("an object");
    for (const auto& [key, value] : node_->items()) {
        if (std::find(known.begin(), known.end(), key) == known.end()) {
            fail(fmt::format("unknown key '{}'{}", one_line(key), name_hint(key, {known.begin(), known.size()})));
        }
    }
    return JsonObject(*this);
}

std::string JsonValue::dump() const {
    return node_->dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<JsonValue> JsonObject::find(std::string_view key) const {
    const auto found = value_.node_->find(key);
    if (found == value_.node_->end()) return std::nullopt;
    return value_.child(*found, fmt::format("key '{}'", key));
}

JsonValue JsonObject::get(std::string_view key) const {
    std::optional<JsonValue> value = find(key);
    if (!value) value_.fail(fmt::format("key '{}' is missing", key));
    return *std::move(value);
}

std::int64_t JsonObject::integer_or(std::string_view key, std::int64_t fallback, std::int64_t min,
                                    std::int64_t max) const {
    const auto value = find(key);
    return value ? value->integer(min, max) : fallback;
}

std::uint64_t JsonObject::uint64_or(std::string_view key, std::uint64_t fallback) const {
    const auto value = find(key);
    return value ? value->uint64() : fallback;
}

double JsonObject::number_or(std::string_view key, double fallback, double min, double max) const {
    const auto value = find(key);
    return value ? value->number(min, max) : fallback;
}

bool JsonObject::boolean_or(std::string_view key, bool fallback) const {
    const auto value = find(key);
    return value ? value->boolean() : fallback;
}

std::string JsonObject::text_or(std::string_view key, std::string fallback) const {
    const auto value = find(key);
    return value ? value->text() : std::move(fallback);
}

JsonValue parse_json(std::string_view text, const std::string& name) {
    if (text.size() > kMaxJsonBytes) {
        throw InputError(fmt::format("{}: {} bytes; at most {} are read", name, text.size(), kMaxJsonBytes));
    }
    StructureCheck check(text, name);
    json::sax_parse(text, &check);
    auto document = std::make_shared<JsonValue::Document>(JsonValue::Document{name, json::parse(text)});
    const json& root = document->root;
    return JsonValue(std::move(document), root, {});
}

std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) throw InputError(fmt::format("{}: no such file", path.string()));
    if (std::filesystem::is_directory(status)) {
        throw InputError(fmt::format("{}: is a directory; name a file in it", path.string()));
    }
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw InputError(fmt::format("{}: cannot be read: {}", path.string(), std::generic_category().message(errno)));
    }
    // Reads until the end rather than asking for the size, so that pipes (`/dev/stdin`) work.
    std::string text;
    std::array<char, 65536> chunk;
    while (text.size() <= max_bytes && (file.read(chunk.data(), chunk.size()), file.gcount() > 0)) {
        text.append(chunk.data(), static_cast<std::size_t>(file.gcount()));
    }
    if (text.size() > max_bytes) {
        throw InputError(fmt::format("{}: larger than {} bytes", path.string(), max_bytes));
    }
    return text;
}

JsonValue read_json_file(const std::filesystem::path& path) {
    return parse_json(read_text_file(path), path.string());
}

}  // namespace attune
