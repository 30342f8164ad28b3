#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>

#include <deque>
#include <fstream>
#include <limits>
#include <random>
#include <set>
#include <thread>

#include "config/template.h"
#include "core/one_case_a_family.h"
#include "core/temp_folder.h"
#include "loop/coordinator.h"
#include "loop/experiments.h"
#include "loop/fakes.h"

namespace attune {
namespace {

using testing::Behaviour;
using testing::FakeCompiler;
using testing::FakeDevice;
using ::testing::HasSubstr;
using testing::Knobs;

class Watcher : public LoopObserver {
  public:
    void on_iteration(std::int64_t iter, const IterationRecord& record, const LoopProgress&) override {
        records[iter] = record;
        if (record.status == Status::keep) ++kept;
        if (stop && iter >= stop_after) *stop = true;
    }
    void on_tick(const LoopProgress&) override {}
    void on_message(const std::string& message) override { messages += message + "\n"; }

    std::map<std::int64_t, IterationRecord> records;
    std::atomic<int> kept{0};
    std::string messages;
    std::atomic<bool>* stop = nullptr;
    std::int64_t stop_after = std::numeric_limits<std::int64_t>::max();
};

class LoopTest : public ::testing::Test {
  protected:
    LoopTest() : toy_(load_template(ATTUNE_SOURCE_DIR "/tests/loop/data/toy")), space_(toy_.space(target_facts_)) {
        study_.name = "toy";
        study_.template_name = "toy";
        study_.suite = one_case_a_family("three", {.case_id = {}, .t_max = 256, .window_blocks = 1, .seed = 7});
    }

    LoopEnd run(const LoopLimits& limits, const std::string& strategy = "exhaustive", std::size_t devices = 1) {
        LoopSetup setup{.study = study_, .kernel_template = toy_, .space = space_};
        for (std::size_t i = 0; i < devices; ++i) {
            setup.devices.push_back(make_device(i));
        }
        setup.make_compiler = [this] { return std::make_unique<FakeCompiler>(behaviour_); };
        setup.load_edition = [](std::vector<SourceFile> files) { return make_template(std::move(files), "record"); };
        setup.compile_workers = 3;
        setup.boot_id = boot_id_;
        setup.try_arguments = "toy.json";
        setup.strategy_name = strategy;
        setup.baseline_of_each_edition = baseline_of_each_edition_;
        Store store(folder_.path() / "attune.db");
        store.open_study(study_, toy_);
        const auto search = make_strategy(strategy, space_, 1);
        watcher_.stop = &stop_;
        return run_loop(std::move(setup), store, *search, limits, stop_, watcher_);
    }

    virtual std::unique_ptr<Device> make_device(std::size_t index) {
        return std::make_unique<FakeDevice>(behaviour_, "double-" + std::to_string(index));
    }

    /// What a run leaves that dies while it measures `params`.
    void begin(const std::string& params, const std::string& boot_id, const std::string& host = {}) {
        Store store(folder_.path() / "attune.db");
        store.open_study(study_, toy_);
        EnvironmentFacts environment;
        environment.host = host;
        environment.device_uuid = "device of " + host;
        store.begin({params, Experiments(study_, toy_, space_, {}).template_hash(), environment, boot_id});
    }

    std::vector<IterationRow> rows() {
        Store store(folder_.path() / "attune.db");
        store.open_study(study_, toy_);
        return store.iterations();
    }

    /// Somebody edits the template: what was measured before is another kernel now.
    void edit_template(const std::function<void(std::string& template_json)>& edit = [](std::string&) {}) {
        const std::filesystem::path folder = folder_.path() / "edited";
        std::filesystem::create_directories(folder);
        std::filesystem::copy(ATTUNE_SOURCE_DIR "/tests/loop/data/toy", folder,
                              std::filesystem::copy_options::recursive | std::filesystem::copy_options::skip_existing);
        std::ofstream(folder / "kernel.cpp", std::ios::app) << "// edited\n";
        std::string text = read_file(folder / "template.json");
        edit(text);
        std::ofstream(folder / "template.json") << text;
        toy_ = load_template(folder);
        space_ = toy_.space(target_facts_);
    }

