#include "config/space.h"

#include <fmt/format.h>

namespace attune {

ExpressionText read_expression(const JsonValue& value) {
    if (value.is_integer()) return {std::to_string(value.integer()), value.where()};
    return {value.text(), value.where()};
}

ConstraintSpec read_constraint(const JsonValue& value) {
    const JsonObject object = value.object({"require", "because"});
    return {read_expression(object.get("require")), object.get("because").line()};
}

std::vector<JsonValue> read_list(const JsonObject& object, std::string_view key, std::size_t at_most) {
    const auto value = object.find(key);
    if (!value) return {};
    std::vector<JsonValue> items = value->items();
    if (items.size() > at_most) value->fail(fmt::format("has {} items; at most {} are allowed", items.size(), at_most));
    return items;
}

std::string read_value_text(const JsonValue& value) {
    return value.is_text() ? value.line() : std::to_string(value.integer());
}

SpaceRestriction read_space(const JsonValue& value) {
    const JsonObject object = value.object({"values", "constraints"});
    SpaceRestriction space;
    space.where = value.where();
    if (const auto values = object.find("values")) {
        for (const auto& [parameter, list] : values->members()) {
            SpaceRestriction::Values& entry = space.values.emplace_back();
            entry.parameter = parameter;
            for (const JsonValue& item : list.items())
                entry.texts.push_back(read_value_text(item));
        }
    }
    for (const JsonValue& item : read_list(object, "constraints", kMaxExpressions)) {
        space.constraints.push_back(read_constraint(item));
    }
    return space;
}

}  // namespace attune
