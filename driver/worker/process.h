// A child process of this very program, tied to its parent's life.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "worker/channel.h"
#include "worker/last_words.h"

namespace attune {

/// How a worker is started.
struct WorkerCommand {
    std::vector<std::string> arguments;  ///< after the program's own path: {"worker", "compile", …}
    std::filesystem::path executable;    ///< normally /proc/self/exe
    std::int64_t address_space_bytes =
        0;  ///< RLIMIT_AS, also of what it starts; 0: unlimited (a CUDA context needs that)
};

/// Descriptor number of the channel inside a worker.
inline constexpr int kWorkerChannel = 3;

/// For a worker that starts programs of its own: from now on the coordinator's death takes them along, where otherwise
/// it would take the worker alone and leave, say, an endless compile behind.
void die_with_children();

/// Owns a running worker. It is killed, with its whole process group, on destruction; the kernel kills it when the
/// coordinator dies first, however that died.
class WorkerProcess {
  public:
    /// Throws EnvironmentError when no process can be started.
    static WorkerProcess start(const WorkerCommand& command);

    ~WorkerProcess();
    WorkerProcess(WorkerProcess&& other) noexcept;
    WorkerProcess& operator=(WorkerProcess&& other) noexcept;

    /// As the channel's. What the worker writes to stderr from one send to the next is what its end is explained with.
    [[nodiscard]] bool send(const nlohmann::json& message);
    [[nodiscard]] Frame receive(Channel::Clock::time_point deadline);
    [[nodiscard]] pid_t pid() const { return pid_; }
    /// SIGKILL to the worker and all it started; the channel closes soon after.
    void kill_group() const;

    /// Kills the process group and says how the worker ended: "killed by signal 11 (Segmentation fault)", with what it
    /// wrote to stderr since the last send. A worker that is dying already is given `grace` to do so, so that the cause
    /// is its own. One that a hung driver keeps from dying at all is left behind after a while.
    std::string stop(std::chrono::milliseconds grace = std::chrono::milliseconds(0));

  private:
    WorkerProcess(pid_t pid, Channel channel, LastWords words);
    pid_t pid_ = -1;
    Channel channel_;
    LastWords words_;
};

}  // namespace attune
