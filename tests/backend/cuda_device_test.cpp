// Checks and timings on a real GPU: what passes, and everything a check must catch. Skipped where there is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "backend/cuda/cuda_backend.h"
#include "config/template.h"
#include "core/error.h"
#include "core/one_case_a_family.h"
#include "core/space.h"
#include "core/temp_folder.h"

namespace attune {
namespace {

namespace fs = std::filesystem;
using testing::Each;
using testing::Gt;
using testing::HasSubstr;
using testing::SizeIs;

const fs::path kNaive = ATTUNE_SOURCE_DIR "/tests/backend/data/naive_cuda";

/// All families, a seq_len inside a block, several heads.
Suite tiny_suite() {
    return one_case_a_family("tiny", {.case_id = {},
                                      .batch_size = 2,
                                      .num_heads = 2,
                                      .t_max = 384,
                                      .window_blocks = 1,
                                      .global_blocks = 1,
                                      .retrieval_blocks = 1,
                                      .seq_len_min_ratio = 0.5,
                                      .seed = 7});
}

float median(std::vector<float> values) {
    std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
    return values[values.size() / 2];
}

class CudaDeviceTest : public testing::Test {
  protected:
    void SetUp() override {
        if (cuda_device_count() == 0) GTEST_SKIP() << "no CUDA GPU here";
        compiler_.emplace(LibrarySearch{}, ArtifactCache(folder_.path()));
        device_.emplace(CudaDeviceOptions{0, {}, "test"}, ArtifactCache(folder_.path()));
        device_->open_suite(suite_);
    }
    /// Candidate `settings` of a template, compiled, with its plans.
    Variant variant(const fs::path& folder, const std::string& settings) {
        const KernelTemplate kernel = load_template(folder);
        const TargetFacts target = device_->target();
        const Space space = kernel.space(target);
        const Candidate candidate = space.parse(settings, space.defaults());
        const Result<Artifact> artifact = compiler_->compile({kernel.source_bundle(candidate), kernel.main_source(),
                                                              kernel.entries(), DeviceKind::cuda, target.arch_name});
        if (!artifact.ok()) throw EnvironmentError(artifact.failure().diagnostics);
        Variant made{artifact.value(), {}};
        for (const CaseSpec& spec : suite_.cases) {
            const CallShape shape{spec.batch_size, spec.num_heads, spec.t_max, max_nnz_bound(spec)};
            made.plans.push_back(kernel.plan(candidate, shape, target));
        }
        return made;
    }
    void load(Slot slot, const std::string& settings) {
        const Result<bool> loaded = device_->load(slot, variant(kNaive, settings));
        ASSERT_TRUE(loaded.ok()) << loaded.failure().diagnostics;
    }
    CheckReport check(const std::string& settings, Draw draw = {}) {
        load(Slot::challenger, settings);
        const Result<CheckReport> report = device_->check(Slot::challenger, 0, draw);
        EXPECT_TRUE(report.ok()) << report.failure().diagnostics;
        return report.ok() ? report.value() : CheckReport{};
    }
    /// Every case, several draws and all stresses; stresses only where the template claims to bear them.
    void expect_correct(bool stresses) {
        for (std::size_t index = 0; index < suite_.cases.size(); ++index) {
            std::vector<Draw> draws{{0, Stress::none}, {1, Stress::none}, {99, Stress::none}};
            if (stresses) {
                for (const Stress stress : kStresses)
                    draws.push_back({0, stress});
            }
            for (const Draw draw : draws) {
                const Result<CheckReport> report = device_->check(Slot::challenger, index, draw);
                ASSERT_TRUE(report.ok()) << report.failure().diagnostics;
                EXPECT_TRUE(report.value().passed)
                    << index << " " << to_string(draw.stress) << ": " << report.value().detail;
            }
        }
    }

