// What every command is given, and the list of commands. Each lives in the file of its name.
#pragma once

#include <CLI/App.hpp>
#include <filesystem>
#include <ostream>
#include <string>

namespace attune {

/// The process's surroundings, read once in main.
struct CliContext {
    std::ostream& out;   ///< data
    std::ostream& err;   ///< progress and logs
    bool color = false;  ///< stdout may be coloured (a terminal, and NO_COLOR unset)
    bool out_is_terminal = false;
    bool err_is_terminal = false;
    int width_columns = 80;
    std::filesystem::path executable{};  ///< this very binary
    std::filesystem::path share_dir{};   ///< holds kernel_templates/ and configs/
    std::filesystem::path cache_dir{};   ///< compiled variants
    std::filesystem::path default_db{};  ///< results/attune.db unless ATTUNE_DB says otherwise
    std::string nvrtc_path{};            ///< ATTUNE_NVRTC: the NVRTC to use instead of searching
    std::filesystem::path home{};        ///< HOME, for libraries a user installed
    std::string cxx{};                   ///< CXX: the system compiler to prefer
};

/// Ends the program with a code of the contract other than 0 (done), 2 (bad input) and 3 (environment).
struct CommandExit {
    int code;
};

/// Registers every command below, in the order `--help` shows them.
void add_commands(CLI::App& app, const CliContext& context);

void add_best(CLI::App& app, const CliContext& context);
void add_cases(CLI::App& app, const CliContext& context);
void add_compile(CLI::App& app, const CliContext& context);
void add_completion(CLI::App& app, const CliContext& context);
void add_diff(CLI::App& app, const CliContext& context);
void add_doctor(CLI::App& app, const CliContext& context);
void add_export(CLI::App& app, const CliContext& context);
void add_merge(CLI::App& app, const CliContext& context);
void add_query(CLI::App& app, const CliContext& context);
void add_replay(CLI::App& app, const CliContext& context);
void add_report(CLI::App& app, const CliContext& context);
void add_restore(CLI::App& app, const CliContext& context);
void add_show(CLI::App& app, const CliContext& context);
void add_try(CLI::App& app, const CliContext& context);
void add_tune(CLI::App& app, const CliContext& context);
void add_worker(CLI::App& app, const CliContext& context);

}  // namespace attune
