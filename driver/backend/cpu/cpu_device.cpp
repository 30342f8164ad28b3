#include "backend/cpu/cpu_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <thread>
#include <vector>

#include "backend/cpu/system_compiler.h"
#include "core/error.h"
#include "core/inputs.h"

namespace attune {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint16_t kBf16NaN = 0x7fc0;
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
/// Written lines must outnumber the lines of all caches, private ones included, to push everything out.
constexpr std::size_t kEvictionFactor = 2;
constexpr std::size_t kCacheLine = 64;

float call_ms(const cpu::LoadedVariant& variant) {
    const auto start = Clock::now();
    variant.call();
    return std::chrono::duration<float, std::milli>(Clock::now() - start).count();
}

Failure nothing_loaded() {
    return {Outcome::launch_error, "no variant is loaded in this slot"};
}

}  // namespace

CpuDevice::CpuDevice(CpuDeviceOptions options, const ArtifactCache& cache)
    : options_(std::move(options)), host_(cpu::read_host_facts()) {
    options_.compiler = cpu::find_system_compiler(options_.compiler, cache).version;
    if (options_.draw_budget_bytes == 0) options_.draw_budget_bytes = host_.memory_bytes / 4;
}

TargetFacts CpuDevice::target() {
    return target_facts("native");
}

EnvironmentFacts CpuDevice::environment() {
    EnvironmentFacts facts;
    const cpu::HostFacts now = cpu::read_host_facts();
    facts.device_name = now.cpu_model;
    facts.device_uuid = "cpu:" + now.host;
    facts.driver_version = now.kernel_release;
    facts.compiler = options_.compiler;
    facts.host = now.host;
    facts.attune_version = options_.attune_version;
    facts.sm_clock_mhz = now.clock_mhz;
    return facts;
}

void CpuDevice::open_suite(const Suite& suite) {
    for (const CaseSpec& spec : suite.cases) {
        // Inputs, reference, outputs, and a workspace that may hold K and V once more in fp32.
        const std::int64_t needed = 2 * cpu::draw_bytes(spec);
        if (needed > host_.memory_bytes) {
            throw EnvironmentError(fmt::format(
                "case '{}' needs {:.1f} GiB of memory, this machine has {:.1f} GiB; use a smaller suite", spec.case_id,
                static_cast<double>(needed) / kGiB, static_cast<double>(host_.memory_bytes) / kGiB));
        }
    }
    slots_ = {};
    outputs_.reset();
    draws_.emplace(suite.cases, options_.draw_budget_bytes);
}

Result<bool> CpuDevice::load(Slot slot, const Variant& variant) {
    std::unique_ptr<cpu::LoadedVariant>& place = slots_[static_cast<std::size_t>(slot)];
    place.reset();
    Result<std::unique_ptr<cpu::LoadedVariant>> opened = cpu::LoadedVariant::open(variant);
    if (!opened.ok()) return opened.failure();
    place = std::move(opened.value());
    return true;
}

CpuDevice::Outputs& CpuDevice::outputs_of(std::size_t case_index) {
    if (!outputs_ || outputs_->case_index != case_index) {
        outputs_.reset();
        const auto elements = static_cast<std::size_t>(element_count(draws_->cases().at(case_index)));
        auto o = cpu::GuardedBuffer::allocate(elements * sizeof(std::uint16_t));
        auto lse = cpu::GuardedBuffer::allocate(elements / kHeadDim * sizeof(float));
        if (!o || !lse) throw EnvironmentError("no memory for the outputs of a case; use a smaller suite");
        outputs_.emplace(Outputs{case_index, std::move(*o), std::move(*lse)});
    }
    return *outputs_;
}

Result<cpu::LoadedVariant*> CpuDevice::prepare(Slot slot, std::size_t case_index, const AttentionInputs& inputs) {
    cpu::LoadedVariant* variant = loaded(slot);
    if (variant == nullptr) return nothing_loaded();
    Outputs& outputs = outputs_of(case_index);
    const Result<bool> bound =
        variant->bind(case_index, inputs, outputs.o.as<std::uint16_t>(), outputs.lse.as<float>());
    if (!bound.ok()) return bound.failure();
    return variant;
}

