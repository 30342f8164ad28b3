#include "core/outcome.h"

#include <array>

namespace attune {
namespace {

template <class Enum>
struct Name {
    Enum value;
    std::string_view text;
};

constexpr std::array kStatusNames{Name<Status>{Status::keep, "keep"}, Name<Status>{Status::discard, "discard"},
                                  Name<Status>{Status::crash, "crash"}};

constexpr std::array kOutcomeNames{
    Name<Outcome>{Outcome::ok, "ok"},
    Name<Outcome>{Outcome::compile_error, "compile_error"},
    Name<Outcome>{Outcome::launch_error, "launch_error"},
    Name<Outcome>{Outcome::incorrect, "incorrect"},
    Name<Outcome>{Outcome::timeout, "timeout"},
    Name<Outcome>{Outcome::crash, "crash"},
    Name<Outcome>{Outcome::pruned, "pruned"},
};

template <class Names, class Enum>
std::string_view name_of(const Names& names, Enum value) {
    for (const auto& name : names) {
        if (name.value == value) return name.text;
    }
    return "?";
}

template <class Names>
auto value_of(const Names& names, std::string_view text) -> std::optional<decltype(names[0].value)> {
    for (const auto& name : names) {
        if (name.text == text) return name.value;
    }
    return std::nullopt;
}

}  // namespace

std::string_view to_string(Status status) {
    return name_of(kStatusNames, status);
}
std::string_view to_string(Outcome outcome) {
    return name_of(kOutcomeNames, outcome);
}
std::optional<Status> parse_status(std::string_view text) {
    return value_of(kStatusNames, text);
}
std::optional<Outcome> parse_outcome(std::string_view text) {
    return value_of(kOutcomeNames, text);
}

}  // namespace attune
