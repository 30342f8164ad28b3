#include "cli/usage.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/suggest.h"

namespace attune {
namespace {

/// A command as it was read, with the words in it that nothing is known of.
struct Place {
    const CLI::App* command;
    std::string name;  ///< as it was written, without the program: "query"
    std::vector<std::string> unknown;
};

/// The first command that was given something unknown, else the innermost.
Place place_of(const CLI::App& app) {
    Place place{&app, {}, app.remaining()};
    while (place.unknown.empty() && !place.command->get_subcommands().empty()) {
        const CLI::App* inner = place.command->get_subcommands().front();
        place = {inner, place.name + (place.name.empty() ? "" : " ") + inner->get_name(), inner->remaining()};
    }
    return place;
}

std::string hint(const std::string& word, const std::vector<std::string>& names) {
    return name_hint(word, std::vector<std::string_view>(names.begin(), names.end()));
}

std::string unknown_command(const CLI::App& app, const std::string& word) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); }))
        names.push_back(command->get_name());
    return fmt::format("there is no command '{}'{}", word, hint(word, names));
}

std::string unknown_option(const Place& place, const std::string& word) {
    const std::string option = word.substr(0, word.find('='));
    std::vector<std::string> names;
    for (const CLI::Option* one : place.command->get_options()) {
        for (const std::string& name : one->get_lnames())
            names.push_back("--" + name);
    }
    if (place.name.empty()) return fmt::format("no option {} before the command{}", option, hint(option, names));
    return fmt::format("{} has no option {}{}", place.name, option, hint(option, names));
}

}  // namespace

const std::string_view kFirstSteps =
    "attune: name a command:\n"
    "  attune doctor                    what this machine can do\n"
    "  attune tune                      the sweep that suits it; again goes on where it stopped\n"
    "  attune best                      the winner so far\n"
    "  attune report --to morning.html  what a study found\n"
    "  attune --help                    all commands; `attune COMMAND --help` tells of one\n";

std::string usage_error(const CLI::App& app, const CLI::ParseError& error) {
    const Place place = place_of(app);
    // What was not understood says more than what is missing for it.
    const auto option = std::ranges::find_if(place.unknown, [](const std::string& word) { return word[0] == '-'; });
    if (option != place.unknown.end()) return unknown_option(place, *option);
    if (place.unknown.empty()) return fmt::format("{0}: {1}; see `attune {0} --help`", place.name, error.what());
    const std::string& word = place.unknown.front();
    if (place.command == &app) return unknown_command(app, word);
    return fmt::format("{0}: nothing is known of '{1}'; see `attune {0} --help`", place.name, word);
}

std::string shell_word(const std::string& text) {
    constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
    if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
    std::string word = "'";
    for (const char letter : text)
        word += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    return word + "'";
}

std::string db_option(const std::filesystem::path& database, const CliContext& context) {
    return database == context.default_db ? "" : " --db " + shell_word(database.string());
}

CLI::Validator some_time() {
    return CLI::Validator(
        [](const std::string& text) -> std::string {
            double value = 0.0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
            if (error == std::errc() && end == text.data() + text.size() && value > 0.0 && std::isfinite(value))
                return {};
            return fmt::format("'{}' will not do; write a number greater than 0", text);
        },
        "");
}

}  // namespace attune
