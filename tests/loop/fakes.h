// Doubles of the backend seam: a compiler that only remembers the knobs, a device whose latency is a function of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <regex>
#include <stdexcept>
#include <string>

#include "backend/backend.h"
#include "core/error.h"

namespace attune::testing {

/// Values of a candidate's knobs, by name.
using Knobs = std::map<std::string, int>;

inline Knobs read_knobs(const std::string& tune_header) {
    static const std::regex line(R"(constexpr int (\w+) = (\d+);)");
    Knobs knobs;
    for (std::sregex_iterator it(tune_header.begin(), tune_header.end(), line), end; it != end; ++it) {
        knobs[(*it)[1]] = std::stoi((*it)[2]);
    }
    return knobs;
}

/// How the doubles answer. All functions may be called from several threads.
struct Behaviour {
    std::function<double(const Knobs&)> latency_ms = [](const Knobs&) { return 1.0; };
    std::function<std::optional<Failure>(const Knobs&)> compile = [](const Knobs&) { return std::nullopt; };
    std::function<std::optional<Failure>(const Knobs&)> launch = [](const Knobs&) { return std::nullopt; };
    /// Whether a check on `draw` passes.
    std::function<bool(const Knobs&, Draw)> correct = [](const Knobs&, Draw) { return true; };
    double noise = 0.0;            ///< relative standard deviation of a sample
    double challenger_slot = 1.0;  ///< factor on the times of what runs in the challenger's slot
    /// Factor on the times of what a device loads as its n-th, until the next load into that slot.
    std::function<double(int n)> memory = [](int) { return 1.0; };
};

class FakeCompiler : public Compiler {
  public:
    explicit FakeCompiler(const Behaviour& behaviour) : behaviour_(behaviour) {}

    [[nodiscard]] Result<Artifact> compile(const CompileJob& job) override {
        for (const SourceFile& file : job.sources) {
            if (file.name != "attune_tune.h") continue;
            if (auto failure = behaviour_.compile(read_knobs(file.text))) return *failure;
            Artifact artifact;
            artifact.path = file.text;  // the double device needs nothing but the knobs
            artifact.source_hash = "double";
            artifact.compiler = "double";
            return artifact;
        }
        throw std::logic_error("a compile job without attune_tune.h");
    }

  private:
    const Behaviour& behaviour_;
};

class FakeDevice : public Device {
  public:
    FakeDevice(const Behaviour& behaviour, std::string uuid = "double-0")
        : behaviour_(behaviour), uuid_(std::move(uuid)) {}

    [[nodiscard]] TargetFacts target() override {
        TargetFacts facts;
        facts.kind = DeviceKind::cpu;
        facts.arch = 0;
        facts.arch_name = "native";
        return facts;
    }
    [[nodiscard]] EnvironmentFacts environment() override {
        EnvironmentFacts facts;
        facts.device_name = "double";
        facts.device_uuid = uuid_;
        return facts;
    }
    void open_suite(const Suite&) override {}

    [[nodiscard]] Result<bool> load(Slot slot, const Variant& variant) override {
        Knobs knobs = read_knobs(variant.artifact.path);
        if (slot == Slot::challenger) ++loads;
        (slot == Slot::challenger ? challenger_memory_ : incumbent_memory_) = behaviour_.memory(all_loads_++);
        if (auto failure = behaviour_.launch(knobs)) return *failure;
        (slot == Slot::challenger ? challenger_ : incumbent_) = std::move(knobs);
        return true;
    }
    [[nodiscard]] Result<CheckReport> check(Slot, std::size_t, Draw draw) override {
        CheckReport report;
        report.passed = behaviour_.correct(challenger_, draw);
        if (!report.passed) report.detail = "the double says no";
        return report;
    }
    [[nodiscard]] Result<Samples> time(Slot slot, std::size_t, const SampleRequest& request) override {
        Samples samples;
        for (int i = 0; i < request.cold; ++i)
            samples.cold_ms.push_back(sample(slot));
        for (int i = 0; i < request.warm; ++i)
            samples.warm_ms.push_back(sample(slot));
        return samples;
    }
    [[nodiscard]] Result<PairedSamples> pair(std::size_t, int pairs) override {
        PairedSamples samples;
        for (int i = 0; i < pairs; ++i) {
            samples.a_ms.push_back(sample(Slot::challenger));
            samples.b_ms.push_back(sample(Slot::incumbent));
        }
        return samples;
    }

    std::atomic<int> loads{0};

  private:
    // Triangular noise from a counter: the same every run, whatever the threads do.
    float sample(Slot slot) {
        const Knobs& knobs = slot == Slot::challenger ? challenger_ : incumbent_;
        const double place =
            slot == Slot::challenger ? behaviour_.challenger_slot * challenger_memory_ : incumbent_memory_;
        const auto uniform = [this] {
            state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
            return static_cast<double>(state_ >> 33U) / static_cast<double>(1ULL << 31U);
        };
        const double deviation = (uniform() + uniform() - 1.0) * 2.449;
        return static_cast<float>(behaviour_.latency_ms(knobs) * place * (1.0 + behaviour_.noise * deviation));
    }

    const Behaviour& behaviour_;
    std::string uuid_;
    Knobs challenger_;
    Knobs incumbent_;
    int all_loads_ = 0;
    double challenger_memory_ = 1.0;
    double incumbent_memory_ = 1.0;
    std::uint64_t state_ = 42;
};

}  // namespace attune::testing