    void expect_each_once(std::size_t expected) {
        std::set<std::string> seen;
        std::int64_t next = 1;
        for (const IterationRow& row : rows()) {
            EXPECT_EQ(row.iter, next++);
            EXPECT_TRUE(seen.insert(row.params).second) << row.params << " was measured twice";
        }
        EXPECT_EQ(seen.size(), expected);
    }
    /// Nothing that was interrupted is held against a candidate, not even when the machine has been started anew.
    void expect_the_rest_after_a_reboot() {
        boot_id_ = "after the machine was started anew";
        EXPECT_EQ(run({}), LoopEnd::exhausted);
        expect_each_once(40);
        for (const IterationRow& row : rows())
            EXPECT_NE(row.status, Status::crash) << row.params << ": " << row.description;
    }

    TempFolder folder_;
    TargetFacts target_facts_ = [] {
        TargetFacts facts;
        facts.kind = DeviceKind::cpu;
        facts.arch = 0;
        facts.arch_name = "native";
        return facts;
    }();
    KernelTemplate toy_;
    Space space_;
    Study study_;
    Behaviour behaviour_{.latency_ms = [](const Knobs& knobs) {
        const double a = knobs.at("a") - 3.0;
        return 1.0 + 0.1 * a * a + 0.05 * knobs.at("b");
    }};
    std::string boot_id_ = "this-boot";
    bool baseline_of_each_edition_ = true;
    std::atomic<bool> stop_{false};
    Watcher watcher_;
};

TEST_F(LoopTest, ExhaustsTheSpaceAndFindsItsBest) {
    EXPECT_EQ(run({}), LoopEnd::exhausted);
    expect_each_once(40);
    const auto all = rows();
    EXPECT_EQ(all.front().params, "a=5,b=0");
    EXPECT_EQ(all.front().description, "baseline");
    const auto best =
        std::find_if(all.rbegin(), all.rend(), [](const auto& row) { return row.status == Status::keep; });
    EXPECT_EQ(best->params, "a=3,b=0");
    EXPECT_LT(*best->delta_ms, 0.0);
}

TEST_F(LoopTest, MaxItersCountsThisRunAndTheNextRunGoesOn) {
    EXPECT_EQ(run({.max_iters = 7, .hours = {}}), LoopEnd::limit_reached);
    expect_each_once(7);
    EXPECT_EQ(run({.max_iters = 5, .hours = {}}, "random"), LoopEnd::limit_reached);
    expect_each_once(12);
    EXPECT_EQ(run({}, "hill_climb"), LoopEnd::exhausted);
    expect_each_once(40);
}

TEST_F(LoopTest, FailuresAreRowsAndTheLoopGoesOn) {
    behaviour_.compile = [](const Knobs& knobs) -> std::optional<Failure> {
        if (knobs.at("a") != 1) return std::nullopt;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        return Failure{Outcome::compile_error, "error: a is 1\nmore"};
    };
    behaviour_.launch = [](const Knobs& knobs) -> std::optional<Failure> {
        if (knobs.at("a") == 2) return Failure{Outcome::crash, "illegal address"};
        return std::nullopt;
    };
    behaviour_.correct = [](const Knobs& knobs, Draw) { return knobs.at("b") != 3; };
    EXPECT_EQ(run({}), LoopEnd::exhausted);
    expect_each_once(40);
    for (const IterationRow& row : rows()) {
        const bool a1 = row.params.starts_with("a=1,");
        const bool a2 = row.params.starts_with("a=2,");
        const bool b3 = row.params.ends_with("b=3");
        EXPECT_EQ(row.status == Status::crash, a1 || a2 || b3) << row.params;
        if (a1) {
            EXPECT_EQ(row.outcome, Outcome::compile_error);
            EXPECT_GE(row.cost_s, 0.002) << "it cost the time all the same";
            EXPECT_THAT(row.description, HasSubstr("compile_error: error: a is 1"));
        } else if (a2) {
            EXPECT_EQ(row.outcome, Outcome::crash);
        } else if (b3) {
            EXPECT_EQ(row.outcome, Outcome::incorrect);
        }
    }
    EXPECT_THAT(watcher_.records.at(2).reproduce, HasSubstr("attune try toy.json --set a="));
}

TEST_F(LoopTest, ACandidateWithoutALaunchIsARow) {
    // A grid of 1 / 0 blocks, of a part of a block, and of too many.
    edit_template([](std::string& text) {
        const std::string grid = R"("grid": ["1", "1", "1"])";
        text.replace(text.find(grid), grid.size(),
                     R"("grid": ["a == 4 ? 1 / (a - 4) : a == 6 ? 1 / 2 : 1", "a == 2 ? 70000 : 1", "1"])");
    });
    EXPECT_EQ(run({}), LoopEnd::exhausted);
    expect_each_once(40);
    for (const IterationRow& row : rows()) {
        const bool has_none = std::string_view("246").find(row.params.at(2)) != std::string_view::npos;
        EXPECT_EQ(row.outcome == Outcome::launch_error, has_none) << row.params;
        if (!has_none) continue;
        EXPECT_EQ(row.status, Status::crash) << row.params;
        EXPECT_THAT(row.description, HasSubstr("template.json")) << row.params;
    }
}

TEST_F(LoopTest, AStopKeepsWhatEndedAndTheRestIsDoneNextTime) {
    watcher_.stop_after = 9;
    EXPECT_EQ(run({}), LoopEnd::stopped);
    const std::size_t done = rows().size();
    EXPECT_GE(done, 9U);
    stop_ = false;
    watcher_.stop_after = std::numeric_limits<std::int64_t>::max();
    EXPECT_EQ(run({}), LoopEnd::exhausted);
    expect_each_once(40);
}

TEST_F(LoopTest, AnInterruptedCandidateIsTriedAgainUnlessTheMachineWentDown) {
    begin("a=0,b=0", "this-boot");
    begin("a=0,b=1", "an-earlier-boot");
    EXPECT_EQ(run({}), LoopEnd::exhausted);
    expect_each_once(40);
    for (const IterationRow& row : rows()) {
        if (row.params == "a=0,b=0") {
            EXPECT_NE(row.outcome, Outcome::crash);
        }
        if (row.params == "a=0,b=1") {
            EXPECT_EQ(row.outcome, Outcome::crash);
            EXPECT_THAT(row.description, HasSubstr("the machine went down"));
            Store store(folder_.path() / "attune.db");
            store.open_study(study_, toy_);
            EXPECT_EQ(store.sources(row.iter).size(), store.sources(store.iterations().back().iter).size());
        }
    }
}

TEST_F(LoopTest, ACandidateThatDiedElsewhereIsRecordedAsWhatItWas) {
    const std::string edition = Experiments(study_, toy_, space_, {}).template_hash();
    begin("a=0,b=1", "boot-of-node-7", "node-7");
    edit_template();
    EXPECT_EQ(run({}), LoopEnd::exhausted);
    const auto all = rows();
    ASSERT_EQ(all.size(), 41U) << "the edited kernel has not been tried";
    EXPECT_EQ(all[0].params, "a=0,b=1");
    EXPECT_EQ(all[0].outcome, Outcome::crash);
    EXPECT_EQ(all[0].template_hash, edition);
    EXPECT_EQ(all[0].device_uuid, "device of node-7");
    EXPECT_THAT(all[0].description, HasSubstr("the run on node-7 died"));
    EXPECT_NE(all[1].template_hash, edition);
}

/// A device that holds one candidate until it is interrupted, as a stop does.
class StopTest : public LoopTest {
  protected:
    class HoldingDevice : public FakeDevice {
      public:
        HoldingDevice(const Behaviour& behaviour, std::atomic<bool>* stop) : FakeDevice(behaviour), stop_(stop) {}
        Result<bool> load(Slot slot, const Variant& variant) override {
            const Knobs knobs = testing::read_knobs(variant.artifact.path);
            if (stop_ == nullptr || knobs.at("a") != 0 || knobs.at("b") != 1) return FakeDevice::load(slot, variant);
            *stop_ = true;
            interrupted_.wait(false);
            return Failure{Outcome::crash, "interrupted"};
        }
        void interrupt() override {
            interrupted_ = true;
            interrupted_.notify_all();
        }

