#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "worker/codec.h"
#include "worker/deadline.h"
#include "worker/remote.h"

namespace attune {
namespace {

constexpr int kStartAttempts = 4;

std::chrono::seconds backoff(int attempt) { return std::chrono::seconds(attempt == 0 ? 0 : 1 << (2 * attempt - 2)); }

}  // namespace

RemoteDevice::RemoteDevice(WorkerCommand command, DeviceDeadlines deadlines, std::string label)
    : command_(std::move(command)), deadlines_(deadlines), label_(std::move(label)) {}

void RemoteDevice::interrupt() {
    const std::lock_guard lock(process_mutex_);
    if (process_) process_->kill_group();
}

pid_t RemoteDevice::worker_pid() {
    const std::lock_guard lock(process_mutex_);
    return process_ ? process_->pid() : -1;
}

// One request, one answer. Whatever keeps the answer from coming costs the worker its life: after a hang or a fault
// nothing about its state can be trusted.
template <class T>
Result<T> RemoteDevice::ask(const nlohmann::json& request, double timeout_s) {
    const auto fail = [&](Outcome outcome, const std::string& what, std::chrono::milliseconds grace) -> Failure {
        const std::lock_guard lock(process_mutex_);
        const std::string end = process_->stop(grace);
        process_.reset();
        return {outcome, fmt::format("{}; the device worker {}", what, end)};
    };
    if (!process_->channel().send(request)) {
        return fail(Outcome::crash, "the device worker could not be reached", kDyingGrace);
    }
    Frame frame = process_->channel().receive(deadline_after(timeout_s));
    if (const auto* end = std::get_if<ChannelEnd>(&frame)) {
        if (*end == ChannelEnd::timed_out) {
            return fail(Outcome::timeout, fmt::format("no answer within {} s", timeout_s), {});
        }
        return fail(Outcome::crash, "the device worker died", kDyingGrace);
    }
    const auto& answer = std::get<nlohmann::json>(frame);
    if (answer.contains("environment")) throw EnvironmentError(answer.at("environment").get<std::string>());
    if (answer.contains("failure")) {
        const auto failure = answer.at("failure").get<Failure>();
        if (answer.value("poisoned", false)) return fail(failure.outcome, failure.diagnostics, {});
        return failure;
    }
    return answer.at("value").get<T>();
}

template <class T>
T RemoteDevice::ask_or_lose(const nlohmann::json& request, double timeout_s) {
    Result<T> result = ask<T>(request, timeout_s);
    if (!result.ok()) throw DeviceLost(fmt::format("{}: {}", label_, result.failure().diagnostics));
    return std::move(result.value());
}

void RemoteDevice::start_worker() {
    {
        const std::lock_guard lock(process_mutex_);
        process_ = WorkerProcess::start(command_);
    }
    if (suite_) ask_or_lose<bool>({{"op", "open_suite"}, {"suite", *suite_}}, deadlines_.open_s);
    if (incumbent_) {
        ask_or_lose<bool>({{"op", "load"}, {"slot", Slot::incumbent}, {"variant", *incumbent_}}, deadlines_.open_s);
    }
}

void RemoteDevice::ensure_worker() {
    if (process_) return;
    std::string last_words;
    for (int attempt = 0; attempt < kStartAttempts; ++attempt) {
        std::this_thread::sleep_for(backoff(attempt));
        try {
            start_worker();
            started_once_ = true;
            return;
        } catch (const EnvironmentError& error) {
            // What never worked is a plain lack, told at once; what worked before may come back.
            if (!started_once_) throw;
            last_words = error.what();
            const std::lock_guard lock(process_mutex_);
            process_.reset();
        }
    }
    throw DeviceLost(fmt::format("{}; gave up after {} starts: see `attune doctor`, and nvidia-smi for the GPU's state",
                                 last_words, kStartAttempts));
}

TargetFacts RemoteDevice::target() {
    ensure_worker();
    return ask_or_lose<TargetFacts>({{"op", "target"}}, deadlines_.open_s);
}

EnvironmentFacts RemoteDevice::environment() {
    ensure_worker();
    return ask_or_lose<EnvironmentFacts>({{"op", "environment"}}, deadlines_.open_s);
}

void RemoteDevice::open_suite(const Suite& suite) {
    suite_ = suite;
    if (process_) {
        ask_or_lose<bool>({{"op", "open_suite"}, {"suite", suite}}, deadlines_.open_s);
    } else {
        ensure_worker();
    }
}

Result<bool> RemoteDevice::load(Slot slot, const Variant& variant) {
    ensure_worker();
    Result<bool> loaded = ask<bool>({{"op", "load"}, {"slot", slot}, {"variant", variant}}, deadlines_.request_s);
    if (slot == Slot::incumbent && loaded.ok()) incumbent_ = variant;
    return loaded;
}

Result<CheckReport> RemoteDevice::check(Slot slot, std::size_t case_index, Draw draw) {
    ensure_worker();
    return ask<CheckReport>({{"op", "check"}, {"slot", slot}, {"case", case_index}, {"draw", draw}}, deadlines_.request_s);
}

Result<Samples> RemoteDevice::time(Slot slot, std::size_t case_index, const SampleRequest& request) {
    ensure_worker();
    return ask<Samples>({{"op", "time"}, {"slot", slot}, {"case", case_index}, {"request", request}},
                        deadlines_.request_s);
}

Result<PairedSamples> RemoteDevice::pair(std::size_t case_index, int pairs) {
    ensure_worker();
    return ask<PairedSamples>({{"op", "pair"}, {"case", case_index}, {"pairs", pairs}}, deadlines_.request_s);
}

}  // namespace attune