    TempFolder folder_;
    Suite suite_ = tiny_suite();
    std::optional<NvrtcCompiler> compiler_;
    std::optional<CudaDevice> device_;
};

TEST_F(CudaDeviceTest, KnowsItself) {
    const TargetFacts target = device_->target();
    EXPECT_GE(target.arch, 80);
    EXPECT_THAT(target.arch_name, testing::StartsWith("sm_" + std::to_string(target.arch)));
    EXPECT_GT(target.sm_count, 0);
    EXPECT_GT(target.shared_limit_bytes, 48 * 1024);
    const EnvironmentFacts facts = device_->environment();
    EXPECT_THAT(facts.device_uuid, testing::MatchesRegex("GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"));
    EXPECT_THAT(facts.compiler, testing::StartsWith("NVRTC "));
    EXPECT_FALSE(facts.device_name.empty());
    EXPECT_FALSE(facts.driver_version.empty());
}

// SetUp's open_suite has compared generator bits and reference rows with the CPU's, or it would have thrown.
TEST_F(CudaDeviceTest, CorrectVariantsPassEveryFamilyDrawAndStress) {
    load(Slot::challenger, "");
    expect_correct(true);
    EXPECT_FALSE(device_->poisoned());
}

TEST_F(CudaDeviceTest, DefaultsOfShippedTemplatesAreCorrect) {
    for (const auto& entry : fs::directory_iterator(ATTUNE_SOURCE_DIR "/kernel_templates")) {
        if (!fs::exists(entry.path() / "template.json")) continue;
        const KernelTemplate kernel = load_template(entry.path());
        if (kernel.device() != DeviceKind::cuda || !kernel.unsupported_reason(device_->target()).empty()) continue;
        SCOPED_TRACE(kernel.name());
        const Result<bool> loaded = device_->load(Slot::challenger, variant(entry.path(), ""));
        ASSERT_TRUE(loaded.ok()) << loaded.failure().diagnostics;
        expect_correct(false);
    }
}

TEST_F(CudaDeviceTest, WrongResultsAreMeasuredAndLocated) {
    const CheckReport report = check("fault=wrong_scale");
    EXPECT_FALSE(report.passed);
    EXPECT_TRUE(report.guards_intact);
    EXPECT_GT(report.lse_worst_ratio, 1.0);
    EXPECT_GT(report.lse_bad_elements, 100);
    EXPECT_THAT(report.detail, HasSubstr("lse at batch 0, head 0, row 0"));
}

TEST_F(CudaDeviceTest, StaleOutputsNeverPass) {
    // A correct variant has just left the right answers in the very same buffers.
    EXPECT_TRUE(check("").passed);
    const CheckReport report = check("fault=stale_rows");
    EXPECT_FALSE(report.passed);
    EXPECT_THAT(report.detail, HasSubstr("row 3 "));
    EXPECT_THAT(report.detail, HasSubstr("nan"));
    EXPECT_FALSE(check("fault=nan_padding", {0, Stress::seq_len_129}).passed);
}

TEST_F(CudaDeviceTest, WritesOutsideAreCaught) {
    for (const char* fault : {"overrun", "lse_overrun", "workspace_overrun", "writes_input"}) {
        const CheckReport report = check(std::string("fault=") + fault);
        EXPECT_FALSE(report.passed) << fault;
        EXPECT_FALSE(report.guards_intact) << fault;
        EXPECT_THAT(report.detail, HasSubstr("wrote")) << fault;
        // Whoever comes next is not blamed for it.
        const CheckReport next = check("");
        EXPECT_TRUE(next.passed) << fault << ": " << next.detail;
    }
}

TEST_F(CudaDeviceTest, TheWorkspaceIsClearedAsThePlanAsks) {
    load(Slot::challenger, "");
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(device_->check(Slot::challenger, 0, {}).value().passed);
    load(Slot::challenger, "fault=dirty_workspace");
    EXPECT_TRUE(device_->check(Slot::challenger, 0, {}).value().passed) << "zeroed once, when allocated";
    EXPECT_FALSE(device_->check(Slot::challenger, 0, {}).value().passed) << "and not again unless asked for";
}

TEST_F(CudaDeviceTest, ARefusedLaunchIsAFailureAndHarmsNobody) {
    Variant impossible = variant(kNaive, "");
    for (LaunchPlan& plan : impossible.plans)
        plan.kernels[0].threads = 4096;
    ASSERT_TRUE(device_->load(Slot::challenger, impossible).ok());
    const Result<CheckReport> report = device_->check(Slot::challenger, 0, {});
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.failure().outcome, Outcome::launch_error);
    EXPECT_THAT(report.failure().diagnostics, HasSubstr("attend"));
    EXPECT_FALSE(device_->poisoned());
    EXPECT_TRUE(check("").passed);
}

TEST_F(CudaDeviceTest, AnArtifactThatIsNoCubinIsRefused) {
    Variant broken = variant(kNaive, "");
    broken.artifact.path = folder_
                               .write("broken.cubin",
                                      "\x7f"
                                      "ELF and nothing more")
                               .string();
    const Result<bool> loaded = device_->load(Slot::challenger, broken);
    ASSERT_FALSE(loaded.ok());
    EXPECT_EQ(loaded.failure().outcome, Outcome::launch_error);
    EXPECT_FALSE(device_->poisoned());
}

TEST_F(CudaDeviceTest, AnArtifactThatIsGoneIsNobodysFailure) {
    Variant gone = variant(kNaive, "");
    gone.artifact.path = (folder_.path() / "gone").string();
    EXPECT_THROW(static_cast<void>(device_->load(Slot::challenger, gone)), ArtifactMissing);
}

TEST_F(CudaDeviceTest, AnIllegalAddressIsACrashThatPoisons) {
    // In a process of its own: the context is beyond repair afterwards.
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto crash = [this] {
        load(Slot::challenger, "fault=illegal_address");
        const Result<CheckReport> report = device_->check(Slot::challenger, 0, {});
        const bool told = !report.ok() && report.failure().outcome == Outcome::crash && device_->poisoned();
        std::error_code ignored;
        fs::remove_all(folder_.path(), ignored);
        std::_Exit(told ? 0 : 1);
    };
    EXPECT_EXIT(crash(), testing::ExitedWithCode(0), "");
}

TEST_F(CudaDeviceTest, TimesAreCountedAndFollowTheWork) {
    load(Slot::challenger, "repeat=4");
    load(Slot::incumbent, "repeat=1");
    const SampleRequest request{2, 40, 10};  // more cold samples than one batch holds
    const Result<Samples> slow = device_->time(Slot::challenger, 2, request);
    const Result<Samples> fast = device_->time(Slot::incumbent, 2, request);
    ASSERT_TRUE(slow.ok() && fast.ok());
    EXPECT_THAT(slow.value().cold_ms, SizeIs(40));
    EXPECT_THAT(slow.value().warm_ms, SizeIs(10));
    EXPECT_THAT(fast.value().cold_ms, Each(Gt(0.0F)));
    EXPECT_THAT(fast.value().warm_ms, Each(Gt(0.0F)));
    EXPECT_GT(median(slow.value().cold_ms), median(fast.value().cold_ms));
    EXPECT_GT(median(slow.value().warm_ms), median(fast.value().warm_ms));

    const Result<PairedSamples> paired = device_->pair(2, 21);
    ASSERT_TRUE(paired.ok());
    ASSERT_THAT(paired.value().a_ms, SizeIs(21));
    ASSERT_THAT(paired.value().b_ms, SizeIs(21));
    EXPECT_GT(median(paired.value().a_ms), median(paired.value().b_ms));
}

/// The score is taken with the kernel's instructions in the SMs, where the flush leaves them; so must the verdict be,
/// or a kernel with much code loses it by what the other one's instructions have displaced. That takes kernels of a
/// size which only a real one has.
TEST_F(CudaDeviceTest, APairIsTimedAsEachIsAlone) {
    const fs::path folder = ATTUNE_SOURCE_DIR "/kernel_templates/sm90_ws";
    if (!load_template(folder).unsupported_reason(device_->target()).empty()) GTEST_SKIP() << "needs compute 9.0";
    suite_ = one_case_a_family("quick", {.case_id = {},
                                         .num_heads = 16,
                                         .t_max = 4096,
                                         .window_blocks = 4,
                                         .global_blocks = 1,
                                         .retrieval_blocks = 2,
                                         .seed = 7});
    device_->open_suite(suite_);
    const Variant larger = variant(folder, "diagonal_skip=1");
    const Variant smaller = variant(folder, "diagonal_skip=0");
    ASSERT_TRUE(device_->load(Slot::challenger, larger).ok());
    const Result<Samples> alone = device_->time(Slot::challenger, 0, {2, 40, 0});
    ASSERT_TRUE(alone.ok());
    std::vector<float> paired;
    for (int i = 0; i < 40; ++i) {
        ASSERT_TRUE(device_->load(Slot::challenger, larger).ok() && device_->load(Slot::incumbent, smaller).ok());
        const Result<PairedSamples> taken = device_->pair(0, 1);
        ASSERT_TRUE(taken.ok());
        paired.push_back(taken.value().a_ms.front());
    }
    RecordProperty("alone_us", std::to_string(1e3F * median(alone.value().cold_ms)));
    RecordProperty("paired_us", std::to_string(1e3F * median(paired)));
    EXPECT_LT(median(paired), 1.06F * median(alone.value().cold_ms));
}

TEST_F(CudaDeviceTest, AnEmptySlotIsAFailure) {
    EXPECT_FALSE(device_->check(Slot::incumbent, 0, {}).ok());
    EXPECT_FALSE(device_->pair(0, 1).ok());
}

TEST(CudaDevice, AMissingGpuIsNamed) {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no CUDA GPU here";
    const TempFolder folder;
    try {
        const CudaDevice device(CudaDeviceOptions{4096, {}, "test"}, ArtifactCache(folder.path()));
        FAIL() << "there is a GPU 4096";
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), HasSubstr("cuda:4096"));
    }
}

TEST(CudaBackend, SaysWhatIsMissing) {
    for (const Capability& capability : cuda_capabilities({})) {
        EXPECT_FALSE(capability.what.empty());
        EXPECT_FALSE(capability.detail.empty()) << capability.what;
        EXPECT_EQ(capability.remedy.empty(), capability.available) << capability.what << ": " << capability.detail;
    }
    EXPECT_GE(cuda_device_count(), 0);
}

}  // namespace
}  // namespace attune