      private:
        std::atomic<bool>* stop_;
        std::atomic<bool> interrupted_{false};
    };
    std::unique_ptr<Device> make_device(std::size_t) override {
        return std::make_unique<HoldingDevice>(behaviour_, holds_ ? &stop_ : nullptr);
    }
    bool holds_ = true;
};

TEST_F(StopTest, IsNoCandidatesFaultHoweverOftenItHappens) {
    for (int stops = 0; stops < 10; ++stops) {
        stop_ = false;
        ASSERT_EQ(run({}), LoopEnd::stopped);
    }
    holds_ = false;
    stop_ = false;
    expect_the_rest_after_a_reboot();
}

TEST_F(LoopTest, AResultThatCannotBeRecordedIsMeasuredAgainByTheNextRun) {
    ASSERT_EQ(run({.max_iters = 2, .hours = {}}), LoopEnd::limit_reached);
    SQLite::Database db((folder_.path() / "attune.db").string(), SQLite::OPEN_READWRITE);
    db.exec(
        "CREATE TRIGGER refuse BEFORE INSERT ON case_result WHEN NEW.position = 2 "
        "BEGIN SELECT RAISE(ABORT, 'no more'); END");
    try {
        (void)run({});
        FAIL() << "nothing was thrown";
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), HasSubstr("no more"));
    }
    EXPECT_EQ(rows().size(), 2U);
    db.exec("DROP TRIGGER refuse");
    expect_the_rest_after_a_reboot();
}

