#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/draw_store.h"
#include "backend/cuda/gpu_facts.h"
#include "backend/cuda/loaded_variant.h"
#include "backend/cuda/mismatch.h"
#include "backend/cuda/nvml.h"
#include "backend/cuda/outputs.h"
#include "backend/cuda/reference_check.h"
#include "backend/cuda/timer.h"
#include "core/error.h"

namespace attune {

using namespace cuda;  // this file is where the parts in there become a Device

namespace {

/// Share of the free memory that draws may hold; the rest is for outputs, workspaces and a draw being made.
constexpr double kDrawShare = 0.5;

}  // namespace

struct CudaDevice::Impl {
    Impl(const CudaDeviceOptions& options, ArtifactCache cache)
        : api(load_driver()),
          context(api, options.ordinal),
          facts(read_gpu_facts(*api, context)),
          stream(make_stream(api)),
          compiler(options.search, std::move(cache)),
          kernels(api, stream.get(), compiler, facts.target.arch_name, facts.target.sm_count),
          nvml(facts.uuid),
          draws(api, kernels, stream.get()),
          timer(api, kernels, stream.get(), facts.l2_bytes),
          comparison(api, sizeof(CompareResult)),
          attune_version(options.attune_version) {}

    [[nodiscard]] LoadedVariant* loaded(Slot slot) {
        std::optional<LoadedVariant>& place = slots[static_cast<std::size_t>(slot)];
        return place ? &*place : nullptr;
    }
    /// A candidate's failed call as a value; finds out whether the context survived it.
    [[nodiscard]] Failure blame(const CudaStatus& status);
    CudaStatus prepare(Slot slot, std::size_t case_index, const DrawData& data, PreparedCall& call);
    /// Runs the slot's variant on poisoned outputs and waits for it.
    CudaStatus run(Slot slot, std::size_t case_index, const DrawData& data);
    [[nodiscard]] CheckReport compare(const CaseSpec& spec, const DrawData& data);

    DriverPtr api;
    Context context;
    GpuFacts facts;
    Stream stream;
    NvrtcCompiler compiler;
    DeviceKernels kernels;
    Nvml nvml;
    DrawStore draws;
    std::optional<Outputs> outputs;
    Timer timer;
    DeviceBuffer comparison;
    std::array<std::optional<LoadedVariant>, 2> slots;
    std::string attune_version;
    bool poisoned = false;
};

Failure CudaDevice::Impl::blame(const CudaStatus& status) {
    if (is_hardware_failure(status.code)) require(status);
    // An error that outlives the call belongs to the context, and no further work is possible in it.
    poisoned = api->cuCtxSynchronize() != CUDA_SUCCESS;
    return {poisoned ? Outcome::crash : Outcome::launch_error, status.text};
}

CudaStatus CudaDevice::Impl::prepare(Slot slot, std::size_t case_index, const DrawData& data, PreparedCall& call) {
    LoadedVariant* variant = loaded(slot);
    if (variant == nullptr) return {CUDA_ERROR_NOT_FOUND, "no variant is loaded in this slot"};
    AttnArgs args = data.args;
    args.o = outputs->o();
    args.lse = outputs->lse(data.rows());
    return variant->prepare(*api, stream.get(), case_index, args, call);
}

CudaStatus CudaDevice::Impl::run(Slot slot, std::size_t case_index, const DrawData& data) {
    PreparedCall call;
    CudaStatus status = prepare(slot, case_index, data, call);
    if (!status.ok()) return status;
    outputs->poison(data.rows());
    status = call.enqueue(*api, stream.get());
    const CudaStatus finished = cuda::check(*api, api->cuStreamSynchronize(stream.get()), "cuStreamSynchronize");
    return status.ok() ? finished : status;
}

CheckReport CudaDevice::Impl::compare(const CaseSpec& spec, const DrawData& data) {
    constexpr unsigned long long kNone = ~0ULL;
    CompareResult result{{0, 0, 0, kNone}, {0, 0, 0, kNone}};
    upload(*api, stream.get(), comparison.address(), std::as_bytes(std::span(&result, 1)));
    CompareArgs args{};
    args.o = outputs->o();
    args.o_reference = data.args.o;
    args.lse = outputs->lse(data.rows());
    args.lse_reference = data.args.lse;
    args.result = comparison.as<CompareResult>();
    args.rows = data.rows();
    args.o_atol = kOutputTolerance.atol * data.rule.atol_factor;
    args.o_rtol = kOutputTolerance.rtol;
    args.lse_atol = kLseTolerance.atol;
    args.lse_rtol = kLseTolerance.rtol;
    require(kernels.compare(args));
    download(*api, stream.get(), std::as_writable_bytes(std::span(&result, 1)), comparison.address());

    CheckReport report;
    report.o_max_abs_error = std::bit_cast<float>(result.o.max_abs_error_bits);
    report.o_worst_ratio = std::bit_cast<float>(result.o.worst_ratio_bits);
    report.o_bad_elements = static_cast<std::int64_t>(result.o.bad_elements);
    report.lse_max_abs_error = std::bit_cast<float>(result.lse.max_abs_error_bits);
    report.lse_worst_ratio = std::bit_cast<float>(result.lse.worst_ratio_bits);
    report.lse_bad_elements = static_cast<std::int64_t>(result.lse.bad_elements);
    report.passed = report.o_bad_elements == 0 && report.lse_bad_elements == 0;
    if (!report.passed) report.detail = describe_mismatch(*api, stream.get(), spec, data, args, result);
    return report;
}

CudaDevice::CudaDevice(const CudaDeviceOptions& options, ArtifactCache cache)
    : impl_(std::make_unique<Impl>(options, std::move(cache))) {}
CudaDevice::~CudaDevice() = default;
CudaDevice::CudaDevice(CudaDevice&&) noexcept = default;
CudaDevice& CudaDevice::operator=(CudaDevice&&) noexcept = default;

TargetFacts CudaDevice::target() {
    return impl_->facts.target;
}

EnvironmentFacts CudaDevice::environment() {
    EnvironmentFacts facts;
    facts.device_name = impl_->facts.name;
    facts.device_uuid = impl_->facts.uuid;
    facts.driver_version = impl_->nvml.driver_version();
    if (facts.driver_version.empty()) {
        facts.driver_version =
            fmt::format("CUDA {}.{}", impl_->api->cuda_version / 1000, impl_->api->cuda_version % 1000 / 10);
    }
    facts.compiler = impl_->kernels.compiler_name();
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) == 0) facts.host = host.data();
    facts.attune_version = impl_->attune_version;
    const NvmlReading reading = impl_->nvml.read();
    facts.sm_clock_mhz = reading.sm_clock_mhz;
    facts.memory_clock_mhz = reading.memory_clock_mhz;
    facts.temperature_c = reading.temperature_c;
    facts.throttle_reasons = reading.throttle_reasons;
    return facts;
}

