#include "loop/experiments.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/resource_totals.h"
#include "core/sha256.h"
#include "core/verdict.h"

namespace attune {
namespace {

std::string first_line(const std::string& text) {
    const auto start = text.find_first_not_of(" \n\t\r");
    if (start == std::string::npos) return "no diagnostics";
    return text.substr(start, std::min<std::size_t>(text.find('\n', start) - start, 160));
}

std::string with_note(const std::string& description, const std::string& note) {
    return note.empty() ? description : fmt::format("{}; {}", description, note);
}

StaticFeatures features_of(const Artifact& artifact) {
    const ResourceTotals totals = totals_of(artifact);
    return {totals.registers, totals.shared_bytes, totals.spill_bytes, artifact.performance_warning ? 1 : 0};
}

}  // namespace

Trial result_of(const IterationRow& row) {
    Trial trial;
    trial.status = row.status;
    trial.outcome = row.outcome;
    trial.score_ms = row.geomean_ms;
    trial.bound_ms = row.bound_ms;
    trial.cost_s = row.cost_s;
    trial.features = {row.registers, row.shared_bytes, row.spill_bytes, row.performance_warning ? 1 : 0};
    return trial;
}

std::optional<Candidate> candidate_of(const std::string& params, const Space& space) {
    try {
        return space.parse(params, space.defaults());
    } catch (const InputError&) {
        return std::nullopt;
    }
}

std::optional<Trial> trial_of(const IterationRow& row, const Space& space) {
    std::optional<Candidate> candidate = candidate_of(row.params, space);
    if (!candidate) return std::nullopt;
    Trial trial = result_of(row);
    trial.candidate = *std::move(candidate);
    return trial;
}

Experiments::Experiments(const Study& study, const KernelTemplate& kernel_template, const Space& space,
                         std::string try_arguments)
    : study_(study), kernel_template_(kernel_template), space_(space), try_arguments_(std::move(try_arguments)) {
    Sha256 hash;
    for (const SourceFile& file : kernel_template.files()) {
        hash.update_field(file.name);
        hash.update_field(file.text);
    }
    template_hash_ = hash.hex();
    for (const CaseSpec& spec : study.suite.cases) {
        shapes_.push_back({spec.batch_size, spec.num_heads, spec.t_max, max_nnz_bound(spec)});
    }
}

Candidate Experiments::baseline(const TargetFacts& target) const {
    const Candidate baseline = space_.parse(study_.baseline, space_.defaults());
    if (const std::string reason = kernel_template_.violated(baseline, target); !reason.empty()) {
        throw InputError(
            fmt::format("study '{}': the baseline {} is not legal on {}: {}; choose other values under "
                        "'baseline'",
                        study_.name, space_.describe(baseline), target.arch_name, reason));
    }
    return baseline;
}

Candidate Experiments::candidate(const std::string& params) const {
    return space_.parse(params, space_.defaults());
}

std::vector<SourceFile> Experiments::record_sources(const Candidate& candidate) const {
    std::vector<SourceFile> sources = kernel_template_.source_bundle(candidate);
    for (const SourceFile& file : kernel_template_.files()) {
        if (file.name == kTemplateFile) sources.push_back(file);
    }
    return sources;
}

CompileJob Experiments::job(const Candidate& candidate, const TargetFacts& target) const {
    return {kernel_template_.source_bundle(candidate), kernel_template_.main_source(), kernel_template_.entries(),
            target.kind, target.arch_name};
}

Result<std::vector<LaunchPlan>> Experiments::plans(const Candidate& candidate, const TargetFacts& target) const {
    std::vector<LaunchPlan> plans;
    try {
        for (const CallShape& shape : shapes_)
            plans.push_back(kernel_template_.plan(candidate, shape, target));
    } catch (const InputError& error) {
        return Failure{Outcome::launch_error, error.what()};
    }
    return plans;
}

IterationRecord Experiments::blank(const std::string& params, const std::string& strategy,
                                   const EnvironmentFacts& environment) const {
    IterationRecord record;
    record.params = params;
    record.template_hash = template_hash_;
    record.environment = environment;
    record.strategy = strategy;
    record.reproduce = fmt::format("attune try {} --set {} --remeasure -m again", try_arguments_, params);
    return record;
}

IterationRecord Experiments::unmeasured(const Proposal& proposal, const Failure& failure, double compile_s,
                                        const std::string& strategy, const EnvironmentFacts& environment) const {
    IterationRecord record = blank(space_.describe(proposal.candidate), strategy, environment);
    record.outcome = failure.outcome;
    record.description = with_note(proposal.description,
                                   fmt::format("{}: {}", to_string(failure.outcome), first_line(failure.diagnostics)));
    record.diagnostics = failure.diagnostics;
    record.compile_s = compile_s;
    return record;
}

IterationRecord Experiments::measured(const Proposal& proposal, const Artifact& artifact, Evaluation evaluation,
                                      const std::string& strategy, std::optional<double> best_kept_ms) const {
    IterationRecord record = blank(space_.describe(proposal.candidate), strategy, evaluation.environment);
    record.status = evaluation.status;
    record.outcome = evaluation.outcome;
    record.description = with_note(proposal.description, evaluation.note);
    record.geomean_ms = evaluation.geomean_ms;
    if (record.geomean_ms && best_kept_ms) record.delta_ms = *record.geomean_ms - *best_kept_ms;
    record.family_ms = evaluation.family_ms;
    record.bound_ms = evaluation.bound_ms;
    record.robust = evaluation.robust;
    record.pair = evaluation.pair;
    record.cases = std::move(evaluation.cases);
    record.stresses = std::move(evaluation.stresses);
    record.artifact = artifact;
    record.diagnostics = evaluation.diagnostics;
    record.compile_s = artifact.compile_s;
    record.device_s = evaluation.device_s;
    return record;
}

std::optional<Trial> Experiments::trial(const IterationRow& row) const {
    return row.template_hash == template_hash_ ? trial_of(row, space_) : std::nullopt;
}

Trial Experiments::trial(const Candidate& candidate, const IterationRecord& record) const {
    Trial trial;
    trial.candidate = candidate;
    trial.status = record.status;
    trial.outcome = record.outcome;
    trial.score_ms = record.geomean_ms;
    trial.bound_ms = record.bound_ms;
    trial.cost_s = record.compile_s + record.device_s;
    if (record.artifact) trial.features = features_of(*record.artifact);
    return trial;
}

FamilyTimes Experiments::best_family_times(const std::vector<IterationRow>& rows, const std::string& device_uuid) {
    FamilyTimes best;
    for (const IterationRow& row : rows) {
        if (row.device_uuid == device_uuid) keep_best(best, row.family_ms);
    }
    return best;
}

}  // namespace attune
