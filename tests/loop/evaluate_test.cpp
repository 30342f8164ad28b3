#include "loop/evaluate.h"

#include <gmock/gmock.h>

#include <set>

#include "core/one_case_a_family.h"
#include "loop/alternation.h"
#include "loop/fakes.h"

namespace attune {
namespace {

using testing::Behaviour;
using testing::FakeDevice;
using ::testing::HasSubstr;
using testing::Knobs;

Variant variant(int a) {
    Variant variant;
    variant.artifact.path = "static constexpr int a = " + std::to_string(a) + ";";
    return variant;
}

class EvaluateTest : public ::testing::Test {
  protected:
    Evaluation evaluate(int a, std::optional<int> incumbent = std::nullopt) {
        if (!device_) {
            device_ = std::make_unique<FakeDevice>(behaviour_);
            evaluator_ = std::make_unique<Evaluator>(*device_, suite_, settings_, FamilyTimes{});
        }
        Experiment experiment;
        experiment.variant = variant(a);
        if (incumbent) experiment.incumbent = Incumbent{*incumbent + 1, variant(*incumbent)};
        experiment.fresh_draw = 1000;
        return evaluator_->evaluate(experiment);
    }

    Suite suite_ = one_case_a_family("three", {.case_id = {}, .t_max = 128});
    MeasureSettings settings_;
    Behaviour behaviour_{.latency_ms = [](const Knobs& knobs) { return static_cast<double>(knobs.at("a")); }};
    std::unique_ptr<FakeDevice> device_;
    std::unique_ptr<Evaluator> evaluator_;
};

TEST_F(EvaluateTest, TheFirstCorrectVariantIsKept) {
    const Evaluation evaluation = evaluate(4);
    EXPECT_EQ(evaluation.status, Status::keep);
    EXPECT_EQ(evaluation.outcome, Outcome::ok);
    EXPECT_DOUBLE_EQ(*evaluation.geomean_ms, 4.0);
    EXPECT_EQ(evaluation.robust, true);
    EXPECT_EQ(evaluation.stresses.size(), kStresses.size() * suite_.cases.size());
    EXPECT_TRUE(evaluation.used_fresh_draw);
}

TEST_F(EvaluateTest, AFasterVariantIsKeptWithItsInterval) {
    behaviour_.noise = 0.01;
    const Evaluation evaluation = evaluate(4, 5);
    EXPECT_EQ(evaluation.status, Status::keep);
    ASSERT_TRUE(evaluation.pair);
    EXPECT_NEAR(evaluation.pair->ratio, 0.8, 0.01);
    EXPECT_LT(evaluation.pair->ratio_high, 1.0);
    EXPECT_EQ(evaluation.pair->incumbent_iter, 6);
}

TEST_F(EvaluateTest, TheSameSpeedIsWithinNoise) {
    behaviour_.noise = 0.01;
    behaviour_.latency_ms = [](const Knobs&) { return 1.0; };
    const Evaluation evaluation = evaluate(4, 5);
    EXPECT_EQ(evaluation.status, Status::discard);
    EXPECT_EQ(evaluation.outcome, Outcome::ok);
    EXPECT_THAT(evaluation.note, HasSubstr("within noise"));
    ASSERT_TRUE(evaluation.pair);
    EXPECT_GT(evaluation.pair->ratio_high, 1.0);
}

TEST_F(EvaluateTest, WhereAVariantLiesInMemoryDecidesNothing) {
    behaviour_.noise = 0.003;
    behaviour_.challenger_slot = 0.988;
    behaviour_.latency_ms = [](const Knobs&) { return 1.0; };
    for (int trial = 0; trial < 50; ++trial) {
        const Evaluation evaluation = evaluate(4, 5);
        ASSERT_EQ(evaluation.status, Status::discard) << "trial " << trial;
        ASSERT_TRUE(evaluation.pair);
        EXPECT_NEAR(evaluation.pair->ratio, 1.0, 0.004);
    }
    behaviour_.latency_ms = [](const Knobs& knobs) { return knobs.at("a") == 4 ? 0.98 : 1.0; };
    const Evaluation evaluation = evaluate(4, 5);
    EXPECT_EQ(evaluation.status, Status::keep);
    EXPECT_NEAR(evaluation.pair->ratio, 0.98, 0.004);
}

TEST_F(EvaluateTest, ADriverThatGoesRoundInMemoryDecidesNothing) {
    behaviour_.noise = 0.001;
    behaviour_.latency_ms = [](const Knobs&) { return 1.0; };
    for (const int period : {2, 3, 4, 8}) {
        behaviour_.memory = [period](int n) { return n % period == 0 ? 0.985 : 1.0; };
        for (int trial = 0; trial < 50; ++trial)
            ASSERT_EQ(evaluate(4, 5).status, Status::discard) << "period " << period << ", trial " << trial;
    }
}

TEST_F(EvaluateTest, TheIncumbentIsBackInItsPlaceWhateverEndedAnAlternation) {
    ASSERT_EQ(evaluate(4, 5).status, Status::keep);
    // Loads of the challenger: to be checked, with the places changed, and to be put back.
    for (int failing_load = 2; failing_load <= 3; ++failing_load) {
        SCOPED_TRACE(failing_load);
        int loads = 0;
        behaviour_.launch = [&](const Knobs& knobs) -> std::optional<Failure> {
            if (knobs.at("a") == 3 && ++loads == failing_load) throw ArtifactMissing("3");
            return std::nullopt;
        };
        EXPECT_THROW((void)evaluate(3, 5), ArtifactMissing);
        const Evaluation evaluation = evaluate(4, 5);
        ASSERT_TRUE(evaluation.pair);
        EXPECT_NEAR(evaluation.pair->ratio, 0.8, 1e-6);
    }
}

/// A device whose process dies of a load that fails, and is replaced by one with nothing loaded.
class MortalDevice : public FakeDevice {
  public:
    using FakeDevice::FakeDevice;
    bool holds(Slot slot) override { return loaded_.contains(slot); }
    Result<bool> load(Slot slot, const Variant& variant) override {
        Result<bool> loaded = FakeDevice::load(slot, variant);
        if (loaded.ok())
            loaded_.insert(slot);
        else
            loaded_.clear();
        return loaded;
    }
    Result<CheckReport> check(Slot slot, std::size_t case_index, Draw draw) override {
        if (!holds(slot)) return nothing();
        return FakeDevice::check(slot, case_index, draw);
    }
    Result<Samples> time(Slot slot, std::size_t case_index, const SampleRequest& request) override {
        if (!holds(slot)) return nothing();
        return FakeDevice::time(slot, case_index, request);
    }
    Result<PairedSamples> pair(std::size_t case_index, int pairs) override {
        if (loaded_.size() < 2) return nothing();
        return FakeDevice::pair(case_index, pairs);
    }

