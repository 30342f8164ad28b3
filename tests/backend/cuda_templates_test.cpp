// Every shipped CUDA template, compiled for the architectures it is for: the default without spills, and a handful of
// candidates in which every value of every parameter occurs.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>

#include "backend/cuda/cuda_backend.h"
#include "config/template.h"
#include "core/temp_folder.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

struct TemplateOnArch {
    std::string name;
    std::string arch;
};

/// Every shipped CUDA template on those of two architectures that it is for.
std::vector<TemplateOnArch> shipped() {
    std::vector<TemplateOnArch> combinations;
    for (const auto& entry : fs::directory_iterator(ATTUNE_SOURCE_DIR "/kernel_templates")) {
        if (!fs::exists(entry.path() / "template.json")) continue;
        const KernelTemplate kernel = load_template(entry.path());
        for (const char* arch : {"sm_80", "sm_90a"}) {
            if (kernel.device() != DeviceKind::cuda || !kernel.unsupported_reason(target_facts(arch)).empty()) continue;
            combinations.push_back({entry.path().filename(), arch});
        }
    }
    return combinations;
}

using Value = std::pair<std::size_t, std::uint16_t>;  // parameter, choice

std::set<Value> values_of(const Candidate& candidate) {
    std::set<Value> values;
    for (std::size_t i = 0; i < candidate.choice.size(); ++i)
        values.emplace(i, candidate.choice[i]);
    return values;
}

/// Legal candidates, the default first, that together hold every value that a drawn candidate holds.
std::vector<Candidate> covering_sample(const Space& space) {
    std::vector<Candidate> drawn{space.defaults()};
    std::mt19937_64 random(1);
    std::uniform_int_distribution<std::uint64_t> ranks(0, space.combinations() - 1);
    for (int i = 0; i < 20000 && drawn.size() < 400; ++i) {
        Candidate candidate = space.at(ranks(random));
        if (space.legal(candidate)) drawn.push_back(std::move(candidate));
    }
    std::set<Value> open;
    for (const Candidate& candidate : drawn)
        open.merge(values_of(candidate));
    std::vector<Candidate> sample;
    const auto gain = [&open](const Candidate& candidate) {
        const std::set<Value> values = values_of(candidate);
        return std::count_if(values.begin(), values.end(),
                             [&open](const Value& value) { return open.contains(value); });
    };
    const auto take = [&](const Candidate& candidate) {
        for (const Value& value : values_of(candidate))
            open.erase(value);
        sample.push_back(candidate);
    };
    take(drawn.front());
    while (!open.empty())
        take(*std::ranges::max_element(drawn, {}, gain));
    return sample;
}

class CudaTemplates : public testing::TestWithParam<TemplateOnArch> {};

TEST_P(CudaTemplates, EveryValueCompilesAndTheDefaultDoesNotSpill) {
    const auto& [name, arch] = GetParam();
    const KernelTemplate kernel = load_template(fs::path(ATTUNE_SOURCE_DIR "/kernel_templates") / name);
    const TargetFacts target = target_facts(arch);
    for (const Capability& capability : cuda_capabilities({})) {
        if (capability.what == "NVRTC" && !capability.available) GTEST_SKIP() << capability.detail;
    }
    const TempFolder folder;
    NvrtcCompiler compiler({}, ArtifactCache(folder.path()));
    const Space space = kernel.space(target);
    bool is_default = true;
    for (const Candidate& candidate : covering_sample(space)) {
        const Result<Artifact> result = compiler.compile(
            {kernel.source_bundle(candidate), kernel.main_source(), kernel.entries(), DeviceKind::cuda, arch});
        ASSERT_TRUE(result.ok()) << space.describe(candidate) << "\n" << result.failure().diagnostics;
        if (is_default) {
            EXPECT_TRUE(space.legal(candidate)) << kernel.violated(candidate, target);
            EXPECT_FALSE(result.value().performance_warning) << result.value().log;
            for (const KernelResources& resources : result.value().kernels) {
                EXPECT_EQ(resources.spill_store_bytes, 0) << resources.entry;
            }
        }
        is_default = false;
    }
}

INSTANTIATE_TEST_SUITE_P(All, CudaTemplates, testing::ValuesIn(shipped()),
                         [](const auto& named) { return named.param.name + "_" + named.param.arch; });

}  // namespace
}  // namespace attune
