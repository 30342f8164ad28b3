// Tab completion: that it knows every command and option, and what real shells make of it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "core/shell.h"

namespace attune {
namespace {

std::set<std::string> first_group(const std::string& text, const std::string& pattern) {
    std::set<std::string> found;
    const std::regex regex(pattern, std::regex::multiline);
    for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match)
        found.insert((*match)[1].str());
    return found;
}

TEST(Completion, KnowsEveryCommandAndEveryOptionOfTheHelp) {
    const std::string help = shell(std::string(ATTUNE_BINARY) + " --help").output();
    const auto commands = first_group(help.substr(help.find("Subcommands")), "^  ([a-z]+) ");
    EXPECT_GE(commands.size(), 15U) << help;
    EXPECT_EQ(first_group(shell(std::string(ATTUNE_BINARY) + " complete -- ''").output(), "^([^\t\n]+)\t"), commands);
    for (const std::string& command : commands) {
        const std::string options = shell(fmt::format("{} {} --help", ATTUNE_BINARY, command)).output();
        EXPECT_EQ(
            first_group(shell(fmt::format("{} complete -- {} -", ATTUNE_BINARY, command)).output(), "^(--[^\t\n]+)\t"),
            first_group(options, "^  (?:-[a-z],)?(--[a-z-]+)"))
            << command;
    }
}

TEST(Completion, AnUnknownShellIsBadInput) {
    const Ran ran = shell(std::string(ATTUNE_BINARY) + " completion tcsh");
    EXPECT_EQ(ran.code, 2);
    EXPECT_THAT(ran.output(), testing::HasSubstr("bash"));
}

class InShell : public testing::TestWithParam<const char*> {};

TEST_P(InShell, TabCompletesTheLine) {
    if (shell(fmt::format("command -v {}", GetParam())).code != 0) GTEST_SKIP() << "no " << GetParam() << " here";
    const Ran ran =
        shell(fmt::format(ATTUNE_TEST_PYTHON " {0}/tests/cli/complete_in_shells.py {1} {2} {0}/results/h200/attune.db",
                          ATTUNE_SOURCE_DIR, ATTUNE_BINARY, GetParam()));
    EXPECT_EQ(ran.code, 0) << ran.output();
}

INSTANTIATE_TEST_SUITE_P(Shells, InShell, testing::Values("bash", "zsh", "fish"),
                         [](const auto& shell_info) { return std::string(shell_info.param); });

}  // namespace
}  // namespace attune
