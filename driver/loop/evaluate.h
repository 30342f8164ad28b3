// One experiment on one device: check, time, compare, decide. No process, no store, no strategy in sight, so that the
// whole of it runs against a test double.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/noise_floor.h"
#include "core/record.h"
#include "core/study.h"

namespace attune {

/// The best variant so far, as an experiment meets it.
struct Incumbent {
    std::int64_t iter = 0;
    Variant variant;
};

/// What is to be measured.
struct Experiment {
    Variant variant;
    std::optional<Incumbent> incumbent;
    std::uint32_t standing_draw = 0;  ///< inputs of the first check
    std::uint32_t fresh_draw = 0;     ///< inputs never used before in the study, for a would-be keep
};

/// What came of it.
struct Evaluation {
    Status status = Status::crash;
    Outcome outcome = Outcome::crash;
    std::string note;  ///< appended to the description: "within noise (…)"; empty when there is nothing to say
    std::string diagnostics;
    std::optional<double> geomean_ms;
    std::optional<double> bound_ms;  ///< pruned: the score is at least this
    FamilyTimes family_ms;
    std::optional<bool> robust;
    std::optional<PairRecord> pair;
    std::vector<CaseRecord> cases;
    std::vector<StressRecord> stresses;
    EnvironmentFacts environment;
    double device_s = 0.0;
    bool used_fresh_draw = false;
};

/// Measures experiments on one device, one after the other, remembering what comparing needs: the incumbent's times on
/// this very device (scores of different devices are never compared) and the best time seen for each family.
class Evaluator {
  public:
    /// `best_family_ms`: best times the study has recorded on this device.
    Evaluator(Device& device, const Suite& suite, const MeasureSettings& settings, FamilyTimes best_family_ms);

    /// Failures of the candidate are in the result; DeviceLost and EnvironmentError mean the device.
    [[nodiscard]] Evaluation evaluate(const Experiment& experiment);

  private:
    using Failed = std::optional<Failure>;
    [[nodiscard]] Failed measure(const Experiment& experiment, Evaluation& evaluation);
    [[nodiscard]] Failed check_cases(Draw draw, Evaluation& evaluation);
    [[nodiscard]] Failed time_families(Evaluation& evaluation);
    [[nodiscard]] Failed time_case(Slot slot, std::size_t index, CaseRecord& record);
    [[nodiscard]] Result<Samples> sample(Slot slot, std::size_t index, const SampleRequest& request);
    [[nodiscard]] Failed check_stresses(Evaluation& evaluation);
    [[nodiscard]] Failed decide(const Experiment& experiment, Evaluation& evaluation);
    [[nodiscard]] Failed challenge(const Experiment& experiment, Evaluation& evaluation);
    [[nodiscard]] Failed confirm(const Experiment& experiment, Evaluation& evaluation);
    void adopt(const Incumbent& incumbent);
    [[nodiscard]] Failed put_in_place(const Incumbent& incumbent);
    [[nodiscard]] Failed time_incumbent(bool is_new);

    Device& device_;
    const Suite& suite_;
    MeasureSettings settings_;
    FamilyTimes best_family_ms_;
    std::int64_t timed_iter_ = 0;      ///< of the incumbent whose times these are
    FamilyTimes incumbent_family_ms_;  ///< on this very device
    bool in_place_ = false;            ///< that incumbent was loaded into its slot last, and nothing else since
    NoiseFloor noise_floor_;           ///< of this device, from timing the incumbent anew
    EnvironmentFacts environment_;
    int since_incumbent_timed_ = 0;
    int retakes_left_ = 0;  ///< of this experiment's throttled samples
};

}  // namespace attune
