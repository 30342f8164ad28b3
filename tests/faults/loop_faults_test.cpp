// The loop with a device that misbehaves: doubles of the seam, the real store.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <random>
#include <thread>

#include "config/template.h"
#include "core/one_case_a_family.h"
#include "core/temp_folder.h"
#include "loop/compile_pool.h"
#include "loop/coordinator.h"
#include "loop/evaluate.h"
#include "loop/fakes.h"

namespace attune {
namespace {

using testing::Behaviour;
using testing::FakeCompiler;
using testing::FakeDevice;
using ::testing::HasSubstr;
using testing::Knobs;

/// The death of a coordinator in the middle of its work, as far as one process can show it.
struct Death {};

class DyingObserver : public LoopObserver {
  public:
    void on_iteration(std::int64_t, const IterationRecord&, const LoopProgress&) override { count_down(); }
    void on_tick(const LoopProgress&) override { count_down(); }
    void on_message(const std::string& message) override { messages += message + "\n"; }

    int steps_left = -1;  ///< -1: immortal
    std::string messages;

  private:
    void count_down() {
        if (steps_left > 0 && --steps_left == 0) throw Death();
    }
};

/// Leaves addresses for a few threads more, while it lives.
class RoomForFewThreads {
  public:
    RoomForFewThreads() {
        constexpr std::size_t kStackBytes = std::size_t{1} << 30U;
        ::pthread_getattr_default_np(&stack_before_);
        pthread_attr_t stack;
        ::pthread_getattr_default_np(&stack);
        ::pthread_attr_setstacksize(&stack, kStackBytes);
        ::pthread_setattr_default_np(&stack);
        rlim_t pages = 0;
        std::ifstream("/proc/self/statm") >> pages;
        ::getrlimit(RLIMIT_AS, &limit_before_);
        const rlimit limit{pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + 7 * kStackBytes / 2,
                           limit_before_.rlim_max};
        ::setrlimit(RLIMIT_AS, &limit);
    }
    ~RoomForFewThreads() {
        ::setrlimit(RLIMIT_AS, &limit_before_);
        ::pthread_setattr_default_np(&stack_before_);
    }
    RoomForFewThreads(const RoomForFewThreads&) = delete;
    RoomForFewThreads& operator=(const RoomForFewThreads&) = delete;

  private:
    pthread_attr_t stack_before_{};
    rlimit limit_before_{};
};

TEST(CompilePoolTest, ThreadsThatCannotBeStartedAreSaidAndTheOthersEnd) {
    const RoomForFewThreads room;
    Behaviour behaviour;
    EventQueue events;
    const auto make = [&] { return std::make_unique<FakeCompiler>(behaviour); };
    EXPECT_NO_THROW(CompilePool(2, make, events));
    EXPECT_THROW(CompilePool(8, make, events), EnvironmentError);
}

class LoopFaultsTest : public ::testing::Test {
  protected:
    LoopFaultsTest() : toy_(load_template(ATTUNE_SOURCE_DIR "/tests/loop/data/toy")) {
        study_.name = "toy";
        study_.template_name = "toy";
        study_.suite = one_case_a_family("three", {.case_id = {}, .t_max = 256, .window_blocks = 1});
    }

    LoopEnd run(const std::filesystem::path& database, const std::string& strategy = "exhaustive") {
        const Space space = toy_.space(target_);
        LoopSetup setup{.study = study_, .kernel_template = toy_, .space = space};
        setup.devices.push_back(make_device());
        setup.make_compiler = [this] { return std::make_unique<FakeCompiler>(behaviour_); };
        setup.load_edition = [](std::vector<SourceFile> files) { return make_template(std::move(files), "record"); };
        setup.boot_id = "this-boot";
        Store store(database);
        store.open_study(study_, toy_);
        const auto search = make_strategy(strategy, space, 1);
        return run_loop(std::move(setup), store, *search, {}, stop_, observer_);
    }
    virtual std::unique_ptr<Device> make_device() { return std::make_unique<FakeDevice>(behaviour_); }

    /// Everything a verdict consists of, in the order recorded.
    std::vector<std::string> verdicts(const std::filesystem::path& database) {
        Store store(database);
        store.open_study(study_, toy_);
        std::vector<std::string> lines;
        for (const IterationRow& row : store.iterations()) {
            lines.push_back(fmt::format("{} {} {} {} {} {}", row.iter, row.params, to_string(row.status),
                                        to_string(row.outcome), row.geomean_ms.value_or(0), row.delta_ms.value_or(0)));
        }
        return lines;
    }

