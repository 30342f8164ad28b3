// What people write on a command line: what is wrong with it, and the commands that are told to them in turn.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <filesystem>
#include <string>

#include "cli/cli.h"

namespace attune {

/// One line on why `error` was thrown and what to write instead, after "attune: ".
[[nodiscard]] std::string usage_error(const CLI::App& app, const CLI::ParseError& error);

/// What a person may do first, for whoever names no command.
extern const std::string_view kFirstSteps;

/// `text` as one word of a shell.
[[nodiscard]] std::string shell_word(const std::string& text);

/// " --db FILE" for a command that is to read `database`; empty where it does so unasked.
[[nodiscard]] std::string db_option(const std::filesystem::path& database, const CliContext& context);

/// Accepts numbers of type `Number` from `least` on.
template <class Number>
[[nodiscard]] CLI::Validator at_least(Number least) {
    return CLI::Validator(
        [least](const std::string& text) -> std::string {
            Number value{};
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
            if (error == std::errc() && end == text.data() + text.size() && value >= least) return {};
            return fmt::format("'{}' will not do; write a whole number from {} on", text, least);
        },
        "");
}

/// Accepts numbers of hours or seconds: more than none.
[[nodiscard]] CLI::Validator some_time();

}  // namespace attune
