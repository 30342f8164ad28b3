// The backend seam on the coordinator's side: the same interfaces, answered by a worker process under a deadline.
#pragma once

#include <optional>
#include <set>

#include "backend/backend.h"
#include "core/error.h"
#include "worker/link.h"

namespace attune {

/// A device that cannot be brought back: the study goes on with the others, or stops.
class DeviceLost : public EnvironmentError {
  public:
    using EnvironmentError::EnvironmentError;
};

/// Compiles in a child process. A compiler that crashes, hangs past `timeout_s` or runs out of its memory limit is a
/// Failure of the candidate; the next compile gets a fresh process.
class RemoteCompiler : public Compiler {
  public:
    RemoteCompiler(WorkerCommand command, double timeout_s);
    [[nodiscard]] Result<Artifact> compile(const CompileJob& job) override;
    /// Kills the worker for good: the compile in flight returns a Failure, later ones throw EnvironmentError.
    void interrupt() override;

  private:
    WorkerLink link_;
    double timeout_s_;
    int compiles_ = 0;  ///< by the current process
};

/// Deadlines of a device worker's answers.
struct DeviceDeadlines {
    double request_s = 10.0;  ///< one check, or one batch of samples
    double open_s = 300.0;    ///< context, cases, references
    double retry_s = 1.0;     ///< before the second start of a worker; four times as long before each later one
};

/// Runs a device in a child process. A candidate that kills, hangs or poisons the worker is a Failure; the worker is
/// replaced and its suite opened again before the next call, with nothing loaded (`holds`): what may have killed one
/// worker is not given to the next behind the caller's back. DeviceLost when that keeps failing.
class RemoteDevice : public Device {
  public:
    RemoteDevice(WorkerCommand command, DeviceDeadlines deadlines, std::string label);

    /// Starts the worker and sets a call going, which must be the next one made: it then only waits. So the devices of
    /// a machine start side by side, and no thread starts a worker that would die with the thread.
    void begin_target();

    [[nodiscard]] TargetFacts target() override;
    [[nodiscard]] EnvironmentFacts environment() override;
    void open_suite(const Suite& suite) override;
    [[nodiscard]] bool holds(Slot slot) override;
    [[nodiscard]] Result<bool> load(Slot slot, const Variant& variant) override;
    [[nodiscard]] Result<CheckReport> check(Slot slot, std::size_t case_index, Draw draw) override;
    [[nodiscard]] Result<Samples> time(Slot slot, std::size_t case_index, const SampleRequest& request) override;
    [[nodiscard]] Result<PairedSamples> pair(std::size_t case_index, int pairs) override;

    /// "cuda:0"
    [[nodiscard]] const std::string& label() const { return label_; }
    /// Kills the worker for good: the call in flight returns a Failure, later ones throw DeviceLost.
    void interrupt() override;
    /// Process id of the live worker, -1 when there is none. For tests that kill it.
    [[nodiscard]] pid_t worker_pid();

  private:
    template <class T>
    [[nodiscard]] Result<T> ask(const nlohmann::json& request, double timeout_s);
    template <class T>
    [[nodiscard]] T ask_until_answered(const nlohmann::json& request);
    void require(const nlohmann::json& request);
    void ensure_worker();
    void start_worker();

    WorkerLink link_;
    DeviceDeadlines deadlines_;
    std::string label_;
    std::optional<Suite> suite_;
    std::set<Slot> loaded_;  ///< slots that the present worker, or the last one, has filled
    bool started_once_ = false;
};

}  // namespace attune
