// Runs a program to its end, without a shell.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace attune::cpu {

struct CommandResult {
    bool started = false;
    int exit_code = -1;  ///< -1 when a signal ended it
    int signal = 0;
    std::string output;  ///< stdout and stderr, clipped (core/clipped_text.h), or why it did not start

    [[nodiscard]] bool ok() const { return started && exit_code == 0; }
};

/// Runs `arguments` (the first is looked up in PATH) in `folder`, its temporary files there too, stdin empty, messages
/// in English. EnvironmentError when the machine has no more processes or descriptors.
[[nodiscard]] CommandResult run_command(const std::vector<std::string>& arguments, const std::filesystem::path& folder);

}  // namespace attune::cpu
