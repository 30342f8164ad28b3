#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/sha256.h"
#include "export/package.h"

namespace attune {
namespace {

using nlohmann::json;

constexpr int kFormatVersion = 1;
constexpr int kUnbounded = 1 << 30;  // as the public harness has it

json number(const std::optional<double>& value) {
    return value ? json(*value) : json();
}

std::string file_hash(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!file) throw EnvironmentError(fmt::format("cannot read back {}; choose another --to", path.string()));
    return sha256_hex(std::string_view(bytes));
}

json case_json(const CaseSpec& spec) {
    return {{"case_id", spec.case_id},
            {"family", to_string(spec.family)},
            {"batch_size", spec.batch_size},
            {"num_heads", spec.num_heads},
            {"t_max", spec.t_max},
            {"window_blocks", spec.window_blocks},
            {"global_blocks", spec.global_blocks},
            {"retrieval_blocks", spec.retrieval_blocks},
            {"retrieval_local_bias", spec.retrieval_local_bias},
            {"seq_len_min_ratio", spec.seq_len_min_ratio},
            {"seed", spec.seed},
            {"profile", spec.profile}};
}

json errors_json(const CheckReport& report) {
    json errors{{"passed", report.passed},
                {"o_max_abs_error", report.o_max_abs_error},
                {"o_worst_ratio", report.o_worst_ratio},
                {"lse_max_abs_error", report.lse_max_abs_error},
                {"lse_worst_ratio", report.lse_worst_ratio}};
    if (!report.detail.empty()) errors["detail"] = report.detail;
    return errors;
}

json measured_json(const IterationRecord& record) {
    json families;
    for (std::size_t i = 0; i < kFamilies.size(); ++i)
        families[std::string(to_string(kFamilies[i]))] = number(record.family_ms[i]);
    json cases = json::array();
    for (const CaseRecord& item : record.cases) {
        json row{{"case_id", item.case_id},
                 {"cold_median_ms", number(item.cold_median_ms)},
                 {"warm_median_ms", number(item.warm_median_ms)},
                 {"cold_samples", item.samples.cold_ms.size()},
                 {"throttled", item.samples.throttled}};
        if (item.check) row["errors"] = errors_json(*item.check);
        cases.push_back(std::move(row));
    }
    return {{"device", record.environment.device_name},
            {"score_ms", number(record.geomean_ms)},
            {"family_ms", families},
            {"cases", cases}};
}

json domain_json(const PackageVariant& variant) {
    const IterationRecord& record = variant.detail.record;
    json domain{{"dtype", "bf16"},
                {"head_dim", 128},
                {"t_max_multiple_of", 128},
                {"inputs", "finite; checked on standard normal q, k, v"},
                {"robust", record.robust ? json(*record.robust) : json()}};
    if (const auto limit = largest_v(variant)) {
        domain["v_abs_max"] = *limit;
        domain["v_note"] =
            "v is converted to fp16: exact for 2^-14 <= |v| <= 65504, smaller values lose bits, larger overflow";
    }
    json stresses = json::array();
    for (const StressRecord& item : record.stresses) {
        json row = errors_json(item.check);
        row["case_id"] = item.case_id;
        row["stress"] = to_string(item.stress);
        stresses.push_back(std::move(row));
    }
    domain["stress"] = std::move(stresses);
    return domain;
}

json provenance_json(const PackageVariant& variant) {
    const IterationDetail& detail = variant.detail;
    const EnvironmentFacts& at = detail.record.environment;
    return {{"study", detail.key.study},
            {"shard", detail.key.shard},
            {"iter", detail.key.iter},
            {"status", to_string(detail.record.status)},
            {"description", detail.record.description},
            {"finished_at", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                                        fmt::gmtime(static_cast<std::time_t>(detail.finished_us / 1'000'000)))},
            {"reproduce", detail.record.reproduce},
            {"template", variant.kernel_template.name()},
            {"template_hash", detail.record.template_hash},
            {"device_name", at.device_name},
            {"device_uuid", at.device_uuid},
            {"driver_version", at.driver_version},
            {"compiler", at.compiler},
            {"host", at.host},
            {"attune_version", at.attune_version}};
}

