// What an experiment leaves behind, as plain values: filled by the loop, kept by the store, read by reports.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "core/outcome.h"
#include "core/workload.h"

namespace attune {

/// Times in ms, in the order of kFamilies.
using FamilyTimes = std::array<std::optional<double>, kFamilies.size()>;

/// Result of one case of an iteration.
struct CaseRecord {
    std::string case_id;
    Family family = Family::sliding_window;
    std::optional<CheckReport> check;  ///< worst of the plain draws
    Samples samples;
    std::optional<double> cold_median_ms;
    std::optional<double> warm_median_ms;
};

/// One stress check of an iteration (never decides the verdict).
struct StressRecord {
    std::string case_id;
    Stress stress = Stress::none;
    CheckReport check;
};

/// The alternation against the incumbent, when there was one.
struct PairRecord {
    std::int64_t incumbent_iter = 0;
    double ratio = 1.0;      ///< challenger over incumbent, geometric mean over families
    double ratio_low = 1.0;  ///< interval at the study's confidence
    double ratio_high = 1.0;
    int pairs = 0;  ///< per case
};

/// Everything an experiment leaves behind.
struct IterationRecord {
    std::string params;  ///< canonical `key=value,…`, or empty
    Status status = Status::crash;
    Outcome outcome = Outcome::crash;
    std::string description;  ///< what was changed and why; tabs and newlines are replaced
    std::optional<double> geomean_ms;
    std::optional<double> delta_ms;  ///< against the best kept score before it
    FamilyTimes family_ms;
    std::optional<double> bound_ms;  ///< pruned: the score is at least this
    std::optional<bool> robust;
    std::optional<PairRecord> pair;
    std::vector<CaseRecord> cases;
    std::vector<StressRecord> stresses;
    std::string template_hash;         ///< SHA-256 of the template's files: which edition of the kernel this is
    std::optional<Artifact> artifact;  ///< absent when the compile failed before options were known
    std::string diagnostics;           ///< compiler log or failure text, bounded
    std::string reproduce;             ///< command that repeats it
    EnvironmentFacts environment;
    double compile_s = 0.0;
    double device_s = 0.0;
    std::string strategy;
};

}  // namespace attune
