// Real runs of the built program, and what they must leave behind.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/temp_folder.h"

namespace attune::testing {

struct Ended {
    int code = -1;  ///< -1 when a signal ended it
    int signal = 0;
    std::string err;  ///< stderr
};

/// A running program in a process group of its own, its stdout and stderr in files.
class Program {
  public:
    Program(
        const std::vector<std::string>& words, const std::map<std::string, std::string>& environment,
        std::filesystem::path log, const std::function<void()>& in_child = [] {})
        : log_(std::move(log)) {
        std::vector<std::string> arguments = words;
        std::vector<char*> argv;
        for (std::string& word : arguments)
            argv.push_back(word.data());
        argv.push_back(nullptr);
        pid_ = ::fork();
        if (pid_ < 0) throw std::runtime_error("fork failed");
        if (pid_ > 0) return;
        for (const auto& [name, value] : environment)
            ::setenv(name.c_str(), value.c_str(), 1);
        const int out = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ::setpgid(0, 0);
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that is killed leaves nothing behind either
        ::dup2(out, STDOUT_FILENO);
        ::dup2(out, STDERR_FILENO);
        in_child();
        ::execv(argv.front(), argv.data());
        ::_exit(127);
    }
    ~Program() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        (void)wait();
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    void signal(int number) const { ::kill(pid_, number); }

    /// Whether it is still running after `time`.
    [[nodiscard]] bool runs_for(std::chrono::milliseconds time) {
        const auto deadline = std::chrono::steady_clock::now() + time;
        do {
            if (::waitpid(pid_, &status_, WNOHANG) == pid_) {
                reaped_ = true;
                return false;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        } while (std::chrono::steady_clock::now() < deadline);
        return true;
    }

    Ended wait() {
        while (!reaped_ && ::waitpid(pid_, &status_, 0) != pid_) {
        }
        pid_ = -1;
        Ended ended;
        if (WIFEXITED(status_)) ended.code = WEXITSTATUS(status_);
        if (WIFSIGNALED(status_)) ended.signal = WTERMSIG(status_);
        ended.err = read_file(log_);
        return ended;
    }

  private:
    std::filesystem::path log_;
    pid_t pid_ = -1;
    int status_ = 0;
    bool reaped_ = false;
};

/// A file beside the fault templates.
inline std::string data(const std::string& name) {
    return std::string(ATTUNE_SOURCE_DIR) + "/tests/faults/templates/" + name;
}

/// A folder with a database and a cache, and a mark in the environment by which every process that was started for it,
/// however indirectly, is found again.
class Workshop {
  public:
    Workshop() : mark_("ATTUNE_TEST_MARK=" + folder_.path().string()) {}

    [[nodiscard]] std::filesystem::path path(const std::string& name) const { return folder_.path() / name; }
    [[nodiscard]] std::filesystem::path database() const { return path("results/attune.db"); }
    [[nodiscard]] std::filesystem::path cache() const { return path("cache"); }

    [[nodiscard]] std::map<std::string, std::string> environment() const {
        return {{"ATTUNE_TEST_MARK", folder_.path().string()},
                {"ATTUNE_CACHE", cache().string()},
                {"ATTUNE_DB", database().string()},
                {"OMP_NUM_THREADS", "1"}};
    }
    [[nodiscard]] Program start(
        const std::vector<std::string>& words, const std::function<void()>& in_child = [] {}) const {
        std::vector<std::string> all{ATTUNE_BINARY};
        all.insert(all.end(), words.begin(), words.end());
        return Program(all, environment(), path("log.txt"), in_child);
    }
    Ended run(
        const std::vector<std::string>& words, const std::function<void()>& in_child = [] {}) const {
        return start(words, in_child).wait();
    }

    /// Processes of this workshop whose command line holds `words`, zombies left out.
    [[nodiscard]] std::vector<pid_t> processes(const std::string& words = {}) const {
        std::vector<pid_t> found;
        for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
            const std::string name = entry.path().filename().string();
            if (name.find_first_not_of("0123456789") != std::string::npos) continue;
            if (read_file(entry.path() / "environ").find(mark_) == std::string::npos) continue;
            std::string command = read_file(entry.path() / "cmdline");
            std::replace(command.begin(), command.end(), '\0', ' ');
            if (command.find(words) != std::string::npos) found.push_back(static_cast<pid_t>(std::stol(name)));
        }
        return found;
    }
    /// Whether every process of this workshop is gone soon: a killed one takes its moment.
    [[nodiscard]] bool is_deserted() const {
        for (int attempt = 0; attempt < 2000; ++attempt) {
            if (processes().empty()) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        return false;
    }

    /// What is left in the cache's scratch folder.
    [[nodiscard]] std::vector<std::string> scratch() const {
        std::vector<std::string> names;
        std::error_code missing;
        for (const auto& entry : std::filesystem::directory_iterator(cache() / "tmp", missing)) {
            names.push_back(entry.path().filename().string());
        }
        return names;
    }

    /// Fills the cache with the variants of healthy.json, compiled once a build folder and edition of their template:
    /// most tests are about something else than compiling.
    void warm_cache() const {
        namespace fs = std::filesystem;
        const std::size_t edition = std::hash<std::string>{}(read_file(data("cpu_faults/kernel.cpp")) +
                                                             read_file(data("cpu_faults/template.json")));
        const fs::path shared = fs::path(ATTUNE_BINARY).parent_path() / ("test-cache-" + std::to_string(edition));
        if (!fs::exists(shared)) {
            const Ended ended = run({"tune", data("healthy.json"), "--device", "cpu"});
            if (ended.code != 0) throw std::runtime_error(ended.err);
            const fs::path mine = shared.string() + "." + std::to_string(::getpid());
            fs::copy(cache(), mine, fs::copy_options::recursive);
            std::error_code another_test_was_quicker;
            fs::rename(mine, shared, another_test_was_quicker);
            if (another_test_was_quicker) fs::remove_all(mine);
            fs::remove_all(path("results"));
        }
        fs::remove_all(cache());
        fs::copy(shared, cache(), fs::copy_options::recursive);
    }

  private:
    TempFolder folder_;
    std::string mark_;
};

}  // namespace attune::testing