Result<CheckReport> CpuDevice::check(Slot slot, std::size_t case_index, Draw draw) {
    cpu::MaterialisedDraw& data = draws_->get(case_index, draw);
    const AttentionOutput& reference = data.reference();
    Result<cpu::LoadedVariant*> prepared = prepare(slot, case_index, data.inputs());
    if (!prepared.ok()) return prepared.failure();

    Outputs& outputs = outputs_of(case_index);
    std::ranges::fill(outputs.o.as<std::uint16_t>(), kBf16NaN);
    std::ranges::fill(outputs.lse.as<float>(), std::numeric_limits<float>::quiet_NaN());
    prepared.value()->call();

    CheckReport report = compare_attention(data.inputs(), outputs.o.as<std::uint16_t>(), outputs.lse.as<float>(),
                                           reference, stress_rule(draw.stress, data.inputs().t_max));
    const auto blame = [&report](std::string_view buffer, const std::string& where) {
        if (where.empty()) return;
        if (report.guards_intact) report.detail = fmt::format("wrote outside {}: {}", buffer, where);
        report.guards_intact = false;
        report.passed = false;
    };
    blame("o", outputs.o.repair_guards());
    blame("lse", outputs.lse.repair_guards());
    blame("the workspace", prepared.value()->repair_guards());
    return report;
}

void CpuDevice::evict_caches() {
    const unsigned threads = std::max(1U, std::thread::hardware_concurrency());
    evictor_.resize(kEvictionFactor * static_cast<std::size_t>(host_.cache_bytes));
    // Every core writes a share: private caches are not emptied by what another core does.
    const std::size_t share = evictor_.size() / threads;
    std::vector<std::jthread> writers;
    for (unsigned i = 0; i < threads; ++i) {
        writers.emplace_back([part = std::span(evictor_).subspan(i * share, share)] {
            for (std::size_t at = 0; at < part.size(); at += kCacheLine)
                ++part[at];
        });
    }
}

float CpuDevice::cold_call_ms(const cpu::LoadedVariant& variant) {
    evict_caches();
    return call_ms(variant);
}

Result<Samples> CpuDevice::time(Slot slot, std::size_t case_index, const SampleRequest& request) {
    Result<cpu::LoadedVariant*> prepared = prepare(slot, case_index, draws_->get(case_index, {}).inputs());
    if (!prepared.ok()) return prepared.failure();
    const cpu::LoadedVariant& variant = *prepared.value();
    for (int i = 0; i < request.warmup; ++i)
        variant.call();
    Samples samples;
    for (int i = 0; i < request.cold; ++i)
        samples.cold_ms.push_back(cold_call_ms(variant));
    for (int i = 0; i < request.warm; ++i)
        samples.warm_ms.push_back(call_ms(variant));
    return samples;
}

Result<PairedSamples> CpuDevice::pair(std::size_t case_index, int pairs) {
    const AttentionInputs& inputs = draws_->get(case_index, {}).inputs();
    Result<cpu::LoadedVariant*> challenger = prepare(Slot::challenger, case_index, inputs);
    if (!challenger.ok()) return challenger.failure();
    Result<cpu::LoadedVariant*> incumbent = prepare(Slot::incumbent, case_index, inputs);
    if (!incumbent.ok()) return incumbent.failure();
    challenger.value()->call();
    incumbent.value()->call();

    PairedSamples samples;
    for (int i = 0; i < pairs; ++i) {
        const bool challenger_first = i % 2 == 0;
        const float first = cold_call_ms(challenger_first ? *challenger.value() : *incumbent.value());
        const float second = cold_call_ms(challenger_first ? *incumbent.value() : *challenger.value());
        samples.a_ms.push_back(challenger_first ? first : second);
        samples.b_ms.push_back(challenger_first ? second : first);
    }
    return samples;
}

}  // namespace attune
