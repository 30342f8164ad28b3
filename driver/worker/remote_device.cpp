#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "worker/codec.h"
#include "worker/remote.h"

namespace attune {
namespace {

constexpr int kStartAttempts = 4;

// Asked of the coordinator's own file system, because a device that is told to load a missing file cannot tell it from
// a bad one.
void require_artifact(const Variant& variant) {
    if (!std::filesystem::exists(variant.artifact.path)) throw ArtifactMissing(variant.artifact.path);
}

std::optional<std::string> defect(const std::vector<float>& samples_ms, int wanted) {
    if (samples_ms.size() != static_cast<std::size_t>(wanted)) {
        return fmt::format("{} samples instead of {}", samples_ms.size(), wanted);
    }
    const auto impossible = [](float sample_ms) { return !std::isfinite(sample_ms) || sample_ms <= 0.0F; };
    const auto found = std::find_if(samples_ms.begin(), samples_ms.end(), impossible);
    if (found == samples_ms.end()) return std::nullopt;
    return fmt::format("a sample of {} ms", *found);
}

Failure not_times(const std::string& what) {
    return {Outcome::crash, fmt::format("the device worker measured {}, which cannot be", what)};
}

nlohmann::json target_request() {
    return {{"op", "target"}};
}

nlohmann::json open_request(const Suite& suite) {
    return {{"op", "open_suite"}, {"suite", suite}};
}

}  // namespace

RemoteDevice::RemoteDevice(WorkerCommand command, DeviceDeadlines deadlines, std::string label)
    : link_(std::move(command), "the device worker"), deadlines_(deadlines), label_(std::move(label)) {}

void RemoteDevice::interrupt() {
    link_.interrupt();
}

pid_t RemoteDevice::worker_pid() {
    return link_.pid();
}

template <class T>
Result<T> RemoteDevice::ask(const nlohmann::json& request, double timeout_s) {
    T value{};
    const auto failure = link_.ask(request, timeout_s, [&](const nlohmann::json& answer) { answer.get_to(value); });
    if (failure) return *failure;
    return value;
}

void RemoteDevice::require(const nlohmann::json& request) {
    const Result<bool> done = ask<bool>(request, deadlines_.open_s);
    if (!done.ok()) throw DeviceLost(fmt::format("{}: {}", label_, done.failure().diagnostics));
}

void RemoteDevice::start_worker() {
    loaded_.clear();
    link_.start();
    if (suite_) require(open_request(*suite_));
}

void RemoteDevice::ensure_worker() {
    if (link_.running()) return;
    std::string last_words;
    double pause_s = 0.0;
    for (int attempt = 0; attempt < kStartAttempts; ++attempt) {
        link_.pause(std::chrono::duration<double>(pause_s));
        pause_s = pause_s == 0.0 ? deadlines_.retry_s : 4.0 * pause_s;
        try {
            start_worker();
            started_once_ = true;
            return;
        } catch (const EnvironmentError& error) {
            link_.stop();
            // A lack that the worker tells of before anything ever worked is told at once; all else may pass.
            const bool worker_died = dynamic_cast<const DeviceLost*>(&error) != nullptr;
            if (!started_once_ && !worker_died) throw;
            last_words = error.what();
        }
    }
    throw DeviceLost(fmt::format("{}; gave up after {} starts: see `attune doctor`, and nvidia-smi for the GPU's state",
                                 last_words, kStartAttempts));
}

// What is asked of the device itself fails through no candidate's fault: a worker that dies over it is replaced.
template <class T>
T RemoteDevice::ask_until_answered(const nlohmann::json& request) {
    std::string last_words;
    for (int attempt = 0; attempt < kStartAttempts; ++attempt) {
        ensure_worker();
        Result<T> result = ask<T>(request, deadlines_.open_s);
        if (result.ok()) return std::move(result.value());
        last_words = result.failure().diagnostics;
    }
    throw DeviceLost(fmt::format("{}: {}", label_, last_words));
}

void RemoteDevice::begin_target() {
    ensure_worker();
    link_.ask_ahead(target_request());
}

TargetFacts RemoteDevice::target() {
    return ask_until_answered<TargetFacts>(target_request());
}

EnvironmentFacts RemoteDevice::environment() {
    return ask_until_answered<EnvironmentFacts>({{"op", "environment"}});
}

void RemoteDevice::open_suite(const Suite& suite) {
    suite_ = suite;
    if (link_.running() && ask<bool>(open_request(suite), deadlines_.open_s).ok()) return;
    link_.stop();
    ensure_worker();
}

bool RemoteDevice::holds(Slot slot) {
    return link_.running() && loaded_.contains(slot);
}

Result<bool> RemoteDevice::load(Slot slot, const Variant& variant) {
    require_artifact(variant);
    ensure_worker();
    loaded_.erase(slot);
    Result<bool> loaded = ask<bool>({{"op", "load"}, {"slot", slot}, {"variant", variant}}, deadlines_.request_s);
    if (loaded.ok()) loaded_.insert(slot);
    return loaded;
}

Result<CheckReport> RemoteDevice::check(Slot slot, std::size_t case_index, Draw draw) {
    ensure_worker();
    return ask<CheckReport>({{"op", "check"}, {"slot", slot}, {"case", case_index}, {"draw", draw}},
                            deadlines_.request_s);
}

Result<Samples> RemoteDevice::time(Slot slot, std::size_t case_index, const SampleRequest& request) {
    ensure_worker();
    Result<Samples> samples = ask<Samples>({{"op", "time"}, {"slot", slot}, {"case", case_index}, {"request", request}},
                                           deadlines_.request_s);
    if (!samples.ok()) return samples;
    if (const auto what = defect(samples.value().cold_ms, request.cold)) return not_times(*what);
    if (const auto what = defect(samples.value().warm_ms, request.warm)) return not_times(*what);
    return samples;
}

Result<PairedSamples> RemoteDevice::pair(std::size_t case_index, int pairs) {
    ensure_worker();
    Result<PairedSamples> samples =
        ask<PairedSamples>({{"op", "pair"}, {"case", case_index}, {"pairs", pairs}}, deadlines_.request_s);
    if (!samples.ok()) return samples;
    if (const auto what = defect(samples.value().a_ms, pairs)) return not_times(*what);
    if (const auto what = defect(samples.value().b_ms, pairs)) return not_times(*what);
    return samples;
}

}  // namespace attune
