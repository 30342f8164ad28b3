#include "worker/codec.h"

#include <nlohmann/json.hpp>

namespace attune {

namespace {

/// An enumerator by its number. Whoever answers may be a process that a kernel has trampled on, and a number that names
/// nothing must not become a value that no switch knows.
template <class Enum>
void get_enum(const nlohmann::json& json, Enum& value, Enum last) {
    const auto number = json.get<std::int64_t>();
    if (!json.is_number_integer() || number < 0 || number > static_cast<std::int64_t>(last)) {
        throw nlohmann::json::out_of_range::create(401, "a number that names nothing: " + json.dump(), &json);
    }
    value = static_cast<Enum>(number);
}

}  // namespace

void from_json(const nlohmann::json& json, Outcome& value) {
    get_enum(json, value, Outcome::pruned);
}
void from_json(const nlohmann::json& json, Family& value) {
    get_enum(json, value, kFamilies.back());
}
void from_json(const nlohmann::json& json, Stress& value) {
    get_enum(json, value, kStresses.back());
}
void from_json(const nlohmann::json& json, DeviceKind& value) {
    get_enum(json, value, DeviceKind::cpu);
}
void from_json(const nlohmann::json& json, Slot& value) {
    get_enum(json, value, Slot::incumbent);
}
void from_json(const nlohmann::json& json, TensorMapPlan::Tensor& value) {
    get_enum(json, value, TensorMapPlan::Tensor::workspace);
}

// The macros define to_json and from_json field by field; a missing field throws, which the caller treats as a worker
// that speaks another version.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SourceFile, name, text)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(KernelLaunch, entry, grid, threads, shared_bytes, cluster)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TensorMapPlan, tensor, fp16, rows, cols, swizzle_bytes, workspace_offset_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LaunchPlan, kernels, tensor_maps, workspace_bytes, workspace_clear_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(KernelResources, entry, registers, shared_bytes, spill_store_bytes, spill_load_bytes,
                                   stack_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CaseSpec, case_id, family, batch_size, num_heads, t_max, window_blocks,
                                   global_blocks, retrieval_blocks, retrieval_local_bias, seq_len_min_ratio, seed,
                                   profile)

#define ATTUNE_CODEC(Type, ...)                                            \
    void to_json(nlohmann::json& json, const Type& value) {                \
        NLOHMANN_JSON_EXPAND(NLOHMANN_JSON_PASTE(ATTUNE_PUT, __VA_ARGS__)) \
    }                                                                      \
    void from_json(const nlohmann::json& json, Type& value) {              \
        NLOHMANN_JSON_EXPAND(NLOHMANN_JSON_PASTE(ATTUNE_GET, __VA_ARGS__)) \
    }
#define ATTUNE_PUT(field) json[#field] = value.field;
#define ATTUNE_GET(field) json.at(#field).get_to(value.field);

ATTUNE_CODEC(CompileJob, sources, main_source, entries, kind, arch_name)
ATTUNE_CODEC(Artifact, path, source_hash, options, compiler, log, kernels, performance_warning, compile_s, from_cache)
ATTUNE_CODEC(Variant, artifact, plans)
ATTUNE_CODEC(Suite, name, cases)
ATTUNE_CODEC(Draw, index, stress)
ATTUNE_CODEC(CheckReport, passed, o_max_abs_error, o_worst_ratio, lse_max_abs_error, lse_worst_ratio, o_bad_elements,
             lse_bad_elements, guards_intact, detail)
ATTUNE_CODEC(SampleRequest, warmup, cold, warm)
ATTUNE_CODEC(Samples, cold_ms, warm_ms, throttled)
ATTUNE_CODEC(PairedSamples, a_ms, b_ms)
ATTUNE_CODEC(TargetFacts, kind, arch, arch_name, sm_count, shared_limit_bytes, shared_per_sm_bytes, registers_per_sm)
ATTUNE_CODEC(EnvironmentFacts, device_name, device_uuid, driver_version, compiler, host, attune_version, sm_clock_mhz,
             memory_clock_mhz, temperature_c, throttle_reasons)

void to_json(nlohmann::json& json, const Failure& failure) {
    json = {{"outcome", failure.outcome}, {"diagnostics", failure.diagnostics}};
}

void from_json(const nlohmann::json& json, Failure& failure) {
    json.at("outcome").get_to(failure.outcome);
    if (failure.outcome == Outcome::ok || failure.outcome == Outcome::pruned) {
        throw nlohmann::json::out_of_range::create(401, "a failure that failed at nothing", &json);
    }
    json.at("diagnostics").get_to(failure.diagnostics);
}

}  // namespace attune