  private:
    static Failure nothing() { return {Outcome::launch_error, "no variant is loaded in this slot"}; }
    std::set<Slot> loaded_;
};

TEST_F(EvaluateTest, AChallengerThatDiesOfBeingLoadedAgainIsACrashAndCostsNothingElse) {
    device_ = std::make_unique<MortalDevice>(behaviour_);
    evaluator_ = std::make_unique<Evaluator>(*device_, suite_, settings_, FamilyTimes{});
    for (int survived = 0; survived < 6; ++survived) {
        SCOPED_TRACE(survived);
        int loads = 0;
        behaviour_.launch = [&](const Knobs& knobs) -> std::optional<Failure> {
            if (knobs.at("a") != 3 || loads++ < survived) return std::nullopt;
            return Failure{Outcome::crash, "killed by signal 11"};
        };
        const Evaluation dead = evaluate(3, 5);
        EXPECT_EQ(dead.status, Status::crash);
        EXPECT_THAT(dead.diagnostics, HasSubstr("signal 11"));
        const Evaluation next = evaluate(4, 5);
        ASSERT_TRUE(next.pair) << next.note;
        EXPECT_NEAR(next.pair->ratio, 0.8, 1e-6);
    }
}

TEST_F(EvaluateTest, SamplesKeepToTheirMost) {
    settings_.min_samples = 50;
    settings_.max_samples = 120;
    settings_.target_interval = 0.0;
    behaviour_.noise = 0.01;
    for (const CaseRecord& record : evaluate(4).cases)
        EXPECT_EQ(record.samples.cold_ms.size(), 120U);
}

TEST_F(EvaluateTest, RoundsKeepToTheBudgetAndToTheLooksTheVerdictAllowsFor) {
    struct Budget {
        int min_pairs, max_pairs, taken;
    };
    const std::vector<Budget> budgets{{8, 8, 8},      {8, 12, 8},     {9, 9, 10},   {9, 10, 10},
                                      {9, 40, 40},    {10, 12, 10},   {11, 47, 36}, {12, 40, 36},
                                      {13, 210, 210}, {20, 200, 200}, {21, 43, 22}, {21, 200, 198}};
    for (const auto& [min_pairs, max_pairs, expected] : budgets) {
        SCOPED_TRACE(::testing::Message() << min_pairs << " to " << max_pairs << " pairs");
        settings_.min_pairs = min_pairs;
        settings_.max_pairs = max_pairs;
        std::vector<int> taken(suite_.cases.size());
        // Without times nothing is ever decided, and the budget alone ends the alternation.
        const auto take = [&](std::size_t index) -> Result<PairedSamples> {
            ++taken[index];
            return PairedSamples();
        };
        int changed = 0, loads = 0, incumbent_first = 0;
        const auto load = [&](Placing placing) -> Result<bool> {
            changed += placing.changed ? 1 : 0;
            incumbent_first += placing.incumbent_slot_first ? 1 : 0;
            return ++loads > 0;
        };
        const Result<Alternation> ended = alternate(suite_, settings_, take, load, 5);
        ASSERT_TRUE(ended.ok());
        EXPECT_EQ(ended.value().pairs, expected);
        EXPECT_THAT(taken, ::testing::Each(expected));
        EXPECT_EQ(loads, expected);
        EXPECT_EQ(changed, expected / 2);
        EXPECT_THAT(incumbent_first, ::testing::AllOf(::testing::Gt(0), ::testing::Lt(expected)));
        const int round = (min_pairs + 1) / 2 * 2;
        EXPECT_LE(expected / round, max_pairs / min_pairs);
    }
}

TEST_F(EvaluateTest, AHopelessVariantIsPrunedAfterItsFirstFamily) {
    const Evaluation evaluation = evaluate(9, 2);
    EXPECT_EQ(evaluation.status, Status::discard);
    EXPECT_EQ(evaluation.outcome, Outcome::pruned);
    EXPECT_FALSE(evaluation.geomean_ms);
    EXPECT_TRUE(evaluation.bound_ms);
    EXPECT_TRUE(evaluation.family_ms[0]);
    EXPECT_FALSE(evaluation.family_ms[1]);
}

TEST_F(EvaluateTest, WithoutEarlyStopEveryFamilyIsTimed) {
    settings_.early_stop = false;
    const Evaluation evaluation = evaluate(9, 2);
    EXPECT_EQ(evaluation.outcome, Outcome::ok);
    EXPECT_DOUBLE_EQ(*evaluation.geomean_ms, 9.0);
}

TEST_F(EvaluateTest, AWrongResultIsACrashThatNamesTheCase) {
    behaviour_.correct = [](const Knobs&, Draw draw) { return draw.index != 0; };
    const Evaluation evaluation = evaluate(4);
    EXPECT_EQ(evaluation.status, Status::crash);
    EXPECT_EQ(evaluation.outcome, Outcome::incorrect);
    EXPECT_THAT(evaluation.diagnostics, HasSubstr("sliding_window, draw 0: the double says no"));
    EXPECT_FALSE(evaluation.geomean_ms);
}

TEST_F(EvaluateTest, RightOnKnownDrawsButWrongOnFreshOnesIsNotKept) {
    behaviour_.correct = [](const Knobs&, Draw draw) { return draw.index != 1000; };
    const Evaluation evaluation = evaluate(4, 5);
    EXPECT_EQ(evaluation.status, Status::crash);
    EXPECT_EQ(evaluation.outcome, Outcome::incorrect);
    EXPECT_FALSE(evaluation.geomean_ms);
}

TEST_F(EvaluateTest, AKeepIsRightOnManyDraws) {
    std::set<std::uint32_t> fresh;
    behaviour_.correct = [&](const Knobs&, Draw draw) {
        if (draw.stress == Stress::none && draw.index >= 1000) fresh.insert(draw.index);
        return true;
    };
    EXPECT_EQ(evaluate(4, 5).status, Status::keep);
    EXPECT_EQ(fresh.size(), static_cast<std::size_t>(settings_.keep_draws));

    // Faster, and wrong now and then: found out, and no keep, with or without an incumbent.
    const std::uint32_t unlucky = *fresh.rbegin();
    behaviour_.correct = [&](const Knobs&, Draw draw) { return draw.index != unlucky; };
    for (const std::optional<int> incumbent : {std::optional<int>(5), std::optional<int>()}) {
        const Evaluation evaluation = evaluate(4, incumbent);
        EXPECT_EQ(evaluation.outcome, Outcome::incorrect);
        EXPECT_EQ(evaluation.status, Status::crash);
        EXPECT_THAT(evaluation.diagnostics, HasSubstr("draw " + std::to_string(unlucky)));
    }
    // An export checks the first draws, so nothing is kept, nor equal to the best, that is wrong on one of them.
    behaviour_.correct = [&](const Knobs&, Draw draw) {
        return static_cast<int>(draw.index) != settings_.keep_draws - 1;
    };
    for (const int incumbent : {4, 5})
        EXPECT_EQ(evaluate(4, incumbent).outcome, Outcome::incorrect);
    // A discard is not looked at that often.
    EXPECT_EQ(evaluate(5, 4).status, Status::discard);
}

TEST_F(EvaluateTest, AFailedStressOnlyCostsRobustness) {
    behaviour_.correct = [](const Knobs&, Draw draw) { return draw.stress != Stress::peaked; };
    const Evaluation evaluation = evaluate(4);
    EXPECT_EQ(evaluation.status, Status::keep);
    EXPECT_EQ(evaluation.robust, false);
}

TEST_F(EvaluateTest, AnIncumbentIsTimedOnThisVeryDevice) {
    // The incumbent's own time decides what is worth a challenge, not a score some other device once wrote down.
    behaviour_.latency_ms = [](const Knobs& knobs) { return knobs.at("a") == 5 ? 3.0 : 4.0; };
    const Evaluation evaluation = evaluate(4, 5);
    EXPECT_EQ(evaluation.status, Status::discard);
    EXPECT_FALSE(evaluation.pair);
}

}  // namespace
}  // namespace attune