void CudaDevice::open_suite(const Suite& suite) {
    impl_->slots = {};
    impl_->outputs.reset();
    impl_->draws.open({}, 0);
    std::int64_t max_rows = 0;
    for (const CaseSpec& spec : suite.cases) {
        max_rows = std::max(max_rows, std::int64_t{spec.batch_size} * spec.num_heads * spec.t_max);
    }
    impl_->outputs.emplace(impl_->api, impl_->kernels, impl_->stream.get(), max_rows);
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    require(*impl_->api, impl_->api->cuMemGetInfo(&free_bytes, &total_bytes), "cuMemGetInfo");
    impl_->draws.open(suite, static_cast<std::size_t>(kDrawShare * static_cast<double>(free_bytes)));
    for (std::size_t i = 0; i < suite.cases.size(); ++i) {
        verify_draw(*impl_->api, impl_->stream.get(), suite.cases[i], {}, impl_->draws.get(i, {}));
    }
}

Result<bool> CudaDevice::load(Slot slot, const Variant& variant) {
    std::optional<LoadedVariant>& place = impl_->slots[static_cast<std::size_t>(slot)];
    place.reset();
    LoadedVariant loaded;
    const CudaStatus status = LoadedVariant::load(impl_->api, variant, loaded);
    if (!status.ok()) return impl_->blame(status);
    place = std::move(loaded);
    return true;
}

Result<CheckReport> CudaDevice::check(Slot slot, std::size_t case_index, Draw draw) {
    const DrawData& data = impl_->draws.get(case_index, draw);
    const CudaStatus status = impl_->run(slot, case_index, data);
    if (!status.ok()) return impl_->blame(status);

    CheckReport report = impl_->compare(impl_->draws.suite().cases[case_index], data);
    if (!impl_->outputs->guards_intact(data.rows(), impl_->loaded(slot)->workspace_guard())) {
        report.guards_intact = false;
        report.detail = "wrote outside o, lse or its workspace";
    } else if (!impl_->draws.intact(data)) {
        report.guards_intact = false;
        report.detail = "wrote to its inputs, or far outside its outputs";
    }
    report.passed = report.passed && report.guards_intact;
    return report;
}

Result<Samples> CudaDevice::time(Slot slot, std::size_t case_index, const SampleRequest& request) {
    PreparedCall call;
    CudaStatus status = impl_->prepare(slot, case_index, impl_->draws.get(case_index, {}), call);
    if (status.ok()) status = impl_->timer.warm_up(call, request.warmup);
    Samples samples;
    const auto measure = [&](int count, CacheState cache, std::vector<float>& milliseconds) {
        const std::vector<const PreparedCall*> calls(static_cast<std::size_t>(std::max(count, 0)), &call);
        if (status.ok()) status = impl_->timer.measure(calls, cache, milliseconds);
    };
    measure(request.cold, CacheState::cold, samples.cold_ms);
    measure(request.warm, CacheState::warm, samples.warm_ms);
    if (!status.ok()) return impl_->blame(status);
    samples.throttled = impl_->nvml.read().throttled;
    return samples;
}

Result<PairedSamples> CudaDevice::pair(std::size_t case_index, int pairs) {
    PreparedCall a;
    PreparedCall b;
    const DrawData& data = impl_->draws.get(case_index, {});
    CudaStatus status = impl_->prepare(Slot::challenger, case_index, data, a);
    if (status.ok()) status = impl_->prepare(Slot::incumbent, case_index, data, b);
    // a b, b a, a b, ...: neither always follows the other.
    std::vector<const PreparedCall*> order;
    for (int i = 0; i < pairs; ++i) {
        order.push_back(i % 2 == 0 ? &a : &b);
        order.push_back(i % 2 == 0 ? &b : &a);
    }
    std::vector<float> milliseconds;
    if (status.ok()) status = impl_->timer.measure(order, CacheState::cold, milliseconds);
    if (!status.ok()) return impl_->blame(status);

    PairedSamples samples;
    for (std::size_t i = 0; i < order.size(); ++i) {
        (order[i] == &a ? samples.a_ms : samples.b_ms).push_back(milliseconds[i]);
    }
    return samples;
}

bool CudaDevice::poisoned() const {
    return impl_->poisoned;
}

}  // namespace attune
