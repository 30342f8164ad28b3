// Runs the built program as a person does: into a pipe, or on a terminal of some width.
#pragma once

#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/shell.h"

namespace attune::testing {

/// Reads a terminal until the program at its other end has gone.
inline std::string read_terminal(int terminal) {
    std::string text;
    char part[4096];
    for (ssize_t got = 0; (got = ::read(terminal, part, sizeof part)) > 0;)
        text.append(part, static_cast<std::size_t>(got));
    return text;
}

/// Where stdout of the program goes: a terminal that is `columns` wide, or for 0 a file.
inline Ran run_attune(const std::vector<std::string>& arguments, const std::filesystem::path& database,
                      int columns = 0) {
    const TempFolder folder;
    const std::filesystem::path out = folder.path() / "out";
    const std::filesystem::path err = folder.path() / "err";
    int terminal = -1;
    int end = -1;
    if (columns > 0) {
        termios raw{};
        ::cfmakeraw(&raw);  // no \r before \n
        const winsize size{50, static_cast<unsigned short>(columns), 0, 0};
        if (::openpty(&terminal, &end, nullptr, &raw, &size) != 0) throw std::runtime_error("no terminal");
    } else {
        end = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    }
    std::vector<std::string> words{ATTUNE_BINARY};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::setenv("ATTUNE_DB", database.c_str(), 1);
        ::setenv("NO_COLOR", "1", 1);
        ::dup2(end, STDOUT_FILENO);
        ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), STDERR_FILENO);
        ::execv(argv.front(), argv.data());
        ::_exit(127);
    }
    ::close(end);
    Ran ran;
    if (terminal >= 0) {
        ran.out = read_terminal(terminal);
        ::close(terminal);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ran.code = exit_code(status);
    if (terminal < 0) ran.out = read_file(out);
    ran.err = read_file(err);
    return ran;
}

}  // namespace attune::testing
