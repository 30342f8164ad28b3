// A child process of this very program, tied to its parent's life.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "worker/channel.h"

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

    [[nodiscard]] Channel& channel() { return channel_; }
    [[nodiscard]] pid_t pid() const { return pid_; }
    /// SIGKILL to the worker and all it started; the channel closes soon after.
    void kill_group() const;

    /// Kills the process group and says how the worker ended: "killed by signal 11 (Segmentation fault)", with the last
    /// lines it wrote to stderr. A worker that is dying already is given `grace` to do so, so that the cause is its
    /// own. One that a hung driver keeps from dying at all is left behind after a while.
    std::string stop(std::chrono::milliseconds grace = std::chrono::milliseconds(0));

  private:
    WorkerProcess(pid_t pid, Channel channel, int stderr_file);
    pid_t pid_ = -1;
    Channel channel_;
    int stderr_file_ = -1;  ///< an unlinked file: a pipe could fill and block a chatty kernel
};

}  // namespace attune
