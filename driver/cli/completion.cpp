// `attune completion SHELL` prints a few lines for the shell, which ask `attune complete` whenever Tab is pressed. That
// one reads the very options the program parses with, so completion cannot go stale, not even in a shell set up long
// ago.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>
#include <span>
#include <string_view>

#include "cli/cli.h"
#include "config/built_in.h"
#include "store/reader.h"

namespace attune {
namespace embedded {
extern const std::string_view completion_bash;
extern const std::string_view completion_zsh;
extern const std::string_view completion_fish;
}  // namespace embedded

namespace {

/// Candidates for the word under the cursor, each with what it means.
using Suggestions = std::vector<std::pair<std::string, std::string>>;

bool takes_value(const CLI::Option& option) {
    return option.get_items_expected_max() > 0;
}

bool is_repeatable(const CLI::Option& option) {
    return option.get_items_expected_max() > 1;
}

Suggestions names_in(const std::filesystem::path& folder) {
    Suggestions names;
    for (std::string& name : built_in_names(folder))
        names.emplace_back(std::move(name), "");
    return names;
}

/// What stands in the braces of a type name such as {table,tsv,csv,json}; `…` says that there are more.
Suggestions choices_of(const CLI::Option& option) {
    Suggestions choices;
    const std::string type = option.get_type_name();
    const auto open = type.find('{');
    const auto close = type.find('}', open);
    if (close == std::string::npos) return choices;
    for (const std::string& choice : CLI::detail::split(type.substr(open + 1, close - open - 1), ',')) {
        if (choice != "…") choices.emplace_back(choice, "");
    }
    return choices;
}

/// The words before the cursor, read as the program would read them.
class CommandLine {
  public:
    CommandLine(const CLI::App& root, std::span<const std::string> before) : command_(&root) {
        for (const std::string& word : before)
            read(word);
    }

    [[nodiscard]] const CLI::App& command() const { return *command_; }
    /// The option whose value comes next, if one does.
    [[nodiscard]] const CLI::Option* open() const { return open_; }
    [[nodiscard]] bool has_seen(const CLI::Option& option) const { return seen_.contains(&option); }
    [[nodiscard]] const std::string& database() const { return database_; }

    /// The positional argument that comes next; the last one of a command takes whatever follows.
    [[nodiscard]] const CLI::Option* positional() const {
        const auto all = command_->get_options([](const CLI::Option* option) { return option->get_positional(); });
        if (all.empty() || (positionals_ >= all.size() && !is_repeatable(*all.back()))) return nullptr;
        return all[std::min(positionals_, all.size() - 1)];
    }

  private:
    void read(const std::string& word) {
        if (open_ != nullptr) {
            if (word == "=") return;  // bash cuts --option=value in three
            if (open_->check_lname("db")) database_ = word;
            open_ = nullptr;
        } else if (word.starts_with("-") && word != "-") {
            const CLI::Option* option = command_->get_option_no_throw(word.substr(0, word.find('=')));
            if (option == nullptr) return;
            seen_.insert(option);
            if (takes_value(*option) && word.find('=') == std::string::npos) open_ = option;
        } else if (const CLI::App* next = subcommand(word)) {
            command_ = next;
        } else {
            ++positionals_;
        }
    }
    [[nodiscard]] const CLI::App* subcommand(const std::string& name) const {
        const auto found = command_->get_subcommands([&](const CLI::App* one) { return one->get_name() == name; });
        return found.empty() ? nullptr : found.front();
    }

    const CLI::App* command_;
    const CLI::Option* open_ = nullptr;
    std::set<const CLI::Option*> seen_;
    std::size_t positionals_ = 0;
    std::string database_;
};

Suggestions recorded_studies(const std::filesystem::path& database) {
    Suggestions names;
    try {
        for (const StudyInfo& study : Reader(database).studies())
            names.emplace_back(study.name, fmt::format("{}, {}", study.template_name, study.suite.name));
    } catch (const std::exception&) {
        // No database yet, or none that can be read: nothing to suggest, and Tab is no place to complain.
    }
    return names;
}

/// Values of an option or positional argument: its choices, or what its name promises.
Suggestions values_of(const CLI::Option& option, const CommandLine& line, const CliContext& context) {
    if (Suggestions choices = choices_of(option); !choices.empty()) return choices;
    if (option.check_lname("study")) {
        return recorded_studies(line.database().empty() ? context.default_db : std::filesystem::path(line.database()));
    }
    if (option.check_name("study")) return names_in(context.share_dir / "configs/studies");
    if (option.check_name("suite")) return names_in(context.share_dir / "configs/suites");
    return {};
}

Suggestions options_of(const CommandLine& line) {
    Suggestions words;
    for (const CLI::Option* option : line.command().get_options([](const CLI::Option*) { return true; })) {
        if (option->get_positional() || (line.has_seen(*option) && !is_repeatable(*option))) continue;
        for (const std::string& name : option->get_lnames())
            words.emplace_back("--" + name, option->get_description());
    }
    return words;
}

Suggestions subcommands_of(const CLI::App& app) {
    Suggestions words;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); }))
        words.emplace_back(command->get_name(), command->get_description());
    return words;
}

Suggestions suggest(const CommandLine& line, const std::string& current, const CliContext& context) {
    if (line.open() != nullptr) return values_of(*line.open(), line, context);
    if (const auto equals = current.find('='); current.starts_with("--") && equals != std::string::npos) {
        const CLI::Option* option = line.command().get_option_no_throw(current.substr(0, equals));
        Suggestions values = option != nullptr ? values_of(*option, line, context) : Suggestions();
        for (auto& [word, meaning] : values)
            word.insert(0, current.substr(0, equals + 1));
        return values;
    }
    if (current.starts_with("-")) return options_of(line);
    if (Suggestions commands = subcommands_of(line.command()); !commands.empty()) return commands;
    const CLI::Option* positional = line.positional();
    return positional != nullptr ? values_of(*positional, line, context) : options_of(line);
}

/// One candidate a line, a tab before its meaning. Nothing: the shell completes file names.
void complete(const CLI::App& root, std::vector<std::string> words, const CliContext& context) {
    if (words.empty()) words.emplace_back();
    std::string current = words.back();
    words.pop_back();
    if (current == "=") current.clear();
    const CommandLine line(root, words);
    for (const auto& [word, meaning] : suggest(line, current, context)) {
        if (word.starts_with(current)) context.out << fmt::format("{}\t{}\n", word, meaning);
    }
}

std::string_view script_of(const std::string& shell) {
    if (shell == "bash") return embedded::completion_bash;
    if (shell == "zsh") return embedded::completion_zsh;
    return embedded::completion_fish;
}

}  // namespace

void add_completion(CLI::App& app, const CliContext& context) {
    auto shell = std::make_shared<std::string>();
    CLI::App* completion = app.add_subcommand("completion", "Tab completion: source <(attune completion bash)");
    completion->add_option("shell", *shell, "whose script to print")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    completion->callback([shell, &context] { context.out << script_of(*shell); });

    auto words = std::make_shared<std::vector<std::string>>();
    CLI::App* complete_command = app.add_subcommand("complete", "used by the scripts of `completion`")->group("");
    complete_command->add_option("words", *words, "the command line up to the cursor");
    complete_command->callback([words, &app, &context] { complete(app, *words, context); });
}

}  // namespace attune
