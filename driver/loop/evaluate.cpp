#include "loop/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "core/statistics.h"
#include "core/verdict.h"
#include "loop/alternation.h"

namespace attune {
namespace {

// A device's speed drifts with its temperature over minutes; so often the incumbent's own times are taken anew.
constexpr int kExperimentsPerIncumbentTiming = 25;
// The incumbent has run well many times, so when it fails that is first taken for an accident of its worker.
constexpr int kIncumbentAttempts = 3;
// Samples taken while the device throttles are taken again after a pause, but only so often an experiment: a device
// that always throttles is the device people have, and its samples are marked instead.
constexpr int kRetakes = 3;
constexpr std::chrono::milliseconds kCoolingPause{250};
constexpr Draw stress_draw(Stress stress) {
    return {0, stress};
}

Evaluation failed(Evaluation evaluation, const Failure& failure) {
    evaluation.status = Status::crash;
    evaluation.outcome = failure.outcome;
    evaluation.note = fmt::format("{}: {}", to_string(failure.outcome),
                                  failure.diagnostics.substr(0, failure.diagnostics.find('\n')));
    evaluation.diagnostics = failure.diagnostics;
    // Times of a kernel that computes something else are worth nothing.
    evaluation.geomean_ms.reset();
    evaluation.family_ms = {};
    return evaluation;
}

void keep_worst(std::optional<CheckReport>& worst, const CheckReport& report) {
    if (!worst || report.o_worst_ratio > worst->o_worst_ratio || report.lse_worst_ratio > worst->lse_worst_ratio) {
        worst = report;
    }
}

Failure incorrect(const CaseRecord& record, Draw draw, const CheckReport& report) {
    return {Outcome::incorrect, fmt::format("{}, draw {}: {}", record.case_id, draw.index, report.detail)};
}

void append(std::vector<float>& to, const std::vector<float>& from) {
    to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

Evaluator::Evaluator(Device& device, const Suite& suite, const MeasureSettings& settings, FamilyTimes best_family_ms)
    : device_(device),
      suite_(suite),
      settings_(settings),
      best_family_ms_(best_family_ms),
      environment_(device.environment()) {}

Evaluation Evaluator::evaluate(const Experiment& experiment) {
    const auto started = std::chrono::steady_clock::now();
    retakes_left_ = kRetakes;
    Evaluation evaluation;
    for (const CaseSpec& spec : suite_.cases) {
        CaseRecord record;
        record.case_id = spec.case_id;
        record.family = spec.family;
        evaluation.cases.push_back(std::move(record));
    }
    if (experiment.incumbent) adopt(*experiment.incumbent);
    const std::optional<Failure> failure = measure(experiment, evaluation);
    if (failure) {
        evaluation = failed(std::move(evaluation), *failure);
    } else {
        // Clocks and temperature as they were for these samples; a dead worker is not started just to be asked.
        environment_ = device_.environment();
    }
    evaluation.environment = environment_;
    evaluation.device_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    return evaluation;
}

Evaluator::Failed Evaluator::measure(const Experiment& experiment, Evaluation& evaluation) {
    if (auto loaded = device_.load(Slot::challenger, experiment.variant); !loaded.ok()) return loaded.failure();
    if (auto failure = check_cases({experiment.standing_draw, Stress::none}, evaluation)) return failure;
    if (auto failure = time_families(evaluation)) return failure;
    if (evaluation.outcome == Outcome::pruned) return std::nullopt;
    if (auto failure = check_stresses(evaluation)) return failure;
    return decide(experiment, evaluation);
}

Evaluator::Failed Evaluator::check_cases(Draw draw, Evaluation& evaluation) {
    for (std::size_t index = 0; index < evaluation.cases.size(); ++index) {
        CaseRecord& record = evaluation.cases[index];
        const auto checked = device_.check(Slot::challenger, index, draw);
        if (!checked.ok()) return checked.failure();
        keep_worst(record.check, checked.value());
        if (!checked.value().passed) return incorrect(record, draw, checked.value());
    }
    return std::nullopt;
}

// Families in order, each with all its cases, so that a loser is seen after the first family already.
Evaluator::Failed Evaluator::time_families(Evaluation& evaluation) {
    for (std::size_t family = 0; family < kFamilies.size(); ++family) {
        for (std::size_t index = 0; index < evaluation.cases.size(); ++index) {
            CaseRecord& record = evaluation.cases[index];
            if (record.family != kFamilies[family]) continue;
            if (auto failure = time_case(Slot::challenger, index, record)) return failure;
        }
        evaluation.family_ms = family_medians(evaluation.cases);
        const double bound_ms = score_bound_ms(evaluation.family_ms, best_family_ms_);
        const auto incumbent_ms = score_ms(incumbent_family_ms_);
        if (settings_.early_stop && incumbent_ms && family + 1 < kFamilies.size() &&
            !can_still_win(bound_ms, *incumbent_ms, noise_floor_.share())) {
            evaluation.status = Status::discard;
            evaluation.outcome = Outcome::pruned;
            evaluation.bound_ms = bound_ms;
            evaluation.note =
                fmt::format("pruned after {}: at least {:.4f} ms", to_string(kFamilies[family]), bound_ms);
            return std::nullopt;
        }
    }
    evaluation.geomean_ms = score_ms(evaluation.family_ms);
    keep_best(best_family_ms_, evaluation.family_ms);
    return std::nullopt;
}

// Samples in rounds until the median is known well enough.
Evaluator::Failed Evaluator::time_case(Slot slot, std::size_t index, CaseRecord& record) {
    SampleRequest request{.warmup = 3, .cold = settings_.min_samples, .warm = settings_.warm_samples};
    Samples& all = record.samples;
    while (static_cast<int>(all.cold_ms.size()) < settings_.max_samples) {
        request.cold = std::min(request.cold, settings_.max_samples - static_cast<int>(all.cold_ms.size()));
        const auto sampled = sample(slot, index, request);
        if (!sampled.ok()) return sampled.failure();
        append(all.cold_ms, sampled.value().cold_ms);
        append(all.warm_ms, sampled.value().warm_ms);
        all.throttled = all.throttled || sampled.value().throttled;
        record.cold_median_ms = median(all.cold_ms);
        if (!all.warm_ms.empty()) record.warm_median_ms = median(all.warm_ms);
        if (relative_half_width(median_interval(all.cold_ms, kSamplingConfidence)) <= settings_.target_interval) break;
        request.warm = 0;
    }
    return std::nullopt;
}

Result<Samples> Evaluator::sample(Slot slot, std::size_t index, const SampleRequest& request) {
    Result<Samples> sampled = device_.time(slot, index, request);
    while (sampled.ok() && sampled.value().throttled && retakes_left_ > 0) {
        --retakes_left_;
        std::this_thread::sleep_for(kCoolingPause);
        sampled = device_.time(slot, index, request);
    }
    return sampled;
}

Evaluator::Failed Evaluator::check_stresses(Evaluation& evaluation) {
    evaluation.robust = true;
    for (const Stress stress : kStresses) {
        for (std::size_t index = 0; index < evaluation.cases.size(); ++index) {
            const auto checked = device_.check(Slot::challenger, index, stress_draw(stress));
            if (!checked.ok()) return checked.failure();
            evaluation.stresses.push_back({evaluation.cases[index].case_id, stress, checked.value()});
            evaluation.robust = *evaluation.robust && checked.value().passed;
        }
    }
    return std::nullopt;
}

Evaluator::Failed Evaluator::decide(const Experiment& experiment, Evaluation& evaluation) {
    evaluation.outcome = Outcome::ok;
    evaluation.status = Status::discard;
    if (experiment.incumbent &&
        !can_still_win(*evaluation.geomean_ms, *score_ms(incumbent_family_ms_), noise_floor_.share())) {
        return std::nullopt;
    }
    // An export checks the first draws of every case; what it would refuse is no keep, and is the best no longer when
    // it is measured again.
    for (int draw = 0; draw < settings_.keep_draws; ++draw) {
        if (auto failure = check_cases({static_cast<std::uint32_t>(draw), Stress::none}, evaluation)) return failure;
    }
    // Never decided on inputs the study has seen: a kernel that is right once and wrong the next time ends here.
    evaluation.used_fresh_draw = true;
    if (auto failure = check_cases({experiment.fresh_draw, Stress::none}, evaluation)) return failure;
    if (!experiment.incumbent)
        evaluation.status = Status::keep;
    else if (auto failure = challenge(experiment, evaluation))
        return failure;
    return evaluation.status == Status::keep ? confirm(experiment, evaluation) : std::nullopt;
}

// An error near the tolerance exceeds it on some draws and not on others, and keeps are rare: they can afford to be
// looked at more often. The further draws lie where no other experiment's do.
Evaluator::Failed Evaluator::confirm(const Experiment& experiment, Evaluation& evaluation) {
    for (int i = 1; i < settings_.keep_draws; ++i) {
        const std::uint32_t draw = experiment.fresh_draw + (static_cast<std::uint32_t>(i) << 24U);
        if (auto failure = check_cases({draw, Stress::none}, evaluation)) return failure;
    }
    return std::nullopt;
}

Evaluator::Failed Evaluator::challenge(const Experiment& experiment, Evaluation& evaluation) {
    const Incumbent& incumbent = *experiment.incumbent;
    // Until both are back in their places: whatever ends this early, a missing artifact included, the incumbent is
    // loaded anew before anything is compared with it.
    in_place_ = false;
    bool changed = false;
    const auto load = [&](Placing placing) {
        changed = placing.changed;
        return load_sides(device_, experiment.variant, incumbent.variant, placing);
    };
    const auto ended = alternate(
        suite_, settings_, [&](std::size_t index) { return device_.pair(index, 1); }, load, experiment.fresh_draw);
    if (!ended.ok()) return ended.failure();
    if (changed) {
        if (const auto back = load({}); !back.ok()) return back.failure();
    }
    in_place_ = true;
    const PairedVerdict& verdict = ended.value().verdict;
    evaluation.pair =
        PairRecord{incumbent.iter, verdict.ratio, verdict.ratio_low, verdict.ratio_high, ended.value().pairs};
    const std::string interval =
        fmt::format("{:.4f} [{:.4f}, {:.4f}]", verdict.ratio, verdict.ratio_low, verdict.ratio_high);
    if (verdict.ratio_high < 1.0) {
        evaluation.status = Status::keep;
        evaluation.note = fmt::format("ratio {} to iteration {}", interval, incumbent.iter);
    } else {
        evaluation.note = fmt::format("within noise of iteration {}: ratio {}; noise floor {:.1f} %", incumbent.iter,
                                      interval, 100.0 * noise_floor_.share());
    }
    return std::nullopt;
}

void Evaluator::adopt(const Incumbent& incumbent) {
    const bool is_new = incumbent.iter != timed_iter_;
    const bool is_due = is_new || ++since_incumbent_timed_ >= kExperimentsPerIncumbentTiming;
    if (is_new) in_place_ = false;
    Failed failure;
    for (int attempt = 0; attempt < kIncumbentAttempts; ++attempt) {
        failure = put_in_place(incumbent);
        if (!failure && is_due) failure = time_incumbent(is_new);
        if (!failure) break;
    }
    if (failure) {
        throw EnvironmentError(
            fmt::format("iteration {}, the best so far, no longer runs on this device ({}); restore "
                        "its source with `attune restore`, or start another study",
                        incumbent.iter, failure->diagnostics));
    }
    timed_iter_ = incumbent.iter;
    if (is_due) since_incumbent_timed_ = 0;
}

Evaluator::Failed Evaluator::put_in_place(const Incumbent& incumbent) {
    if (in_place_ && device_.holds(Slot::incumbent)) return std::nullopt;
    if (const auto loaded = device_.load(Slot::incumbent, incumbent.variant); !loaded.ok()) return loaded.failure();
    in_place_ = true;
    return std::nullopt;
}

Evaluator::Failed Evaluator::time_incumbent(bool is_new) {
    std::vector<CaseRecord> cases(suite_.cases.size());
    for (std::size_t index = 0; index < cases.size(); ++index) {
        cases[index].family = suite_.cases[index].family;
        if (auto failure = time_case(Slot::incumbent, index, cases[index])) return failure;
    }
    incumbent_family_ms_ = family_medians(cases);
    if (is_new) noise_floor_.restart();
    noise_floor_.add(*score_ms(incumbent_family_ms_));
    keep_best(best_family_ms_, incumbent_family_ms_);
    return std::nullopt;
}

}  // namespace attune
