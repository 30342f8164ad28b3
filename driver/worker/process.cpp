#include "worker/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "core/error.h"

namespace attune {
namespace {

constexpr off_t kStderrTailBytes = 4096;
// No artifact is as large; a source that expands without end, or a kernel that prints without end, fills no disk.
constexpr std::int64_t kMaxFileBytes = 256 << 20;
constexpr std::chrono::seconds kUnreadSendLimit{30};
// The kernel ends a killed process at once, except one that waits inside a driver.
constexpr std::chrono::seconds kDeathLimit{30};

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kLimitAddressSpace = false;  // the sanitizer's shadow is terabytes of it
#else
constexpr bool kLimitAddressSpace = true;
#endif

/// Makes the kernel choose this process, rather than the coordinator, when the machine runs out of memory.
void volunteer_for_oom() {
    const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    [[maybe_unused]] const ssize_t written = ::write(file, "1000", 4);
    ::close(file);
}

[[noreturn]] void become_worker(const WorkerCommand& command, char* const* argv, pid_t parent, int socket,
                                int stderr_file) {
    // Between fork and exec only async-signal-safe calls are allowed: the parent has threads.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    ::setpgid(0, 0);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    // Signals a shell left ignored (nohup, background jobs) would be inherited through exec.
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
        ::signal(number, SIG_DFL);
    const auto limit = [](auto resource, std::int64_t value) {
        if (value <= 0) return;
        const rlimit bounds{static_cast<rlim_t>(value), static_cast<rlim_t>(value)};
        ::setrlimit(resource, &bounds);
    };
    if (kLimitAddressSpace) limit(RLIMIT_AS, command.address_space_bytes);
    limit(RLIMIT_FSIZE, kMaxFileBytes);
    volunteer_for_oom();
    const rlimit no_core{0, 0};  // a night of crashing kernels must not fill the disk
    ::setrlimit(RLIMIT_CORE, &no_core);

    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    ::dup2(null, STDIN_FILENO);
    ::dup2(null, STDOUT_FILENO);
    ::dup2(stderr_file, STDERR_FILENO);
    if (socket == kWorkerChannel) {
        ::fcntl(socket, F_SETFD, 0);
    } else {
        ::dup2(socket, kWorkerChannel);
    }
    ::execv(command.executable.c_str(), argv);
    ::_exit(127);
}

std::string tail_of(int file) {
    const off_t size = ::lseek(file, 0, SEEK_END);
    if (size <= 0) return {};
    const off_t start = std::max<off_t>(0, size - kStderrTailBytes);
    std::string text(static_cast<std::size_t>(size - start), '\0');
    const ssize_t got = ::pread(file, text.data(), text.size(), start);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    return text;
}

std::string describe_end(int wait_status) {
    if (WIFSIGNALED(wait_status)) {
        const int signal = WTERMSIG(wait_status);
        return fmt::format("killed by signal {} ({})", signal, ::strsignal(signal));
    }
    return fmt::format("exited with code {}", WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1);
}

bool reap_within(pid_t pid, int& status, std::chrono::milliseconds limit) {
    const auto deadline = Channel::Clock::now() + limit;
    while (::waitpid(pid, &status, WNOHANG) != pid) {
        if (Channel::Clock::now() >= deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

}  // namespace

void die_with_children() {
    ::signal(SIGUSR1, [](int) { ::kill(0, SIGKILL); });
    // Until here the parent's death meant SIGKILL, so there is no moment at which it goes unnoticed.
    ::prctl(PR_SET_PDEATHSIG, SIGUSR1);
    // A scheduler sends its stop to every process of a job. What to do about it is the coordinator's to decide; a
    // worker that obeyed would make a crash of whatever it was compiling.
    ::signal(SIGTERM, SIG_IGN);
}

WorkerProcess WorkerProcess::start(const WorkerCommand& command) {
    int sockets[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
        throw EnvironmentError(
            fmt::format("cannot start a worker: socketpair: {}; raise the limit on open files "
                        "(ulimit -n)",
                        std::strerror(errno)));
    }
    Channel ours(sockets[0]);
    Channel theirs(sockets[1]);
    ours.limit_sends(kUnreadSendLimit);
    const int stderr_file = ::memfd_create("worker-stderr", MFD_CLOEXEC);

    std::vector<std::string> words{"attune"};  // as people see it in ps
    words.insert(words.end(), command.arguments.begin(), command.arguments.end());
    std::vector<char*> argv;
    for (auto& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);

    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) {
        if (stderr_file >= 0) ::close(stderr_file);
        throw EnvironmentError(fmt::format("cannot start a worker: fork: {}; raise the limit on processes (ulimit -u)",
                                           std::strerror(errno)));
    }
    if (pid == 0) become_worker(command, argv.data(), parent, sockets[1], stderr_file);
    ::setpgid(pid, pid);  // also here, so that stop() can signal the group before the child ran
    return WorkerProcess(pid, std::move(ours), stderr_file);
}

WorkerProcess::WorkerProcess(pid_t pid, Channel channel, int stderr_file)
    : pid_(pid), channel_(std::move(channel)), stderr_file_(stderr_file) {}

WorkerProcess::~WorkerProcess() {
    stop();
    if (stderr_file_ >= 0) ::close(stderr_file_);
}

WorkerProcess::WorkerProcess(WorkerProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      channel_(std::move(other.channel_)),
      stderr_file_(std::exchange(other.stderr_file_, -1)) {}

WorkerProcess& WorkerProcess::operator=(WorkerProcess&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(channel_, other.channel_);
    std::swap(stderr_file_, other.stderr_file_);
    return *this;
}

void WorkerProcess::kill_group() const {
    if (pid_ > 0) ::kill(-pid_, SIGKILL);
}

std::string WorkerProcess::stop(std::chrono::milliseconds grace) {
    if (pid_ <= 0) return "was not running";
    int status = 0;
    const bool died_itself = reap_within(pid_, status, grace);
    kill_group();  // a compiler may have children of its own
    const bool ended = died_itself || reap_within(pid_, status, kDeathLimit);
    pid_ = -1;
    const std::string end = died_itself ? describe_end(status)
                            : ended     ? "stopped by the coordinator"
                                        : "does not even die when killed: its driver hangs, and only a reboot may help";
    const std::string words = stderr_file_ >= 0 ? tail_of(stderr_file_) : std::string();
    return words.empty() ? end : fmt::format("{}; its last words: {}", end, words);
}

}  // namespace attune
