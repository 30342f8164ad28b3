#include "worker/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "core/error.h"

namespace attune {
namespace {

// No artifact is as large; a source that expands without end fills no disk.
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

/// Owns a file descriptor.
class Descriptor {
  public:
    explicit Descriptor(int value) : value_(value) {}
    ~Descriptor() { close(); }
    Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
    Descriptor& operator=(Descriptor&&) = delete;
    [[nodiscard]] int get() const { return value_; }
    [[nodiscard]] int release() { return std::exchange(value_, -1); }
    void close() {
        if (value_ >= 0) ::close(release());
    }

  private:
    int value_;
};

struct Pipe {
    Descriptor read, write;
};

EnvironmentError cannot_start(std::string_view what, int reason, std::string_view remedy) {
    return EnvironmentError(fmt::format("cannot start a worker: {}: {}; {}", what, std::strerror(reason), remedy));
}

constexpr std::string_view kRaiseOpenFiles = "raise the limit on open files (ulimit -n)";

Pipe make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw cannot_start("pipe", errno, kRaiseOpenFiles);
    return {Descriptor(ends[0]), Descriptor(ends[1])};
}

/// `failed_exec` hears the reason when the program cannot be run, and nothing but its end when it can.
[[noreturn]] void become_worker(const WorkerCommand& command, char* const* argv, pid_t parent, int socket, int words,
                                int failed_exec) {
    // Between fork and exec only async-signal-safe calls are allowed: the parent has threads.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    ::setpgid(0, 0);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    // A terminal and a scheduler send their stop to every process of a job. What to do about it is the coordinator's
    // to decide: a worker that obeyed, or a compiler of its, would make a crash of what it was at.
    for (const int number : {SIGINT, SIGTERM, SIGHUP})
        ::signal(number, SIG_IGN);
    ::signal(SIGPIPE, SIG_DFL);
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
    ::dup2(words, STDERR_FILENO);
    if (socket == kWorkerChannel) {
        ::fcntl(socket, F_SETFD, 0);
    } else {
        ::dup2(socket, kWorkerChannel);
    }
    ::execv(command.executable.c_str(), argv);
    const int reason = errno;
    [[maybe_unused]] const ssize_t written = ::write(failed_exec, &reason, sizeof reason);
    ::_exit(127);
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
}

WorkerProcess WorkerProcess::start(const WorkerCommand& command) {
    int sockets[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
        throw cannot_start("socketpair", errno, kRaiseOpenFiles);
    }
    Channel ours(sockets[0]);
    Channel theirs(sockets[1]);
    ours.limit_sends(kUnreadSendLimit);
    Pipe words = make_pipe();
    Pipe failed_exec = make_pipe();

    std::vector<std::string> arguments{"attune"};  // as people see it in ps
    arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
    std::vector<char*> argv;
    for (auto& argument : arguments)
        argv.push_back(argument.data());
    argv.push_back(nullptr);

    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) throw cannot_start("fork", errno, "raise the limit on processes (ulimit -u)");
    if (pid == 0) become_worker(command, argv.data(), parent, sockets[1], words.write.get(), failed_exec.write.get());
    ::setpgid(pid, pid);  // also here, so that stop() can signal the group before the child ran
    WorkerProcess worker(pid, std::move(ours), LastWords(words.read.release()));

    failed_exec.write.close();  // exec closes the worker's, so that the read ends
    int reason = 0;
    if (::read(failed_exec.read.get(), &reason, sizeof reason) == sizeof reason) {
        throw cannot_start(command.executable.string(), reason, "free memory, or see that the file is there");
    }
    return worker;
}

WorkerProcess::WorkerProcess(pid_t pid, Channel channel, LastWords words)
    : pid_(pid), channel_(std::move(channel)), words_(std::move(words)) {}

WorkerProcess::~WorkerProcess() {
    stop();
}

WorkerProcess::WorkerProcess(WorkerProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), channel_(std::move(other.channel_)), words_(std::move(other.words_)) {}

WorkerProcess& WorkerProcess::operator=(WorkerProcess&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(channel_, other.channel_);
    std::swap(words_, other.words_);
    return *this;
}

bool WorkerProcess::send(const nlohmann::json& message) {
    words_.forget();
    return channel_.send(message);
}

Frame WorkerProcess::receive(Channel::Clock::time_point deadline) {
    return channel_.receive(deadline, &words_);
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
    words_.listen_to_the_end();
    const std::string words = words_.text();
    return words.empty() ? end : fmt::format("{}; its last words: {}", end, words);
}

}  // namespace attune
