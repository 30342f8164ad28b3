#include "loop/coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "core/error.h"
#include "loop/compile_pool.h"
#include "loop/device_runner.h"
#include "loop/events.h"
#include "loop/experiments.h"

namespace attune {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTick{200};
// Compiled candidates that may wait for a device, at least: it finds one whenever it is done.
constexpr int kLeastReadyPerDevice = 2;
// A candidate interrupted this often has had its chances: something about it keeps the study from getting past it.
constexpr int kMaxInterruptions = 8;
// A cache that was cleaned is filled again; one that keeps losing what is written to it is broken.
constexpr int kMaxArtifactLosses = 5;

struct Pending {
    enum class Stage { compiling, failed, ready, measuring };
    Proposal proposal;
    Stage stage = Stage::compiling;
    Variant variant{};  ///< its artifact once compiled
    Failure failure{};  ///< why it never reaches a device; not recorded yet
    double failed_compile_s = 0.0;
    int artifact_losses = 0;
    // While it is measured:
    Intent intent{};
    std::int64_t incumbent_iter = 0;  ///< what it is measured against
};

std::string quarantine_reason(const OpenIntent& open, const std::string& host, bool was_killed_only) {
    const std::string& its_host = open.intent.environment.host;
    if (was_killed_only) return fmt::format("quarantined: interrupted {} times", open.attempts);
    if (its_host == host) return "quarantined: the machine went down while it was measured";
    return fmt::format("quarantined: the run on {} died while it was measured", its_host);
}

using PendingMap = std::map<Ticket, Pending>;  // in the order asked

class Loop {
  public:
    Loop(LoopSetup setup, Store& store, Strategy& strategy, const LoopLimits& limits, const std::atomic<bool>& stop,
         LoopObserver& observer)
        : setup_(std::move(setup)),
          experiments_(setup_.study, setup_.kernel_template, setup_.space, setup_.try_arguments),
          store_(store),
          strategy_(strategy),
          limits_(limits),
          stop_(stop),
          observer_(observer) {}
    ~Loop() {
        for (auto& runner : runners_)
            runner->interrupt();
        withdraw_intents();
    }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    LoopEnd run();

  private:
    void resume();
    void settle_intents();
    void withdraw_intents() noexcept;
    void start_devices();
    void adopt_incumbent(const IterationRow& row);
    void refill();
    void submit(Proposal proposal);
    void dispatch();
    [[nodiscard]] bool has_room() const;
    void record_unmeasured();
    void handle(Compiled event);
    void handle(const Opened& event);
    void handle(Evaluated event);
    void handle(const ArtifactLost& event);
    void handle(DeviceFailed event);
    [[noreturn]] void handle(const EnvironmentBroken& event);
    void record(PendingMap::iterator item, IterationRecord record);
    [[nodiscard]] bool wants_more() const;
    [[nodiscard]] bool asks_on() const;
    [[nodiscard]] bool out_of_time() const;
    [[nodiscard]] int count(Pending::Stage stage) const;
    [[nodiscard]] LoopProgress progress() const;

    LoopSetup setup_;
    Experiments experiments_;
    Store& store_;
    Strategy& strategy_;
    LoopLimits limits_;
    const std::atomic<bool>& stop_;
    LoopObserver& observer_;