    TempFolder folder_;
    TargetFacts target_{.kind = DeviceKind::cpu, .arch = 0, .arch_name = "native"};
    KernelTemplate toy_;
    Study study_;
    Behaviour behaviour_{.latency_ms = [](const Knobs& knobs) {
        const double a = knobs.at("a") - 3.0;
        return 1.0 + 0.1 * a * a + 0.05 * knobs.at("b");
    }};
    std::atomic<bool> stop_{false};
    DyingObserver observer_;
};

class InterruptionTest : public LoopFaultsTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(InterruptionTest, GivesTheVerdictsOfAnUndisturbedRun) {
    ASSERT_EQ(run(folder_.path() / "undisturbed/attune.db", GetParam()), LoopEnd::exhausted);
    const auto undisturbed = verdicts(folder_.path() / "undisturbed/attune.db");
    ASSERT_EQ(undisturbed.size(), 40U);

    std::mt19937 random(7);
    for (int round = 0; round < 3; ++round) {
        const auto database = folder_.path() / fmt::format("round-{}/attune.db", round);
        for (int deaths = 0;; ++deaths) {
            observer_.steps_left = std::uniform_int_distribution(1, 40)(random);
            try {
                ASSERT_EQ(run(database, GetParam()), LoopEnd::exhausted);
                EXPECT_GT(deaths, 0);
                break;
            } catch (const Death&) {
            }
        }
        EXPECT_EQ(verdicts(database), undisturbed) << "round " << round;
    }
}

INSTANTIATE_TEST_SUITE_P(Strategies, InterruptionTest, ::testing::Values("exhaustive", "random"));

// The death of a process in earnest: the kernel ends it wherever it is, in a commit or between two.
class SigkillTest : public LoopFaultsTest {
  protected:
    class SlowDevice : public FakeDevice {
      public:
        using FakeDevice::FakeDevice;
        Result<Samples> time(Slot slot, std::size_t case_index, const SampleRequest& request) override {
            std::this_thread::sleep_for(std::chrono::microseconds(500));
            return FakeDevice::time(slot, case_index, request);
        }
    };
    std::unique_ptr<Device> make_device() override { return std::make_unique<SlowDevice>(behaviour_); }

    /// Runs the study in a process of its own. Whether it came to its end before `life` was over and it was killed.
    bool run_for(const std::filesystem::path& database, std::chrono::microseconds life) {
        const pid_t child = ::fork();
        if (child == 0) ::_exit(run(database) == LoopEnd::exhausted ? 0 : 1);
        std::this_thread::sleep_for(life);
        ::kill(child, SIGKILL);
        int status = 0;
        EXPECT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        return WIFEXITED(status);
    }
};

TEST_F(SigkillTest, AtTwoHundredRandomInstantsTheVerdictsAreThoseOfAnUndisturbedRun) {
    constexpr int kKills = 200;
    const auto started = std::chrono::steady_clock::now();
    ASSERT_EQ(run(folder_.path() / "undisturbed/attune.db"), LoopEnd::exhausted);
    const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - started;
    const auto undisturbed = verdicts(folder_.path() / "undisturbed/attune.db");
    ASSERT_EQ(undisturbed.size(), 40U);

    std::mt19937 random(11);
    int studies = 0;
    for (int kills = 0; kills < kKills; ++studies) {
        const auto database = folder_.path() / fmt::format("study-{}/attune.db", studies);
        const auto some_time = [&] {
            const std::chrono::duration<double> time = whole * std::uniform_real_distribution(0.0, 0.7)(random);
            return std::chrono::duration_cast<std::chrono::microseconds>(time);
        };
        while (kills < kKills && !run_for(database, some_time()))
            ++kills;
        ASSERT_EQ(run(database), LoopEnd::exhausted);
        ASSERT_EQ(verdicts(database), undisturbed) << "study " << studies << ", after " << kills << " kills";
    }
    std::cout << kKills << " kills over " << studies << " studies, whole run " << whole.count() << " s\n";
}

class ThrottlingTest : public LoopFaultsTest {
  protected:
    class ThrottlingDevice : public FakeDevice {
      public:
        ThrottlingDevice(const Behaviour& behaviour, int& throttled) : FakeDevice(behaviour), throttled_(throttled) {}
        Result<Samples> time(Slot slot, std::size_t case_index, const SampleRequest& request) override {
            Result<Samples> samples = FakeDevice::time(slot, case_index, request);
            if (throttled_ == 0) return samples;
            --throttled_;
            samples.value().throttled = true;
            for (float& sample : samples.value().cold_ms)
                sample *= 3.0F;
            return samples;
        }

