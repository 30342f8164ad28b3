// What a shell command, or the built program, answered.
#pragma once

#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "core/temp_folder.h"

namespace attune {

struct Ran {
    int code = -1;  ///< -1 when a signal ended it
    std::string out;
    std::string err;

    /// Both streams, one after the other.
    [[nodiscard]] std::string output() const { return out + err; }
    /// Of stdout.
    [[nodiscard]] std::vector<std::string> lines() const {
        std::vector<std::string> result;
        std::istringstream stream(out);
        for (std::string line; std::getline(stream, line);)
            result.push_back(line);
        return result;
    }
};

/// The exit code in what `waitpid` or `std::system` gave; -1 when a signal ended the process.
inline int exit_code(int wait_status) {
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
}

/// Runs `command` in /bin/sh and waits for it.
inline Ran shell(const std::string& command) {
    const TempFolder folder;
    const std::string out = (folder.path() / "out").string();
    const std::string err = (folder.path() / "err").string();
    const int status = std::system(fmt::format("({}\n) > {} 2> {}", command, out, err).c_str());
    return {exit_code(status), read_file(out), read_file(err)};
}

}  // namespace attune