    const Clock::time_point started_ = Clock::now();
    EventQueue events_;
    TargetFacts target_;
    std::vector<EnvironmentFacts> environments_;  ///< by device
    std::vector<std::unique_ptr<DeviceRunner>> runners_;
    std::unique_ptr<CompilePool> compile_pool_;
    PendingMap pending_;
    Ticket next_ticket_ = 1;
    bool baseline_is_due_ = false;  ///< the first of `pending_` is it, and until it is recorded nothing else is
    bool exhausted_ = false;
    std::int64_t recorded_ = 0;
    std::int64_t last_iter_ = 0;
    std::optional<Incumbent> incumbent_;
    std::optional<double> incumbent_ms_;
    std::optional<std::uint32_t> reserved_draw_;
};

LoopEnd Loop::run() {
    start_devices();
    compile_pool_ = std::make_unique<CompilePool>(setup_.compile_workers, setup_.make_compiler, events_);
    resume();
    for (;;) {
        if (stop_) return LoopEnd::stopped;
        refill();
        dispatch();
        if (pending_.empty() && !asks_on()) return wants_more() ? LoopEnd::exhausted : LoopEnd::limit_reached;
        if (out_of_time() && count(Pending::Stage::measuring) == 0) return LoopEnd::limit_reached;
        if (auto event = events_.pop_for(asks_on() ? std::chrono::milliseconds(0) : kTick)) {
            std::visit([this](auto&& what) { handle(std::forward<decltype(what)>(what)); }, std::move(*event));
        }
        record_unmeasured();
        observer_.on_tick(progress());
    }
}

void Loop::start_devices() {
    target_ = setup_.devices.front()->target();
    const std::vector<IterationRow> rows = store_.iterations();
    for (auto& device : setup_.devices) {
        environments_.push_back(device->environment());
        const FamilyTimes best = Experiments::best_family_times(rows, environments_.back().device_uuid);
        auto evaluator = std::make_unique<Evaluator>(*device, setup_.study.suite, setup_.study.measure, best);
        runners_.push_back(std::make_unique<DeviceRunner>(runners_.size(), std::move(device), std::move(evaluator),
                                                          setup_.study.suite, events_));
    }
}

void Loop::resume() {
    settle_intents();
    const std::vector<IterationRow> rows = store_.iterations();
    if (!rows.empty()) last_iter_ = rows.back().iter;
    bool is_new_edition = true;
    for (const IterationRow& row : rows) {
        is_new_edition = is_new_edition && row.template_hash != experiments_.template_hash();
        // A study file may have lost values since; what no longer exists is nothing to tell.
        const std::optional<Trial> trial = experiments_.trial(row);
        if (trial && !setup_.remeasure) strategy_.tell(*trial);
    }
    if (const auto row = store_.incumbent()) adopt_incumbent(*row);
    baseline_is_due_ = rows.empty() || (is_new_edition && setup_.baseline_of_each_edition);
    if (baseline_is_due_) {
        submit({experiments_.baseline(target_), rows.empty() ? "baseline" : "baseline of the edited template"});
    }
}

// A candidate that was being measured when the last coordinator died is tried again, unless the machine went down with
// it or it was interrupted too often: then it is recorded as the crash it may well have caused.
void Loop::settle_intents() {
    for (const OpenIntent& open : store_.open_intents()) {
        const Intent& intent = open.intent;
        const bool was_killed_only = intent.boot_id == setup_.boot_id;
        if (was_killed_only && open.attempts < kMaxInterruptions) {
            store_.abandon(intent);
            continue;
        }
        IterationRecord crash = experiments_.blank(intent.params, setup_.strategy_name, intent.environment);
        crash.template_hash = intent.template_hash;
        crash.description = quarantine_reason(open, environments_.front().host, was_killed_only);
        crash.diagnostics = crash.description;
        const bool is_this_edition = intent.template_hash == experiments_.template_hash();
        const auto candidate = is_this_edition ? candidate_of(intent.params, setup_.space) : std::nullopt;
        last_iter_ =
            store_.finish(crash, candidate ? experiments_.record_sources(*candidate) : std::vector<SourceFile>{});
        ++recorded_;
        observer_.on_iteration(last_iter_, crash, progress());
    }
}

// Whatever but death ends the loop: what is on a device at that moment has done nothing wrong. An intent that can not
// be closed is settled by the next run.
void Loop::withdraw_intents() noexcept {
    try {
        for (const auto& [ticket, pending] : pending_) {
            if (pending.stage == Pending::Stage::measuring) store_.withdraw(pending.intent);
        }
    } catch (const EnvironmentError&) {
    }
}

// The incumbent is what was recorded, whatever has become of its template and of the study's space since.
void Loop::adopt_incumbent(const IterationRow& row) {
    incumbent_ms_ = row.geomean_ms;
    std::vector<SourceFile> files = store_.sources(row.iter);
    // These two are the driver's half of the call, which this driver makes as it will use it.
    std::erase_if(files, [](const SourceFile& file) { return file.name == kArgsHeader || file.name == kTuneHeader; });
    const KernelTemplate edition = setup_.load_edition(std::move(files));
    const Space space = edition.space(target_);
    const Experiments recorded(setup_.study, edition, space, setup_.try_arguments);
    const Candidate candidate = recorded.candidate(row.params);
    const auto refuse = [&](const char* what, const Failure& failure) {
        throw EnvironmentError(
            fmt::format("iteration {} is the best of study '{}', but {} ({}); restore its source with `attune "
                        "restore`, or start another study",
                        row.iter, setup_.study.name, what, failure.diagnostics));
    };
    auto plans = recorded.plans(candidate, target_);
    if (!plans.ok()) refuse("cannot be launched here", plans.failure());
    Result<Artifact> artifact = setup_.make_compiler()->compile(recorded.job(candidate, target_));
    if (!artifact.ok()) refuse("no longer compiles", artifact.failure());
    incumbent_ = Incumbent{row.iter, {std::move(artifact.value()), std::move(plans.value())}};
}

bool Loop::out_of_time() const {
    return limits_.hours && Clock::now() - started_ >= std::chrono::duration<double>(*limits_.hours * 3600.0);
}

bool Loop::wants_more() const {
    const auto expected = recorded_ + static_cast<std::int64_t>(pending_.size());
    return !out_of_time() && (!limits_.max_iters || expected < *limits_.max_iters);
}

// The strategy looks through the space for what it may propose next, a turn at a time.
bool Loop::asks_on() const {
    return strategy_.still_looking() && has_room() && wants_more();
}

int Loop::count(Pending::Stage stage) const {
    return static_cast<int>(std::count_if(pending_.begin(), pending_.end(),
                                          [stage](const auto& item) { return item.second.stage == stage; }));
}

void Loop::refill() {
    while (!stop_ && !exhausted_ && has_room() && wants_more()) {
        if (baseline_is_due_ && strategy_.needs_result()) return;
        std::optional<Proposal> proposal = strategy_.ask();
        if (!proposal) {
            // With trials outstanding the strategy may only be waiting for them.
            exhausted_ = pending_.empty() && !strategy_.still_looking();
            return;
        }
        // The one candidate that is out without the strategy having proposed it.
        const bool is_baseline = baseline_is_due_ && pending_.begin()->second.proposal.candidate == proposal->candidate;
        if (!is_baseline) submit(std::move(*proposal));
    }
}

// One more may compile than there are workers, so that none waits for the coordinator. About half of the workers finish
// during a challenge, the longest that a device is at one variant, and go on meanwhile; more would only let the asks
// run further ahead of what the strategy was told.
bool Loop::has_room() const {
    const int ready = std::max(kLeastReadyPerDevice, setup_.compile_workers / 2) * static_cast<int>(runners_.size());
    return count(Pending::Stage::compiling) <= setup_.compile_workers &&
           static_cast<int>(pending_.size()) < setup_.compile_workers + ready;
}

void Loop::submit(Proposal proposal) {
    const Ticket ticket = next_ticket_++;
    Pending& pending = pending_.emplace(ticket, Pending{std::move(proposal)}).first->second;
    auto plans = experiments_.plans(pending.proposal.candidate, target_);
    if (!plans.ok()) {
        pending.failure = plans.failure();
        pending.stage = Pending::Stage::failed;
        return;
    }
    pending.variant.plans = std::move(plans.value());
    compile_pool_->submit(ticket, experiments_.job(pending.proposal.candidate, target_));
}

void Loop::dispatch() {
    if (out_of_time()) return;
    for (std::size_t device = 0; device < runners_.size(); ++device) {
        if (!runners_[device]->idle()) continue;
        const auto ready = std::find_if(pending_.begin(), pending_.end(),
                                        [](const auto& item) { return item.second.stage == Pending::Stage::ready; });
        if (ready == pending_.end() || (baseline_is_due_ && ready != pending_.begin())) return;
        auto& [ticket, pending] = *ready;
        if (!reserved_draw_) reserved_draw_ = store_.fresh_draw();
        pending.intent = {setup_.space.describe(pending.proposal.candidate), experiments_.template_hash(),
                          environments_[device], setup_.boot_id};
        store_.begin(pending.intent);
        const auto standing_draw = static_cast<std::uint32_t>(ticket % static_cast<Ticket>(setup_.study.measure.draws));
        runners_[device]->submit(ticket, {pending.variant, incumbent_, standing_draw, *reserved_draw_});
        // Two devices must not confirm on the same fresh inputs.
        if (runners_.size() > 1) reserved_draw_.reset();
        pending.stage = Pending::Stage::measuring;
        pending.incumbent_iter = incumbent_ ? incumbent_->iter : 0;
    }
}

void Loop::handle(Compiled event) {
    Pending& pending = pending_.at(event.ticket);
    if (event.result.ok()) {
        pending.variant.artifact = std::move(event.result.value());
        pending.stage = Pending::Stage::ready;
        return;
    }
    pending.failure = event.result.failure();
    pending.failed_compile_s = event.elapsed_s;
    pending.stage = Pending::Stage::failed;
}

// The baseline is recorded first, whatever of what compiles beside it fails sooner.
void Loop::record_unmeasured() {
    for (auto item = pending_.begin(); item != pending_.end();) {
        if (baseline_is_due_ && item != pending_.begin()) return;
        if (item->second.stage != Pending::Stage::failed) {
            ++item;
            continue;
        }
        const auto failed = item++;
        const Pending& pending = failed->second;
        record(failed, experiments_.unmeasured(pending.proposal, pending.failure, pending.failed_compile_s,
                                               setup_.strategy_name, environments_.front()));
    }
}

void Loop::handle(const Opened& event) {
    runners_[event.device]->release();
}

void Loop::handle(Evaluated event) {
    runners_[event.device]->release();
    if (event.evaluation.used_fresh_draw) reserved_draw_.reset();
    const auto found = pending_.find(event.ticket);
    const bool keep = event.evaluation.status == Status::keep;
    if (keep && incumbent_ && incumbent_->iter != found->second.incumbent_iter) {
        // It beat a best that another device has seen beaten meanwhile; whether it beats the new one is not known.
        store_.withdraw(found->second.intent);
        found->second.stage = Pending::Stage::ready;
        return;
    }
    const Variant variant = found->second.variant;
    record(found, experiments_.measured(found->second.proposal, variant.artifact, std::move(event.evaluation),
                                        setup_.strategy_name, incumbent_ms_));
    if (keep) incumbent_ = Incumbent{last_iter_, variant};
}

// Somebody cleaned the cache under a running study: what is needed of it is compiled again.
void Loop::handle(const ArtifactLost& event) {
    runners_[event.device]->release();
    Pending& pending = pending_.at(event.ticket);
    if (++pending.artifact_losses == kMaxArtifactLosses) {
        throw EnvironmentError(
            fmt::format("{} keeps vanishing: the cache loses what is written to it; set ATTUNE_CACHE to "
                        "another folder",
                        pending.variant.artifact.path));
    }
    store_.withdraw(pending.intent);
    observer_.on_message("the cache has been emptied; compiling again");
    if (const auto row = store_.incumbent()) adopt_incumbent(*row);
    compile_pool_->submit(event.ticket, experiments_.job(pending.proposal.candidate, target_));
    pending.stage = Pending::Stage::compiling;
}

void Loop::handle(DeviceFailed event) {
    runners_[event.device]->retire();
    observer_.on_message(fmt::format("device lost: {}", event.reason));
    const bool any_left = std::any_of(runners_.begin(), runners_.end(), [](const auto& r) { return !r->lost(); });
    if (event.ticket) {
        Pending& pending = pending_.at(*event.ticket);
        store_.abandon(pending.intent);
        pending.stage = Pending::Stage::ready;
    }
    if (!any_left) throw EnvironmentError(event.reason);
}

void Loop::handle(const EnvironmentBroken& event) {
    throw EnvironmentError(event.reason);
}

// Until it is committed it is pending: what keeps it from being recorded must not leave it open.
void Loop::record(PendingMap::iterator item, IterationRecord record) {
    const Candidate candidate = item->second.proposal.candidate;
    last_iter_ = store_.finish(record, experiments_.record_sources(candidate));
    pending_.erase(item);
    ++recorded_;
    baseline_is_due_ = false;
    if (record.status == Status::keep) incumbent_ms_ = record.geomean_ms;
    strategy_.tell(experiments_.trial(candidate, record));
    observer_.on_iteration(last_iter_, record, progress());
}

LoopProgress Loop::progress() const {
    LoopProgress now;
    now.recorded = recorded_;
    now.last_iter = last_iter_;
    now.best_ms = incumbent_ms_;
    if (limits_.max_iters) now.left = *limits_.max_iters - recorded_;
    now.elapsed_s = std::chrono::duration<double>(Clock::now() - started_).count();
    now.compiling = count(Pending::Stage::compiling);
    now.measuring = count(Pending::Stage::measuring);
    return now;
}

}  // namespace

LoopEnd run_loop(LoopSetup setup, Store& store, Strategy& strategy, const LoopLimits& limits,
                 const std::atomic<bool>& stop, LoopObserver& observer) {
    return Loop(std::move(setup), store, strategy, limits, stop, observer).run();
}

}  // namespace attune
