// Turning proposals into compile jobs and variants, and results into records and trials: the loop's pure half.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/kernel_template.h"
#include "core/record.h"
#include "core/study.h"
#include "loop/evaluate.h"
#include "search/strategy.h"
#include "store/store.h"

namespace attune {

/// What a strategy is told of a recorded row, but for the candidate.
[[nodiscard]] Trial result_of(const IterationRow& row);
/// The candidate recorded as `params`. Nothing when `space` does not know its parameters: another edition of the
/// template may have had others, another study other values.
[[nodiscard]] std::optional<Candidate> candidate_of(const std::string& params, const Space& space);
/// What a strategy is told of a recorded row; nothing where there is no candidate.
[[nodiscard]] std::optional<Trial> trial_of(const IterationRow& row, const Space& space);

class Experiments {
  public:
    /// All references must outlive it. `try_arguments`: see LoopSetup.
    Experiments(const Study& study, const KernelTemplate& kernel_template, const Space& space,
                std::string try_arguments);

    /// The study's baseline; InputError naming the broken constraint when it is not legal on `target`.
    [[nodiscard]] Candidate baseline(const TargetFacts& target) const;
    [[nodiscard]] Candidate candidate(const std::string& params) const;
    /// Which edition of the template this is: SHA-256 of its files.
    [[nodiscard]] const std::string& template_hash() const { return template_hash_; }
    /// What an iteration is recorded with: the template's files and the two headers the driver adds.
    [[nodiscard]] std::vector<SourceFile> record_sources(const Candidate& candidate) const;
    [[nodiscard]] CompileJob job(const Candidate& candidate, const TargetFacts& target) const;
    /// A launch plan for every case of the suite; launch_error where the template's expressions give no launch.
    [[nodiscard]] Result<std::vector<LaunchPlan>> plans(const Candidate& candidate, const TargetFacts& target) const;

    /// A record with everything known before measuring; a crash until something better is filled in.
    [[nodiscard]] IterationRecord blank(const std::string& params, const std::string& strategy,
                                        const EnvironmentFacts& environment) const;
    /// Of a candidate that never reached a device; compiling it, if only in vain, took `compile_s`.
    [[nodiscard]] IterationRecord unmeasured(const Proposal& proposal, const Failure& failure, double compile_s,
                                             const std::string& strategy, const EnvironmentFacts& environment) const;
    [[nodiscard]] IterationRecord measured(const Proposal& proposal, const Artifact& artifact, Evaluation evaluation,
                                           const std::string& strategy, std::optional<double> best_kept_ms) const;

    /// What the strategy is told. Nothing when the row is of another edition of the template or of another space.
    [[nodiscard]] std::optional<Trial> trial(const IterationRow& row) const;
    [[nodiscard]] Trial trial(const Candidate& candidate, const IterationRecord& record) const;

    /// The best time recorded for each family on the device `device_uuid`.
    [[nodiscard]] static FamilyTimes best_family_times(const std::vector<IterationRow>& rows,
                                                       const std::string& device_uuid);

  private:
    const Study& study_;
    const KernelTemplate& kernel_template_;
    const Space& space_;
    std::string try_arguments_;
    std::string template_hash_;
    std::vector<CallShape> shapes_;  ///< of the suite's cases
};

}  // namespace attune
