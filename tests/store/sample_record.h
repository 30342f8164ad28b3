// Studies and iterations as the loop would record them, for tests and benchmarks of the record.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "core/kernel_template.h"
#include "core/record.h"
#include "core/sha256.h"
#include "core/study.h"

namespace attune {

inline KernelTemplate sample_template(const std::string& name = "blocks", DeviceKind device = DeviceKind::cpu) {
    TemplateSpec spec;
    spec.name = name;
    spec.device = device;
    spec.source = "kernel.cpp";
    spec.parameters = {{"tile_n", {32, 64, 128}, {}, 1, "keys a step"},
                       {"stages", {1, 2, 3, 4}, {}, 1, "tiles in flight"},
                       {"exp", {0, 1}, {"native", "poly"}, 0, "how exp2 is computed"}};
    spec.kernels = {{"attention",
                     {{{"1", "grid"}, {"1", "grid"}, {"1", "grid"}}},
                     {"1", "block"},
                     {"0", "shared"},
                     {"1", "cluster"},
                     {"1", "when"}}};
    spec.workspace_bytes = {"0", "workspace"};
    spec.workspace_clear_bytes = {"0", "workspace"};
    spec.files = {{"kernel.cpp", "// a kernel\nint attention();\n"}, {"template.json", "{}\n"}};
    spec.where = "template.json";
    return KernelTemplate(std::move(spec));
}

inline Study sample_study(const std::string& name = "flagship") {
    Study study;
    study.name = name;
    study.template_name = "blocks";
    study.suite.name = "quick";
    study.suite.cases = {{"w", Family::sliding_window, 1, 2, 1024, 4, 0, 0, 0.7, 0.625, 11, "quick"},
                         {"g", Family::sliding_window_global, 1, 2, 1024, 4, 1, 0, 0.7, 0.625, 12, "quick"},
                         {"r", Family::sliding_window_retrieval, 1, 2, 2048, 4, 0, 2, 0.7, 0.625, ~0ULL, "quick"}};
    study.baseline = "tile_n=64";
    study.strategy = "local";
    study.seed = 7;
    return study;
}

inline std::string sample_params(int n) {
    static constexpr int kTiles[] = {32, 64, 128};
    return fmt::format("tile_n={},stages={},exp={}", kTiles[n % 3], 1 + n / 3 % 4, n / 12 % 2 == 0 ? "native" : "poly");
}

inline std::vector<SourceFile> sample_sources(int n) {
    std::string header = "struct Tune {\n";
    for (int knob = 0; knob < 14; ++knob) {
        header += fmt::format("    static constexpr int knob_{} = {};\n", knob, n * (knob + 1));
    }
    return {{"attune/attn_args.h", std::string(1500, 'a')},
            {"attune_tune.h", header + "};\n"},
            {"kernel.cpp", std::string(20000, 'k')},
            {"template.json", std::string(3000, 't')}};
}

inline EnvironmentFacts sample_environment(const std::string& uuid = "GPU-1") {
    return {"NVIDIA H200", uuid, "580.1", "NVRTC 13.0", "node-1", "0.1.0", 1980, 3201, 41, "none"};
}

/// A correct, timed iteration with three cases; its score falls with `n` while `n` is small.
inline IterationRecord sample_record(int n, Status status = Status::discard, double score_ms = 0.0, int samples = 50) {
    IterationRecord record;
    record.params = sample_params(n);
    record.status = status;
    record.outcome = Outcome::ok;
    record.description = fmt::format("stages {} to {}: more loads in flight", n % 4, n % 4 + 1);
    const double score = score_ms > 0 ? score_ms : 0.05 + 0.01 * std::sin(n * 0.7);
    record.geomean_ms = score;
    record.delta_ms = n == 0 ? std::nullopt : std::optional(score - 0.05);
    record.family_ms = {score * 0.5, score, score * 2.0};
    record.template_hash = std::string(64, 'e');
    record.strategy = "local";
    record.reproduce = fmt::format("attune try configs/studies/flagship.json --set {}", record.params);
    record.environment = sample_environment();
    record.compile_s = 1.5;
    record.device_s = 0.25;
    const char* ids[] = {"w", "g", "r"};
    for (std::size_t i = 0; i < kFamilies.size(); ++i) {
        CaseRecord result;
        result.case_id = ids[i];
        result.family = kFamilies[i];
        result.check = CheckReport{true, 1e-4 * static_cast<double>(i + 1), 0.25, 1e-6, 0.1, 0, 0, true, ""};
        for (int k = 0; k < samples; ++k) {
            result.samples.cold_ms.push_back(static_cast<float>(*record.family_ms[i] * (1.0 + 0.001 * k)));
            if (k % 3 == 0) result.samples.warm_ms.push_back(static_cast<float>(*record.family_ms[i] * 0.9));
        }
        result.cold_median_ms = record.family_ms[i];
        result.warm_median_ms = *record.family_ms[i] * 0.9;
        record.cases.push_back(std::move(result));
    }
    Artifact artifact;
    artifact.source_hash = sha256_hex(fmt::format("{}", n));
    artifact.options = "-O3 -std=c++17 -arch=sm_90a -default-device";
    artifact.compiler = "NVRTC 13.0";
    artifact.kernels = {{"attention", 100 + n % 100, 1024, 0, 0, 0}};
    record.artifact = std::move(artifact);
    return record;
}

inline IterationRecord sample_crash(int n, const std::string& log = "kernel.cpp(3): error: no\n") {
    IterationRecord record;
    record.params = sample_params(n);
    record.outcome = Outcome::compile_error;
    record.description = "tile 128: larger";
    record.diagnostics = log;
    record.environment = sample_environment();
    record.template_hash = std::string(64, 'e');
    return record;
}

/// Makes a database what version 1 of the schema would have made of it, but for its intents, which are gone.
inline void make_version_one(const std::filesystem::path& database) {
    SQLite::Database(database.string(), SQLite::OPEN_READWRITE)
        .exec(
            "DROP INDEX iteration_incorrect; DROP TABLE intent; CREATE TABLE intent (shard_id INTEGER NOT NULL "
            "REFERENCES shard, params TEXT NOT NULL, "
            "boot_id TEXT NOT NULL, is_open INTEGER NOT NULL CHECK (is_open IN (0, 1)), attempts INTEGER NOT NULL, "
            "opened_us INTEGER NOT NULL, PRIMARY KEY (shard_id, params)) STRICT, WITHOUT ROWID; "
            "PRAGMA user_version = 1");
}

}  // namespace attune
