// Checks and timings on the real CPU: what passes, and everything a check must catch.
#include "backend/cpu/cpu_device.h"

#include <chrono>
#include <thread>

#include "backend/cpu_fixture.h"
#include "core/error.h"

namespace attune {
namespace {

using testing::Each;
using testing::Gt;
using testing::HasSubstr;
using testing::SizeIs;

class CpuDeviceTest : public CpuBackend {
  protected:
    CheckReport check(const std::string& settings, Draw draw = {}, std::size_t case_index = 0) {
        const Result<bool> loaded = load(device_, Slot::challenger, settings);
        EXPECT_TRUE(loaded.ok()) << loaded.failure().diagnostics;
        const Result<CheckReport> report = device_.check(Slot::challenger, case_index, draw);
        EXPECT_TRUE(report.ok()) << report.failure().diagnostics;
        return report.value();
    }
    CpuDevice device_ = open_device();
};

TEST_F(CpuDeviceTest, CorrectVariantsPassEveryFamilyDrawAndStress) {
    ASSERT_TRUE(load(device_, Slot::challenger, "threads=2,unroll=4").ok());
    for (std::size_t index = 0; index < suite_.cases.size(); ++index) {
        std::vector<Draw> draws{{0, Stress::none}, {1, Stress::none}, {99, Stress::none}};
        for (const Stress stress : kStresses)
            draws.push_back({0, stress});
        for (const Draw draw : draws) {
            const Result<CheckReport> report = device_.check(Slot::challenger, index, draw);
            ASSERT_TRUE(report.ok());
            EXPECT_TRUE(report.value().passed)
                << index << " " << to_string(draw.stress) << ": " << report.value().detail;
            EXPECT_LT(report.value().o_worst_ratio, 1.0);
            EXPECT_LT(report.value().lse_worst_ratio, 1.0);
        }
    }
}

class ShippedCpuTemplate : public CpuBackend, public testing::WithParamInterface<const char*> {
  protected:
    ShippedCpuTemplate() : CpuBackend(ATTUNE_SOURCE_DIR "/kernel_templates/cpu_blocked") {}
};

TEST_P(ShippedCpuTemplate, PassesOnPlainAndStressDraws) {
    CpuDevice device = open_device();
    const Result<bool> loaded = load(device, Slot::challenger, GetParam());
    ASSERT_TRUE(loaded.ok()) << loaded.failure().diagnostics;
    for (std::size_t index = 0; index < suite_.cases.size(); ++index) {
        std::vector<Draw> draws{{0, Stress::none}, {1, Stress::none}};
        for (const Stress stress : kStresses)
            draws.push_back({0, stress});
        for (const Draw draw : draws) {
            const Result<CheckReport> report = device.check(Slot::challenger, index, draw);
            ASSERT_TRUE(report.ok()) << report.failure().diagnostics;
            EXPECT_TRUE(report.value().passed)
                << index << " " << to_string(draw.stress) << ": " << report.value().detail;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(
    Variants, ShippedCpuTemplate,
    testing::Values("", "pack=head,threads=2,order=longest_first",
                    "tile_m=128,tile_n=128,v_layout=direct,exp2=poly5,schedule=dynamic,threads=2"));

TEST_F(CpuDeviceTest, WrongResultsAreMeasuredAndLocated) {
    const CheckReport report = check("fault=wrong_scale");
    EXPECT_FALSE(report.passed);
    EXPECT_TRUE(report.guards_intact);
    EXPECT_GT(report.lse_worst_ratio, 1.0);
    EXPECT_GT(report.lse_bad_elements, 100);
    EXPECT_THAT(report.detail, HasSubstr("lse at batch 0, head 0, row 0"));
}

TEST_F(CpuDeviceTest, StaleOutputsNeverPass) {
    // A correct variant has just left the right answers in the very same buffers.
    EXPECT_TRUE(check("").passed);
    const CheckReport rows = check("fault=stale_rows");
    EXPECT_FALSE(rows.passed);
    EXPECT_THAT(rows.detail, HasSubstr("row 7 "));
    EXPECT_THAT(rows.detail, HasSubstr("nan"));
    EXPECT_FALSE(check("fault=nan_padding").passed);
}

TEST_F(CpuDeviceTest, WritesOutsideTheBuffersAreCaught) {
    const auto expect_caught = [&](const std::string& fault, const std::string& words) {
        const CheckReport report = check("fault=" + fault);
        EXPECT_FALSE(report.passed) << fault;
        EXPECT_FALSE(report.guards_intact) << fault;
        EXPECT_THAT(report.detail, HasSubstr(words));
        // The bands are whole again: the next variant is not blamed.
        EXPECT_TRUE(check("").guards_intact);
    };
    expect_caught("overrun", "wrote outside o: 10 bytes behind its end");
    expect_caught("underrun", "wrote outside o: 5 bytes before its start");
    expect_caught("lse_overrun", "wrote outside lse: 0 bytes behind its end");
    expect_caught("workspace_overrun", "wrote outside the workspace: 0 bytes behind its end");
}

TEST_F(CpuDeviceTest, WorkspaceIsZeroAtFirstAndClearedAsPlanned) {
    // This fault counts calls in the workspace and spoils every call but the first.
    EXPECT_TRUE(check("fault=dirty_workspace").passed);
    const Result<CheckReport> again = device_.check(Slot::challenger, 0, {});
    EXPECT_FALSE(again.value().passed);
    // The same code with a plan that clears the counter never sees it.
    EXPECT_FALSE(check("fault=workspace_overrun").detail.starts_with("o at"));
    EXPECT_TRUE(device_.check(Slot::challenger, 0, {}).value().detail.starts_with("wrote outside"));
    // A reload starts afresh, and so does another case.
    EXPECT_TRUE(check("fault=dirty_workspace").passed);
    EXPECT_TRUE(device_.check(Slot::challenger, 1, {}).value().passed);
}

TEST_F(CpuDeviceTest, SlotsAreIndependent) {
    // Both variants define the same names, among them the inline constants of Tune.
    ASSERT_TRUE(load(device_, Slot::incumbent, "fault=none").ok());
    ASSERT_TRUE(load(device_, Slot::challenger, "fault=wrong_scale").ok());
    EXPECT_TRUE(device_.check(Slot::incumbent, 0, {}).value().passed);
    EXPECT_FALSE(device_.check(Slot::challenger, 0, {}).value().passed);
    EXPECT_TRUE(device_.check(Slot::incumbent, 0, {}).value().passed);
}

TEST_F(CpuDeviceTest, LoadedConstantsAreTheVariantsOwn) {
    // Odr-used inline variables: shared across the process unless the compiler is told otherwise.
    const auto variant_of = [&](const std::string& value) {
        const std::string source =
            "#include \"attune/attn_args.h\"\n#include <cmath>\n"
            "struct Tune { static constexpr int value = " +
            value +
            "; };\n"
            "extern \"C\" void entry(const AttnArgs* args) {\n"
            "    const volatile int* address = &Tune::value;\n"
            "    for (int i = 0; i < args->batch * args->heads * args->t_max; ++i) args->lse[i] = *address;\n}\n";
        CompileJob raw{job("").sources, "k.cpp", {"entry"}, DeviceKind::cpu, "native"};
        raw.sources.push_back({"k.cpp", source});
        LaunchPlan plan;
        plan.kernels.push_back({"entry", {1, 1, 1}, 1, 0, 1});
        Result<Artifact> artifact = compiler_.compile(raw);
        EXPECT_TRUE(artifact.ok()) << artifact.failure().diagnostics;
        return Variant{artifact.value(), std::vector<LaunchPlan>(suite_.cases.size(), plan)};
    };
    ASSERT_TRUE(device_.load(Slot::incumbent, variant_of("1111")).ok());
    ASSERT_TRUE(device_.load(Slot::challenger, variant_of("2222")).ok());
    EXPECT_THAT(device_.check(Slot::incumbent, 0, {}).value().detail, HasSubstr("got 1111"));
    EXPECT_THAT(device_.check(Slot::challenger, 0, {}).value().detail, HasSubstr("got 2222"));
}

TEST_F(CpuDeviceTest, WritingAnInputEndsTheProcess) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    ASSERT_TRUE(load(device_, Slot::challenger, "fault=writes_input").ok());
    EXPECT_DEATH((void)device_.check(Slot::challenger, 0, {}), "");
}

TEST_F(CpuDeviceTest, WhatCannotBeLoadedIsALaunchError) {
    Artifact artifact;
    artifact.path = folder_.write("text.so", "no machine code").string();
    const Result<bool> not_code = device_.load(Slot::challenger, {artifact, plans("")});
    ASSERT_FALSE(not_code.ok());
    EXPECT_EQ(not_code.failure().outcome, Outcome::launch_error);

    artifact.path = (folder_.path() / "none.so").string();
    EXPECT_THROW((void)device_.load(Slot::challenger, {artifact, plans("")}), ArtifactMissing);

    std::vector<LaunchPlan> other_entry = plans("");
    other_entry[0].kernels[0].entry = "no_such_entry";
    const Result<bool> no_entry = device_.load(Slot::challenger, {compiler_.compile(job("")).value(), other_entry});
    ASSERT_FALSE(no_entry.ok());
    EXPECT_THAT(no_entry.failure().diagnostics, HasSubstr("no_such_entry"));

    const Result<CheckReport> empty_slot = device_.check(Slot::challenger, 0, {});
    ASSERT_FALSE(empty_slot.ok());
    EXPECT_EQ(empty_slot.failure().outcome, Outcome::launch_error);
}

TEST_F(CpuDeviceTest, ImpossibleWorkspacesAreLaunchErrors) {
    std::vector<LaunchPlan> greedy = plans("");
    greedy[0].workspace_bytes = std::int64_t{1} << 60;
    ASSERT_TRUE(device_.load(Slot::challenger, {compiler_.compile(job("")).value(), greedy}).ok());
    const Result<CheckReport> report = device_.check(Slot::challenger, 0, {});
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.failure().outcome, Outcome::launch_error);
    EXPECT_THAT(report.failure().diagnostics, HasSubstr("workspace"));
}

TEST_F(CpuDeviceTest, TimesWhatWasAskedFor) {
    ASSERT_TRUE(load(device_, Slot::challenger, "unroll=8").ok());
    ASSERT_TRUE(load(device_, Slot::incumbent, "").ok());
    const Result<Samples> samples = device_.time(Slot::challenger, 2, {1, 5, 4});
    ASSERT_TRUE(samples.ok());
    EXPECT_THAT(samples.value().cold_ms, SizeIs(5));
    EXPECT_THAT(samples.value().warm_ms, SizeIs(4));
    EXPECT_THAT(samples.value().cold_ms, Each(Gt(0.0F)));
    EXPECT_THAT(samples.value().warm_ms, Each(Gt(0.0F)));
    const Result<PairedSamples> pairs = device_.pair(2, 3);
    ASSERT_TRUE(pairs.ok());
    EXPECT_THAT(pairs.value().a_ms, SizeIs(3));
    EXPECT_THAT(pairs.value().b_ms, SizeIs(3));
}

TEST_F(CpuDeviceTest, TimingAVariantDoesNotSpoilItsNextCheck) {
    ASSERT_TRUE(load(device_, Slot::challenger, "").ok());
    ASSERT_TRUE(device_.check(Slot::challenger, 0, {0, Stress::seq_len_1}).ok());
    ASSERT_TRUE(device_.time(Slot::challenger, 1, {0, 1, 1}).ok());
    EXPECT_TRUE(device_.check(Slot::challenger, 0, {}).value().passed);
}

TEST_F(CpuDeviceTest, SmallBudgetsRecomputeInsteadOfFailing) {
    CpuDevice frugal({"", "test", 1}, ArtifactCache(folder_.path() / "cache"));
    frugal.open_suite(suite_);
    ASSERT_TRUE(load(frugal, Slot::challenger, "").ok());
    for (const std::uint32_t index : {0U, 1U, 0U}) {
        EXPECT_TRUE(frugal.check(Slot::challenger, 0, {index, Stress::none}).value().passed);
    }
}

TEST_F(CpuDeviceTest, SuitesBeyondTheMachineAreRefusedWithTheCase) {
    Suite huge = suite_;
    huge.cases[1].batch_size = 1 << 10;
    huge.cases[1].num_heads = 1 << 10;
    huge.cases[1].t_max = 1 << 20;
    try {
        device_.open_suite(huge);
        FAIL() << "accepted";
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), HasSubstr("case 'sliding_window_global' needs"));
    }
}

TEST_F(CpuDeviceTest, SaysWhatItIs) {
    EXPECT_EQ(device_.target().kind, DeviceKind::cpu);
    EXPECT_EQ(device_.target().arch_name, "native");
    const EnvironmentFacts facts = device_.environment();
    EXPECT_FALSE(facts.device_name.empty());
    EXPECT_EQ(facts.device_uuid, "cpu:" + facts.host);
    EXPECT_FALSE(facts.driver_version.empty());
    EXPECT_EQ(facts.compiler, compiler_.version());
    EXPECT_EQ(facts.attune_version, "test");
}

TEST(HostFacts, AreRead) {
    const cpu::HostFacts facts = cpu::read_host_facts();
    EXPECT_GT(facts.cache_bytes, 100'000);
    EXPECT_GT(facts.memory_bytes, std::int64_t{1} << 28);
    EXPECT_FALSE(facts.cpu_identity.empty());
}

}  // namespace
}  // namespace attune
