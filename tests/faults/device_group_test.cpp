// Several devices at once: worker processes that are shells where the start is concerned, the built program's own
// workers where a sweep is.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <set>

#include "config/study.h"
#include "config/template.h"
#include "faults/program.h"
#include "faults/shell_worker.h"
#include "loop/coordinator.h"
#include "worker/device_group.h"

namespace attune {
namespace {

using ::testing::ElementsAre;
using testing::kWait;
using testing::say;
using testing::shell;
using testing::target_answer;

/// Reads one request and drops it.
const std::string kTake = "head -c $(head -c 4 <&3 | od -An -tu4) <&3 >/dev/null;";
const std::string kSayTarget = kTake + say(target_answer());

class DeviceGroupTest : public ::testing::Test {
  protected:
    void add(const std::string& script) {
        const DeviceDeadlines deadlines{.request_s = 30.0, .open_s = 30.0, .retry_s = 0.01};
        devices_.push_back(
            std::make_unique<RemoteDevice>(shell(script), deadlines, fmt::format("cuda:{}", devices_.size())));
    }
    /// Shell words that wait until two workers have come here.
    [[nodiscard]] std::string meet(const std::string& place) const {
        const std::string folder = (folder_.path() / place).string();
        return fmt::format("mkdir -p {0}; : > {0}/$$; while [ $(ls {0} | wc -l) -lt 2 ]; do sleep 0.01; done;", folder);
    }
    [[nodiscard]] std::vector<std::string> labels() const {
        std::vector<std::string> labels;
        for (const auto& device : devices_)
            labels.push_back(device->label());
        return labels;
    }

    TempFolder folder_;
    DeviceGroup devices_;
    std::vector<std::string> losses_;
    TellLoss tell_ = [this](const std::string& loss) { losses_.push_back(loss); };
};

// No worker answers before the other is asked.
TEST_F(DeviceGroupTest, AllAreBegunBeforeAnyIsWaitedFor) {
    for (int i = 0; i < 2; ++i)
        add(kTake + meet("start") + say(target_answer()) + kWait);
    start_together(devices_, tell_);
    EXPECT_THAT(labels(), ElementsAre("cuda:0", "cuda:1"));
    EXPECT_THAT(losses_, ElementsAre());
}

TEST_F(DeviceGroupTest, WhatFailsToStartLeaves) {
    add(kTake + say({{"environment", "it fell off the bus"}}) + kWait);
    add(kSayTarget + kWait);
    start_together(devices_, tell_);
    EXPECT_THAT(labels(), ElementsAre("cuda:1"));
    EXPECT_THAT(losses_, ElementsAre("cuda:0: it fell off the bus"));
}

TEST_F(DeviceGroupTest, WithoutAnyTheReasonIsThrown) {
    add(kTake + say({{"environment", "no such GPU"}}) + kWait);
    add(kTake + say({{"environment", "nor such"}}) + kWait);
    try {
        start_together(devices_, tell_);
        FAIL() << "nothing was thrown";
    } catch (const EnvironmentError& error) {
        EXPECT_STREQ(error.what(), "no such GPU");
    }
    EXPECT_THAT(losses_, ElementsAre());
}

/// Takes one device away for good once a few iterations are recorded.
class Saboteur : public LoopObserver {
  public:
    Saboteur(RemoteDevice& victim, std::filesystem::path gone) : victim_(victim), gone_(std::move(gone)) {}
    void on_iteration(std::int64_t iter, const IterationRecord&, const LoopProgress&) override {
        last_iter = iter;
        if (iter != 3) return;
        std::ofstream(gone_) << "gone";
        ::kill(victim_.worker_pid(), SIGKILL);
    }
    void on_tick(const LoopProgress&) override {}
    void on_message(const std::string& message) override {
        messages += message;
        lost_after = last_iter;
    }

    std::int64_t last_iter = 0, lost_after = 0;
    std::string messages;

  private:
    RemoteDevice& victim_;
    std::filesystem::path gone_;
};

/// The built program's workers on the CPU, as two devices; that of the second does not start where `gone` exists.
class LostDeviceTest : public ::testing::Test {
  protected:
    [[nodiscard]] WorkerCommand worker(const std::string& role, const std::filesystem::path& gone = {}) const {
        return shell(
            fmt::format("[ -e '{}' ] && exit 9; exec {} worker {} --kind cpu", gone.string(), ATTUNE_BINARY, role));
    }

    testing::Workshop workshop_;
};

TEST_F(LostDeviceTest, TheSweepGoesOnWithTheRest) {
    workshop_.warm_cache();
    ::setenv("ATTUNE_CACHE", workshop_.cache().c_str(), 1);
    const Study study = load_study(testing::data("healthy.json"), ATTUNE_SOURCE_DIR);
    const KernelTemplate kernel_template = load_template(study.template_folder).restricted(study.space);
    const auto gone = workshop_.path("gone");
    DeviceGroup devices;
    for (const std::string label : {"first", "second"}) {
        const WorkerCommand command = worker("device", label == "second" ? gone : "");
        devices.push_back(
            std::make_unique<RemoteDevice>(command, DeviceDeadlines{.request_s = 30.0, .retry_s = 0.01}, label));
    }
    start_together(devices, [](const std::string& loss) { FAIL() << loss; });
    Saboteur saboteur(*devices.back(), gone);

    const Space space = kernel_template.space(devices.front()->target());
    LoopSetup setup{.study = study, .kernel_template = kernel_template, .space = space};
    for (auto& device : devices)
        setup.devices.push_back(std::move(device));
    setup.make_compiler = [this] { return std::make_unique<RemoteCompiler>(worker("compile"), 60.0); };
    setup.boot_id = "this-boot";
    std::filesystem::create_directories(workshop_.database().parent_path());
    Store store(workshop_.database());
    store.open_study(study, kernel_template);
    const auto strategy = make_strategy("exhaustive", space, 1);
    const std::atomic<bool> stop{false};
    EXPECT_EQ(run_loop(std::move(setup), store, *strategy, {}, stop, saboteur), LoopEnd::exhausted);

    EXPECT_THAT(saboteur.messages, ::testing::HasSubstr("device lost"));
    EXPECT_THAT(saboteur.messages, ::testing::HasSubstr("second"));
    EXPECT_LT(saboteur.lost_after, saboteur.last_iter);
    std::set<std::string> params;
    for (const IterationRow& row : store.iterations())
        params.insert(row.params);
    EXPECT_EQ(params.size(), 16U);
    EXPECT_EQ(store.iterations().size(), 16U);
}

}  // namespace
}  // namespace attune