TEST_F(LoopTest, SeveralDevicesShareTheWork) {
    behaviour_.launch = [](const Knobs&) -> std::optional<Failure> {
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
        return std::nullopt;
    };
    EXPECT_EQ(run({}, "random", 3), LoopEnd::exhausted);
    expect_each_once(40);
    std::set<std::string> devices;
    for (const IterationRow& row : rows())
        devices.insert(row.device_uuid);
    EXPECT_EQ(devices.size(), 3U);
}

/// Devices of different speed, as two GPUs are: every time of a device is multiplied by its own factor.
class UnequalDevicesTest : public LoopTest {
  protected:
    std::unique_ptr<Device> make_device(std::size_t index) override {
        Behaviour own = behaviour_;
        own.latency_ms = [this, factor = factors_.at(index)](const Knobs& knobs) {
            return factor * behaviour_.latency_ms(knobs);
        };
        own.launch = [](const Knobs&) -> std::optional<Failure> {
            // Long enough that all devices take part, of a length that shuffles who ends first.
            static thread_local std::minstd_rand random(7);
            std::this_thread::sleep_for(std::chrono::milliseconds(random() % 5));
            return std::nullopt;
        };
        behaviours_.push_back(std::move(own));
        return std::make_unique<FakeDevice>(behaviours_.back(), "double-" + std::to_string(index));
    }

    /// What a candidate's time is before any device's factor.
    double true_ms(const std::string& params) {
        const Candidate candidate = space_.parse(params, space_.defaults());
        Knobs knobs;
        for (std::size_t i = 0; i < candidate.choice.size(); ++i) {
            const Parameter& parameter = space_.parameters()[i];
            knobs[parameter.name] = static_cast<int>(parameter.values[candidate.choice[i]]);
        }
        return behaviour_.latency_ms(knobs);
    }

    std::vector<double> factors_{1.0, 0.6, 1.7};
    std::deque<Behaviour> behaviours_;  ///< of stable addresses
};

// Any candidate looks better on the fast device than the best does on the slow one.
TEST_F(UnequalDevicesTest, SpeedOfADeviceMakesNoWinner) {
    EXPECT_EQ(run({}, "random", factors_.size()), LoopEnd::exhausted);
    expect_each_once(40);
    std::set<std::string> devices;
    std::int64_t best_iter = 1;
    double best_ms = std::numeric_limits<double>::infinity();
    for (const IterationRow& row : rows()) {
        devices.insert(row.device_uuid);
        if (row.status != Status::keep) continue;
        EXPECT_LT(true_ms(row.params), best_ms) << "iteration " << row.iter;
        best_ms = true_ms(row.params);
        // Alternated with the very best before it, not with one that another device had seen beaten meanwhile.
        const auto& pair = watcher_.records.at(row.iter).pair;
        EXPECT_EQ(pair ? pair->incumbent_iter : 1, best_iter) << "iteration " << row.iter;
        best_iter = row.iter;
    }
    EXPECT_EQ(devices.size(), factors_.size());
    EXPECT_DOUBLE_EQ(best_ms, 1.0);
}

