#include "backend/cpu/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>

#include "core/clipped_text.h"
#include "core/error.h"

namespace attune::cpu {
namespace {

constexpr std::string_view kRaiseLimits = "raise the limits on processes and open files (ulimit -u, ulimit -n)";

std::string reason(int error) {
    return std::generic_category().message(error);
}

/// An unnamed file in memory that collects a child's output; a pipe would need a thread to drain it.
class OutputFile {
  public:
    OutputFile() : descriptor_(memfd_create("output", MFD_CLOEXEC)) {
        if (descriptor_ < 0)
            throw EnvironmentError(
                fmt::format("cannot start a program: memfd_create: {}; {}", reason(errno), kRaiseLimits));
    }
    ~OutputFile() { close(descriptor_); }
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    [[nodiscard]] int descriptor() const { return descriptor_; }
    [[nodiscard]] std::string read_clipped() const {
        ClippedText text(kMostLogBytes);
        std::array<char, kMostLogBytes> part{};
        off_t position = 0;
        ssize_t count = 0;
        while ((count = pread(descriptor_, part.data(), part.size(), position)) > 0) {
            text.append({part.data(), static_cast<std::size_t>(count)});
            position += count;
        }
        return text.text();
    }

  private:
    int descriptor_;
};

class FileActions {
  public:
    FileActions(const OutputFile& output, const std::filesystem::path& folder) {
        posix_spawn_file_actions_init(&actions_);
        posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions_, output.descriptor(), STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions_, output.descriptor(), STDERR_FILENO);
        posix_spawn_file_actions_addchdir_np(&actions_, folder.c_str());
    }
    ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;
    [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

  private:
    posix_spawn_file_actions_t actions_{};
};

std::vector<std::string> child_environment(const std::filesystem::path& folder) {
    std::vector<std::string> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view variable = *entry;
        if (!variable.starts_with("LC_ALL=") && !variable.starts_with("TMPDIR=")) variables.emplace_back(variable);
    }
    variables.emplace_back("LC_ALL=C");
    variables.emplace_back("TMPDIR=" + folder.string());
    return variables;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (std::string& text : texts)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

}  // namespace

CommandResult run_command(const std::vector<std::string>& arguments, const std::filesystem::path& folder) {
    std::vector<std::string> argument_texts = arguments;
    std::vector<std::string> environment_texts = child_environment(folder);
    const OutputFile output;
    const FileActions actions(output, folder);

    pid_t pid = -1;
    const int error = posix_spawnp(&pid, argument_texts.front().c_str(), actions.get(), nullptr,
                                   pointers(argument_texts).data(), pointers(environment_texts).data());
    if (error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE) {
        throw EnvironmentError(fmt::format("cannot start {}: {}; {}", arguments.front(), reason(error), kRaiseLimits));
    }
    if (error != 0) return {false, -1, 0, reason(error)};

    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    CommandResult result;
    result.started = true;
    if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    result.output = output.read_clipped();
    return result;
}

}  // namespace attune::cpu