      private:
        int& throttled_;
    };

    Evaluation evaluate(int throttled) {
        throttled_left_ = throttled;
        ThrottlingDevice device(behaviour_, throttled_left_);
        Variant variant;
        variant.artifact.path = "static constexpr int a = 3; static constexpr int b = 0;";
        return Evaluator(device, study_.suite, study_.measure, {}).evaluate({variant, std::nullopt, 0, 1});
    }
    int throttled_left_ = 0;
};

TEST_F(ThrottlingTest, AThrottledBatchIsTakenAgain) {
    const Evaluation evaluation = evaluate(2);
    EXPECT_EQ(evaluation.status, Status::keep);
    EXPECT_NEAR(*evaluation.geomean_ms, 1.0, 1e-6);
    for (const CaseRecord& record : evaluation.cases)
        EXPECT_FALSE(record.samples.throttled);
}

TEST_F(ThrottlingTest, WhatKeepsThrottlingIsMarkedAndGoesOn) {
    const Evaluation evaluation = evaluate(1000);
    EXPECT_EQ(evaluation.outcome, Outcome::ok);
    for (const CaseRecord& record : evaluation.cases)
        EXPECT_TRUE(record.samples.throttled);
    EXPECT_GE(throttled_left_, 1000 - 3 - 3 * study_.measure.max_samples / study_.measure.min_samples);
}

class CleanedCacheTest : public LoopFaultsTest {
  protected:
    class ForgetfulDevice : public FakeDevice {
      public:
        ForgetfulDevice(const Behaviour& behaviour, int& losses) : FakeDevice(behaviour), losses_(losses) {}
        Result<bool> load(Slot slot, const Variant& variant) override {
            if (losses_ > 0 && loads >= 2 && losses_-- > 0) throw ArtifactMissing("/cache/ab/artifact");
            return FakeDevice::load(slot, variant);
        }

      private:
        int& losses_;
    };
    std::unique_ptr<Device> make_device() override { return std::make_unique<ForgetfulDevice>(behaviour_, losses_); }
    int losses_ = 0;
};

TEST_F(CleanedCacheTest, WhatIsGoneIsCompiledAgain) {
    losses_ = 2;
    EXPECT_EQ(run(folder_.path() / "attune.db"), LoopEnd::exhausted);
    EXPECT_EQ(verdicts(folder_.path() / "attune.db").size(), 40U);
    EXPECT_THAT(observer_.messages, HasSubstr("compiling again"));
}

TEST_F(CleanedCacheTest, ACacheThatLosesEverythingEndsTheRun) {
    losses_ = 1000;
    try {
        (void)run(folder_.path() / "attune.db");
        FAIL() << "the loop went on";
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), HasSubstr("ATTUNE_CACHE"));
    }
    EXPECT_EQ(verdicts(folder_.path() / "attune.db").size(), 2U);
}

class HiccupTest : public LoopFaultsTest {
  protected:
    class HiccupDevice : public FakeDevice {
      public:
        HiccupDevice(const Behaviour& behaviour, int& failures) : FakeDevice(behaviour), failures_(failures) {}
        Result<Samples> time(Slot slot, std::size_t case_index, const SampleRequest& request) override {
            if (slot == Slot::incumbent && failures_ > 0 && failures_-- > 0) {
                return Failure{Outcome::crash, "the device worker died; killed by signal 9 (Killed)"};
            }
            return FakeDevice::time(slot, case_index, request);
        }

      private:
        int& failures_;
    };
    std::unique_ptr<Device> make_device() override { return std::make_unique<HiccupDevice>(behaviour_, failures_); }
    int failures_ = 0;
};

TEST_F(HiccupTest, AnIncumbentWhoseWorkerDiedIsTimedAgain) {
    failures_ = 2;
    EXPECT_EQ(run(folder_.path() / "attune.db"), LoopEnd::exhausted);
    EXPECT_EQ(verdicts(folder_.path() / "attune.db").size(), 40U);
}

TEST_F(HiccupTest, AnIncumbentThatNoLongerRunsEndsTheRun) {
    failures_ = 1000;
    EXPECT_THROW((void)run(folder_.path() / "attune.db"), EnvironmentError);
}

}  // namespace
}  // namespace attune
