// Strict reading of the JSON files people write: suites, templates, spaces and studies.
//
// A file is read as a tree of JsonValue, each of which knows where it stands, so that every mistake becomes one line:
//   quick.json: case 'quick-window-1': key 'num_heads': must be an integer >= 1, got "x"
// Everything here throws InputError and nothing else. Typical use:
//
//   const JsonObject root = read_json_file(path).object({"name", "device", "parameters"});
//   result.name = root.get("name").text();
//   result.seed = root.uint64_or("seed", 0);
//   for (JsonValue item : root.get("parameters").items()) { … item.object({…}) … }
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attune {

inline constexpr std::size_t kMaxJsonBytes = 16U << 20U;
inline constexpr int kMaxJsonDepth = 64;

class JsonObject;

/// One value of a document, and the words that say where it stands. Cheap to copy; keeps its document alive.
class JsonValue {
  public:
    /// Throws InputError "<where>: <problem>".
    [[noreturn]] void fail(std::string_view problem) const;
    /// `file: key 'a': item 3: key 'b'`
    [[nodiscard]] std::string where() const;
    /// The same value, its last step shown as `label` ("case 'x'") rather than by its index.
    [[nodiscard]] JsonValue labelled(std::string label) const;

    [[nodiscard]] bool is_text() const;
    [[nodiscard]] bool is_integer() const;
    [[nodiscard]] bool is_list() const;
    [[nodiscard]] bool is_object() const;

    [[nodiscard]] const std::string& text() const;
    /// A text of at least one character and no line break or tab.
    [[nodiscard]] const std::string& line() const;
    [[nodiscard]] bool boolean() const;
    [[nodiscard]] std::int64_t integer(std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                                       std::int64_t max = std::numeric_limits<std::int64_t>::max()) const;
    [[nodiscard]] std::uint64_t uint64() const;
    /// A finite number (integers included) in [min, max].
    [[nodiscard]] double number(double min = std::numeric_limits<double>::lowest(),
                                double max = std::numeric_limits<double>::max()) const;
    /// Index into `words` of the text this value must be.
    [[nodiscard]] std::size_t choice(std::span<const std::string_view> words) const;
    /// The elements of a list.
    [[nodiscard]] std::vector<JsonValue> items() const;
    /// The members of an object whose keys are free (parameter names), in alphabetical order.
    [[nodiscard]] std::vector<std::pair<std::string, JsonValue>> members() const;
    /// An object whose keys are all among `known`.
    [[nodiscard]] JsonObject object(std::initializer_list<std::string_view> known) const;

    /// The compact JSON text of this value.
    [[nodiscard]] std::string dump() const;

  private:
    friend class JsonObject;
    friend JsonValue parse_json(std::string_view, const std::string&);
    struct Document;
    JsonValue(std::shared_ptr<const Document> document, const nlohmann::json& node, std::vector<std::string> path);
    [[nodiscard]] JsonValue child(const nlohmann::json& node, std::string step) const;
    [[noreturn]] void expected(std::string_view what) const;

    std::shared_ptr<const Document> document_;
    const nlohmann::json* node_;
    std::vector<std::string> path_;
};

/// An object whose keys have been checked.
class JsonObject {
  public:
    /// The member `key`, which must be there.
    [[nodiscard]] JsonValue get(std::string_view key) const;
    [[nodiscard]] std::optional<JsonValue> find(std::string_view key) const;
    /// The object itself, for `fail` and `where`.
    [[nodiscard]] const JsonValue& value() const { return value_; }

    /// The member when it is there, `fallback` when not; bounds as in JsonValue.
    [[nodiscard]] std::int64_t integer_or(std::string_view key, std::int64_t fallback, std::int64_t min,
                                          std::int64_t max) const;
    [[nodiscard]] std::uint64_t uint64_or(std::string_view key, std::uint64_t fallback) const;
    [[nodiscard]] double number_or(std::string_view key, double fallback, double min, double max) const;
    [[nodiscard]] bool boolean_or(std::string_view key, bool fallback) const;
    [[nodiscard]] std::string text_or(std::string_view key, std::string fallback) const;

  private:
    friend class JsonValue;
    explicit JsonObject(JsonValue value) : value_(std::move(value)) {}
    JsonValue value_;
};

/// Parses `text`; `name` stands for the file in messages. Rejects syntax errors (line and column), duplicate keys,
/// nesting deeper than kMaxJsonDepth and texts larger than kMaxJsonBytes.
[[nodiscard]] JsonValue parse_json(std::string_view text, const std::string& name);

/// The bytes of a regular file of at most `max_bytes`. InputError when it is missing, a directory or unreadable.
[[nodiscard]] std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes = kMaxJsonBytes);

/// `parse_json` of a file.
[[nodiscard]] JsonValue read_json_file(const std::filesystem::path& path);

}  // namespace attune
