// Compiles variants of a test template with the real compiler and runs them on the real CPU device.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "backend/cpu/cpu_compiler.h"
#include "backend/cpu/cpu_device.h"
#include "config/template.h"
#include "core/one_case_a_family.h"
#include "core/temp_folder.h"

namespace attune {

inline constexpr const char* kNaiveTemplate = ATTUNE_SOURCE_DIR "/tests/backend/data/naive_cpu";

/// A suite small enough for many checks: all families, a seq_len inside a block, several heads.
inline Suite tiny_suite() {
    return one_case_a_family("tiny", {.case_id = {},
                                      .batch_size = 2,
                                      .num_heads = 2,
                                      .t_max = 384,
                                      .window_blocks = 1,
                                      .global_blocks = 1,
                                      .retrieval_blocks = 1,
                                      .seed = 7});
}

class CpuBackend : public testing::Test {
  protected:
    explicit CpuBackend(const std::string& template_folder = kNaiveTemplate)
        : template_(load_template(template_folder)) {}

    [[nodiscard]] CompileJob job(const std::string& settings) const {
        const Candidate candidate = candidate_of(settings);
        return {template_.source_bundle(candidate), template_.main_source(), template_.entries(), DeviceKind::cpu,
                "native"};
    }
    [[nodiscard]] std::vector<LaunchPlan> plans(const std::string& settings) const {
        std::vector<LaunchPlan> result;
        for (const CaseSpec& spec : suite_.cases) {
            const CallShape shape{spec.batch_size, spec.num_heads, spec.t_max, max_nnz_bound(spec)};
            result.push_back(template_.plan(candidate_of(settings), shape, target_));
        }
        return result;
    }
    /// Compiles (or finds in the cache) and loads.
    Result<bool> load(CpuDevice& device, Slot slot, const std::string& settings) {
        Result<Artifact> artifact = compiler_.compile(job(settings));
        if (!artifact.ok()) return artifact.failure();
        return device.load(slot, {artifact.value(), plans(settings)});
    }
    [[nodiscard]] CpuDevice open_device() const {
        CpuDevice device({"", "test"}, ArtifactCache(folder_.path() / "cache"));
        device.open_suite(suite_);
        return device;
    }

    TempFolder folder_;
    KernelTemplate template_;
    TargetFacts target_ = target_facts("native");
    Space space_ = template_.space(target_);
    Suite suite_ = tiny_suite();
    CpuCompiler compiler_{ArtifactCache(folder_.path() / "cache"), ""};

  private:
    [[nodiscard]] Candidate candidate_of(const std::string& settings) const {
        return space_.parse(settings, space_.defaults());
    }
};

}  // namespace attune
