// The coordinator's end of one worker after another: asks under a deadline, and replaces what cannot be trusted any
// more.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/outcome.h"
#include "worker/process.h"

namespace attune {

/// One thread starts and asks; `interrupt` and `pid` may come from any other.
class WorkerLink {
  public:
    /// `role` is how diagnostics call the worker: "the compile worker".
    WorkerLink(WorkerCommand command, std::string role) : command_(std::move(command)), role_(std::move(role)) {}

    [[nodiscard]] bool running() const { return process_.has_value(); }
    /// Starts a worker, in place of the one that runs. EnvironmentError when none can be started, or after interrupt().
    void start();
    /// Ends the worker, if there is one.
    void stop();

    /// One request, one answer, which `read` takes apart; it may throw nlohmann::json::exception. Nothing when all went
    /// well, else why not. Whatever keeps an answer from coming, or from making sense, costs the worker its life:
    /// nothing about its state can be trusted then. EnvironmentError or ArtifactMissing when that is what the worker
    /// answers.
    [[nodiscard]] std::optional<Failure> ask(const nlohmann::json& request, double timeout_s,
                                             const std::function<void(const nlohmann::json&)>& read);

    /// Sends a request to the worker that runs; the next ask(), which must be of the same, takes its answer. So several
    /// workers think at the same time while one thread waits.
    void ask_ahead(const nlohmann::json& request);

    /// Kills the worker for good: the question in flight fails soon, and so does every later start.
    void interrupt();
    /// Sleeps; at most until interrupt().
    void pause(std::chrono::duration<double> time);
    /// Process id of the live worker, -1 when there is none.
    [[nodiscard]] pid_t pid();

  private:
    [[nodiscard]] Failure discard(Outcome outcome, const std::string& what, std::chrono::milliseconds grace = {});

    WorkerCommand command_;
    std::string role_;
    std::mutex mutex_;  ///< guards process_ and interrupted_ against interrupt() and pid()
    std::condition_variable wake_;
    std::optional<WorkerProcess> process_;
    bool interrupted_ = false;
    bool asked_ahead_ = false;  ///< the running worker has the next ask's request
};

}  // namespace attune
