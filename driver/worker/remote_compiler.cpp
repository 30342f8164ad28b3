#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "worker/codec.h"
#include "worker/remote.h"

namespace attune {
namespace {

// Compilers leak; a fresh process now and then keeps a long night's memory flat and costs one start in a hundred.
constexpr int kCompilesPerProcess = 100;

}  // namespace

RemoteCompiler::RemoteCompiler(WorkerCommand command, double timeout_s)
    : link_(std::move(command), "the compile worker"), timeout_s_(timeout_s) {}

void RemoteCompiler::interrupt() {
    link_.interrupt();
}

Result<Artifact> RemoteCompiler::compile(const CompileJob& job) {
    if (!link_.running() || compiles_ == kCompilesPerProcess) {
        link_.start();
        compiles_ = 0;
    }
    ++compiles_;
    Artifact artifact;
    auto failure =
        link_.ask({{"job", job}}, timeout_s_, [&](const nlohmann::json& answer) { answer.get_to(artifact); });
    if (!failure) return artifact;
    // Nothing has run yet, so what crashed is the compiler.
    if (failure->outcome == Outcome::crash) failure->outcome = Outcome::compile_error;
    return *std::move(failure);
}

}  // namespace attune
