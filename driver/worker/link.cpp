#include "worker/link.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "worker/codec.h"
#include "worker/deadline.h"

namespace attune {
namespace {

Failure why_none_came(ChannelEnd end, const std::string& role, double timeout_s) {
    switch (end) {
        case ChannelEnd::timed_out:
            return {Outcome::timeout, fmt::format("no answer within {} s", timeout_s)};
        case ChannelEnd::garbled:
            return {Outcome::crash, role + " sent something that is no answer"};
        case ChannelEnd::closed:
            break;
    }
    return {Outcome::crash, role + " died"};
}

}  // namespace

void WorkerLink::start() {
    const std::lock_guard lock(mutex_);
    process_.reset();
    asked_ahead_ = false;
    if (interrupted_) throw EnvironmentError(role_ + " is not started: the run is ending");
    process_ = WorkerProcess::start(command_);
}

void WorkerLink::stop() {
    const std::lock_guard lock(mutex_);
    process_.reset();
    asked_ahead_ = false;
}

void WorkerLink::ask_ahead(const nlohmann::json& request) {
    asked_ahead_ = process_->send(request);
}

std::optional<Failure> WorkerLink::ask(const nlohmann::json& request, double timeout_s,
                                       const std::function<void(const nlohmann::json&)>& read) {
    const bool has_request = std::exchange(asked_ahead_, false);
    if (!has_request && !process_->send(request))
        return discard(Outcome::crash, role_ + " could not be reached", kDyingGrace);
    const Frame frame = process_->receive(deadline_after(timeout_s));
    if (const auto* end = std::get_if<ChannelEnd>(&frame)) {
        const Failure failure = why_none_came(*end, role_, timeout_s);
        // Only what ended by itself is given time to do so: its signal is the diagnosis.
        return discard(failure.outcome, failure.diagnostics, *end == ChannelEnd::closed ? kDyingGrace : kNoGrace);
    }
    const auto& answer = std::get<nlohmann::json>(frame);
    try {
        if (answer.contains("environment")) throw EnvironmentError(answer.at("environment").get<std::string>());
        if (answer.contains("artifact_missing")) throw ArtifactMissing("the artifact");
        if (!answer.contains("failure")) {
            read(answer.at("value"));
            return std::nullopt;
        }
        auto failure = answer.at("failure").get<Failure>();
        if (answer.at("poisoned").get<bool>()) return discard(failure.outcome, failure.diagnostics);
        return failure;
    } catch (const nlohmann::json::exception& error) {
        return discard(Outcome::crash, fmt::format("{} sent an answer that makes no sense ({})", role_, error.what()));
    }
}

Failure WorkerLink::discard(Outcome outcome, const std::string& what, std::chrono::milliseconds grace) {
    const std::lock_guard lock(mutex_);
    const std::string end = process_->stop(grace);
    process_.reset();
    return {outcome, fmt::format("{}; {} {}", what, role_, end)};
}

void WorkerLink::interrupt() {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    if (process_) process_->kill_group();
    wake_.notify_all();
}

void WorkerLink::pause(std::chrono::duration<double> time) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, time, [this] { return interrupted_; });
}

pid_t WorkerLink::pid() {
    const std::lock_guard lock(mutex_);
    return process_ ? process_->pid() : -1;
}

}  // namespace attune