json parameters_json(const PackageVariant& variant) {
    json values;
    for (std::size_t i = 0; i < variant.candidate.choice.size(); ++i) {
        const Parameter& parameter = variant.kernel_template.parameters()[i];
        const std::size_t choice = variant.candidate.choice[i];
        values[parameter.name] =
            parameter.words.empty() ? json(parameter.values[choice]) : json(parameter.words[choice]);
    }
    return values;
}

json kernels_json(const Artifact& artifact) {
    json kernels = json::array();
    for (const KernelResources& kernel : artifact.kernels) {
        kernels.push_back({{"entry", kernel.entry},
                           {"registers", kernel.registers},
                           {"static_shared_bytes", kernel.shared_bytes},
                           {"spill_store_bytes", kernel.spill_store_bytes},
                           {"spill_load_bytes", kernel.spill_load_bytes}});
    }
    return kernels;
}

json variant_json(const Package& package, std::size_t index, const PackageChecks& checks,
                  const std::filesystem::path& folder) {
    const PackageVariant& variant = package.variants[index];
    json families = json::array();
    for (const Family family : variant.families)
        families.push_back(to_string(family));
    json rerun = json::array();
    for (const PackageCheck& check : checks.checks) {
        if (check.variant != index) continue;
        json row = errors_json(check.report);
        row["case_id"] = check.case_id;
        row["draw"] = check.draw;
        rerun.push_back(std::move(row));
    }
    const std::string source = source_path(package, variant);
    const std::string binary = binary_path(package, variant);
    return {{"name", variant.name},
            {"families", families},
            {"min_t_max", 0},
            {"max_t_max", kUnbounded},
            {"min_batch_heads", 0},
            {"max_batch_heads", kUnbounded},
            {"parameters", parameters_json(variant)},
            {"source", {{"file", source}, {"sha256", file_hash(folder / source)}}},
            {"binary",
             {{"file", binary},
              {"sha256", file_hash(folder / binary)},
              {"built_for", variant.arch_name},
              {"compiler", variant.artifact.compiler},
              {"options", variant.artifact.options},
              {"bundle_sha256", variant.artifact.source_hash},
              {"kernels", kernels_json(variant.artifact)}}},
            {"measured", measured_json(variant.detail.record)},
            {"domain", domain_json(variant)},
            {"checked_as_exported", rerun},
            {"provenance", provenance_json(variant)}};
}

}  // namespace

std::string manifest_text(const Package& package, const PackageChecks& checks, const std::filesystem::path& folder) {
    json cases = json::array();
    for (const CaseSpec& spec : package.study.suite.cases)
        cases.push_back(case_json(spec));
    json variants = json::array();
    for (std::size_t i = 0; i < package.variants.size(); ++i)
        variants.push_back(variant_json(package, i, checks, folder));
    json files;
    for (const char* name : {kPythonFile, kHeaderFile, kExampleFile})
        files[name] = file_hash(folder / name);
    const bool checked = checks.unchecked_because.empty();
    const std::string& arch = package.variants.front().arch_name;
    json manifest{
        {"format", "attune-package"},
        {"format_version", kFormatVersion},
        {"attune_version", package.attune_version},
        {"operator", "block_sparse_attn_fwd"},
        {"device", package.device() == DeviceKind::cuda ? "cuda" : "cpu"},
        {"built_for",
         package.device() == DeviceKind::cuda ? arch : package.variants.front().detail.record.environment.device_name},
        {"study", package.study.name},
        {"template", package.study.template_name},
        {"suite", {{"name", package.study.suite.name}, {"cases", cases}}},
        {"default", package.variants.front().name},
        {"checked", checked},
        {"files", files},
        {"variants", variants}};
    if (checked) {
        manifest["checked_on"] = checks.device_name;
    } else {
        manifest["unchecked_because"] = checks.unchecked_because;
    }
    return manifest.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace attune