// Two candidates beat the baseline at the same time, each on its device. The worse one ends second.
TEST_F(LoopTest, AKeepAgainstABestThatWasBeatenMeanwhileIsMeasuredAgain) {
    const SpaceRestriction four{.values = {{"a", {"3", "5"}}, {"b", {"0", "1"}}}, .constraints = {}, .where = "test"};
    toy_ = toy_.restricted(four);
    space_ = toy_.space(target_facts_);
    behaviour_.correct = [this](const Knobs& knobs, Draw) {
        const bool is_worse = knobs.at("a") == 3 && knobs.at("b") == 1;
        for (int wait = 0; is_worse && watcher_.kept < 2 && wait < 10'000; ++wait) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return true;
    };
    EXPECT_EQ(run({}, "exhaustive", 2), LoopEnd::exhausted);
    expect_each_once(4);
    for (const IterationRow& row : rows()) {
        EXPECT_EQ(row.status == Status::keep, row.params == "a=5,b=0" || row.params == "a=3,b=0") << row.params;
    }
}

TEST_F(LoopTest, TheIncumbentIsTheRecordedEditionOfTheTemplate) {
    EXPECT_EQ(run({.max_iters = 3, .hours = {}}), LoopEnd::limit_reached);
    edit_template();
    EXPECT_EQ(run({.max_iters = 2, .hours = {}}), LoopEnd::limit_reached);
    const auto all = rows();
    ASSERT_EQ(all.size(), 5U);
    EXPECT_NE(all[0].template_hash, all[4].template_hash);
}

TEST_F(LoopTest, AStudyGoesOnWhereItsSpaceHasLostTheIncumbent) {
    EXPECT_EQ(run({.max_iters = 20, .hours = {}}), LoopEnd::limit_reached);
    {
        Store store(folder_.path() / "attune.db");
        store.open_study(study_, toy_);
        ASSERT_EQ(store.incumbent()->params, "a=3,b=0");
    }
    toy_ = toy_.restricted({.values = {{"a", {"8", "7"}}, {"b", {"1", "0"}}}, .constraints = {}, .where = "test"});
    space_ = toy_.space(target_facts_);
    EXPECT_EQ(run({}), LoopEnd::exhausted);
    expect_each_once(24);
    for (const IterationRow& row : rows()) {
        if (row.iter <= 20) continue;
        EXPECT_EQ(row.outcome, Outcome::pruned) << row.params;
    }
}

TEST_F(LoopTest, AnEditedTemplateBeginsWithTheBaselineOnce) {
    EXPECT_EQ(run({.max_iters = 3, .hours = {}}), LoopEnd::limit_reached);
    edit_template();
    EXPECT_EQ(run({.max_iters = 2, .hours = {}}), LoopEnd::limit_reached);
    EXPECT_EQ(run({.max_iters = 2, .hours = {}}), LoopEnd::limit_reached);
    baseline_of_each_edition_ = false;  // as `attune try` has it
    edit_template();
    EXPECT_EQ(run({.max_iters = 1, .hours = {}}), LoopEnd::limit_reached);
    const auto all = rows();
    ASSERT_EQ(all.size(), 8U);
    EXPECT_EQ(all[3].params, all[0].params);
    EXPECT_EQ(all[0].description, "baseline");
    EXPECT_THAT(all[3].description, ::testing::StartsWith("baseline of the edited template"));
    for (const std::size_t i : {4U, 5U, 6U, 7U})
        EXPECT_THAT(all[i].description, ::testing::Not(::testing::HasSubstr("baseline"))) << i;
}

/// Devices that take as long to open as the test says; compiles are counted.
class OpeningTest : public LoopTest {
  protected:
    OpeningTest() {
        behaviour_.compile = [this](const Knobs& knobs) {
            ++compiles_;
            return compile_(knobs);
        };
    }
    class SlowToOpen : public FakeDevice {
      public:
        SlowToOpen(const Behaviour& behaviour, std::string uuid, std::function<void()> open)
            : FakeDevice(behaviour, std::move(uuid)), open_(std::move(open)) {}
        void open_suite(const Suite&) override { open_(); }

      private:
        std::function<void()> open_;
    };
    std::unique_ptr<Device> make_device(std::size_t index) override {
        return std::make_unique<SlowToOpen>(behaviour_, "double-" + std::to_string(index),
                                            [this, index] { open_(index); });
    }
    /// Waits, at most ten seconds, until so many compiles have begun.
    void await_compiles(int count) {
        for (int wait = 0; compiles_ < count && wait < 10'000; ++wait)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }

    std::atomic<int> compiles_{0};
    std::atomic<int> compiled_when_open_{0};
    std::function<std::optional<Failure>(const Knobs&)> compile_ = [](const Knobs&) { return std::nullopt; };
    std::function<void(std::size_t)> open_;
};

TEST_F(OpeningTest, AllWorkersCompileMeanwhile) {
    open_ = [this](std::size_t) {
        await_compiles(4);
        compiled_when_open_ = compiles_.load();
    };
    EXPECT_EQ(run({}, "random"), LoopEnd::exhausted);
    EXPECT_GE(compiled_when_open_, 4);
    expect_each_once(40);
    EXPECT_EQ(rows().front().description, "baseline");
}

TEST_F(OpeningTest, AStrategyThatNeedsTheBaselinesResultIsNotAskedBefore) {
    open_ = [this](std::size_t) {
        await_compiles(1);
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        compiled_when_open_ = compiles_.load();
    };
    EXPECT_EQ(run({}, "hill_climb"), LoopEnd::exhausted);
    EXPECT_EQ(compiled_when_open_, 1);
    expect_each_once(40);
}

TEST_F(OpeningTest, TheBaselineIsTheFirstIterationWhateverElseFailsBefore) {
    compile_ = [](const Knobs& knobs) -> std::optional<Failure> {
        if (knobs.at("a") != 5) return Failure{Outcome::compile_error, "error: a is not 5"};
        return std::nullopt;
    };
    open_ = [this](std::size_t) { await_compiles(4); };
    EXPECT_EQ(run({}), LoopEnd::exhausted);
    expect_each_once(40);
    EXPECT_EQ(rows().front().params, "a=5,b=0");
    EXPECT_EQ(rows().front().status, Status::keep);
}

TEST_F(OpeningTest, ABaselineThatDoesNotCompileIsRecordedAndTheRestGoesOn) {
    compile_ = [](const Knobs& knobs) -> std::optional<Failure> {
        if (knobs.at("a") == 5) return Failure{Outcome::compile_error, "error: a is 5"};
        return std::nullopt;
    };
    open_ = [](std::size_t) {};
    EXPECT_EQ(run({}), LoopEnd::exhausted);
    expect_each_once(40);
    EXPECT_EQ(rows().front().description, "baseline; compile_error: error: a is 5");
}

TEST_F(OpeningTest, ADeviceThatFailsIsOutAndTheRestGoesOn) {
    open_ = [](std::size_t index) {
        if (index == 0) throw EnvironmentError("no room for the inputs");
    };
    EXPECT_EQ(run({}, "random", 2), LoopEnd::exhausted);
    expect_each_once(40);
    EXPECT_THAT(watcher_.messages, HasSubstr("no room for the inputs"));
    for (const IterationRow& row : rows())
        EXPECT_EQ(row.device_uuid, "double-1");
}

TEST_F(OpeningTest, WithoutAnyDeviceItStopsWithTheReason) {
    open_ = [](std::size_t) { throw EnvironmentError("no room for the inputs"); };
    try {
        (void)run({}, "random", 2);
        FAIL() << "nothing was thrown";
    } catch (const EnvironmentError& error) {
        EXPECT_STREQ(error.what(), "no room for the inputs");
    }
    EXPECT_TRUE(rows().empty());
}

class LosingDeviceTest : public LoopTest {
  protected:
    class LosingDevice : public FakeDevice {
      public:
        using FakeDevice::FakeDevice;
        Result<bool> load(Slot slot, const Variant& variant) override {
            if (loads >= 4) throw EnvironmentError("fell off the bus");
            return FakeDevice::load(slot, variant);
        }
    };
    std::unique_ptr<Device> make_device(std::size_t index) override {
        if (index == 0) return std::make_unique<LosingDevice>(behaviour_, "losing");
        return LoopTest::make_device(index);
    }
};

TEST_F(LosingDeviceTest, TheSweepGoesOnWithTheRest) {
    EXPECT_EQ(run({}, "exhaustive", 2), LoopEnd::exhausted);
    expect_each_once(40);
    EXPECT_THAT(watcher_.messages, HasSubstr("fell off the bus"));
}

TEST_F(LosingDeviceTest, WithoutAnyDeviceItStopsWithTheReason) {
    EXPECT_THROW(
        {
            try {
                (void)run({}, "exhaustive", 1);
            } catch (const EnvironmentError& error) {
                EXPECT_STREQ(error.what(), "fell off the bus");
                throw;
            }
        },
        EnvironmentError);
    EXPECT_GE(rows().size(), 3U);
}

}  // namespace
}  // namespace attune
