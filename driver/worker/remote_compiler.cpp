#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "worker/codec.h"
#include "worker/deadline.h"
#include "worker/remote.h"

namespace attune {
namespace {

// Compilers leak; a fresh process now and then keeps a long night's memory flat and costs one start in a hundred.
constexpr int kCompilesPerProcess = 100;

}  // namespace

RemoteCompiler::RemoteCompiler(WorkerCommand command, double timeout_s)
    : command_(std::move(command)), timeout_s_(timeout_s) {}

void RemoteCompiler::interrupt() {
    const std::lock_guard lock(process_mutex_);
    if (process_) process_->kill_group();
}

void RemoteCompiler::ensure_worker() {
    if (process_ && compiles_ < kCompilesPerProcess) return;
    const std::lock_guard lock(process_mutex_);
    process_.reset();
    process_ = WorkerProcess::start(command_);
    compiles_ = 0;
}

Result<Artifact> RemoteCompiler::compile(const CompileJob& job) {
    ensure_worker();
    ++compiles_;
    const auto fail = [&](Outcome outcome, const std::string& what, std::chrono::milliseconds grace) -> Failure {
        const std::lock_guard lock(process_mutex_);
        const std::string end = process_->stop(grace);
        process_.reset();
        return {outcome, fmt::format("{}; the compiler {}", what, end)};
    };
    if (!process_->channel().send({{"job", job}})) {
        return fail(Outcome::crash, "the compile worker could not be reached", kDyingGrace);
    }
    Frame frame = process_->channel().receive(deadline_after(timeout_s_));
    if (const auto* end = std::get_if<ChannelEnd>(&frame)) {
        if (*end == ChannelEnd::timed_out) {
            return fail(Outcome::timeout, fmt::format("compile took longer than {} s", timeout_s_), {});
        }
        return fail(Outcome::compile_error, "the compile worker died while compiling", kDyingGrace);
    }
    const auto& answer = std::get<nlohmann::json>(frame);
    if (answer.contains("environment")) throw EnvironmentError(answer.at("environment").get<std::string>());
    if (answer.contains("failure")) return answer.at("failure").get<Failure>();
    return answer.at("artifact").get<Artifact>();
}

}  // namespace attune
