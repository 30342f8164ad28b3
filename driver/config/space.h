// Reads what narrows a template's space: {"values": {parameter: […]}, "constraints": [{"require", "because"}]}.
#pragma once

#include "config/json_reader.h"
#include "core/template_spec.h"

namespace attune {

/// Bounds on what one file may hold; far above what any kernel needs.
inline constexpr std::size_t kMaxParameters = 64;
inline constexpr std::size_t kMaxValues = 1024;
inline constexpr std::size_t kMaxExpressions = 256;

/// An expression: text, or a plain integer.
[[nodiscard]] ExpressionText read_expression(const JsonValue& value);
/// {"require": expression, "because": "one line"}
[[nodiscard]] ConstraintSpec read_constraint(const JsonValue& value);
/// The items of a list of at most `at_most`; none when the key is missing.
[[nodiscard]] std::vector<JsonValue> read_list(const JsonObject& object, std::string_view key, std::size_t at_most);
/// A value of a parameter in its `key=value` spelling: an integer or a word.
[[nodiscard]] std::string read_value_text(const JsonValue& value);
/// A space; that its parameters and values exist is checked against a template later (KernelTemplate::restricted).
[[nodiscard]] SpaceRestriction read_space(const JsonValue& value);

}  // namespace attune
