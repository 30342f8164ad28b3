// `attune try`: one experiment, by a person or an agent.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/sweep.h"
#include "core/error.h"

namespace attune {
namespace {

constexpr int kDiscard = 10;
constexpr int kCrash = 11;
constexpr int kStoppedBySignal = 130;

struct TryOptions {
    SweepOptions sweep;
    std::vector<std::string> settings;
    std::string message;
    bool as_json = false;
};

/// Proposes one candidate, unless the study knows it already.
class OneShot : public Strategy {
  public:
    OneShot(Candidate candidate, std::string description) : proposal_{std::move(candidate), std::move(description)} {}

    [[nodiscard]] std::optional<Proposal> ask() override { return std::exchange(next_, std::nullopt); }
    void tell(const Trial& trial) override {
        if (trial.candidate == proposal_.candidate) next_.reset();
    }

  private:
    Proposal proposal_;
    std::optional<Proposal> next_ = proposal_;
};

/// Remembers the iteration tried; others of the same run (a new study's baseline, what an earlier run died of) are only
/// mentioned.
class TryObserver : public LoopObserver {
  public:
    explicit TryObserver(std::ostream& log) : log_(log) {}

    /// Says which candidate is the one tried.
    void watch(std::string params) { params_ = std::move(params); }

    void on_iteration(std::int64_t iter, const IterationRecord& record, const LoopProgress&) override {
        if (record.params != params_) {
            log_ << fmt::format("iteration {} is {}: {}\n", iter, to_string(record.status), record.description);
            return;
        }
        last_iter_ = iter;
        last_ = record;
    }
    void on_tick(const LoopProgress&) override {}
    void on_message(const std::string& message) override { log_ << message << '\n'; }

    [[nodiscard]] std::int64_t last_iter() const { return last_iter_; }
    [[nodiscard]] const std::optional<IterationRecord>& last() const { return last_; }

  private:
    std::ostream& log_;
    std::string params_;
    std::int64_t last_iter_ = 0;
    std::optional<IterationRecord> last_;
};

nlohmann::json optional_number(const std::optional<double>& value) {
    return value ? nlohmann::json(*value) : nlohmann::json();
}

nlohmann::json as_json(const IterationRecord& record) {
    nlohmann::json cases = nlohmann::json::array();
    for (const CaseRecord& item : record.cases) {
        nlohmann::json row{{"case_id", item.case_id},
                           {"family", to_string(item.family)},
                           {"cold_median_ms", optional_number(item.cold_median_ms)},
                           {"warm_median_ms", optional_number(item.warm_median_ms)}};
        if (item.check) {
            row["check"] = {{"passed", item.check->passed},
                            {"o_worst_ratio", item.check->o_worst_ratio},
                            {"lse_worst_ratio", item.check->lse_worst_ratio},
                            {"detail", item.check->detail}};
        }
        cases.push_back(std::move(row));
    }
    nlohmann::json page{{"params", record.params},
                        {"status", to_string(record.status)},
                        {"outcome", to_string(record.outcome)},
                        {"description", record.description},
                        {"geomean_ms", optional_number(record.geomean_ms)},
                        {"delta_ms", optional_number(record.delta_ms)},
                        {"robust", record.robust ? nlohmann::json(*record.robust) : nlohmann::json()},
                        {"diagnostics", record.diagnostics},
                        {"reproduce", record.reproduce},
                        {"cases", cases}};
    if (record.pair) {
        page["pair"] = {{"incumbent_iter", record.pair->incumbent_iter},
                        {"ratio", record.pair->ratio},
                        {"ratio_low", record.pair->ratio_low},
                        {"ratio_high", record.pair->ratio_high}};
    }
    if (record.artifact) {
        nlohmann::json kernels = nlohmann::json::array();
        for (const KernelResources& kernel : record.artifact->kernels) {
            kernels.push_back({{"entry", kernel.entry},
                               {"registers", kernel.registers},
                               {"shared_bytes", kernel.shared_bytes},
                               {"spill_store_bytes", kernel.spill_store_bytes},
                               {"spill_load_bytes", kernel.spill_load_bytes}});
        }
        page["kernels"] = kernels;
        page["compiler_log"] = record.artifact->log;
    }
    return page;
}

void print(const TryOptions& options, const CliContext& context, const TryObserver& seen) {
    const IterationRecord& record = *seen.last();
    if (options.as_json) {
        nlohmann::json page = as_json(record);
        page["iter"] = seen.last_iter();
        // Compiler output need not be UTF-8.
        context.out << page.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
        return;
    }
    const std::string score = record.geomean_ms ? fmt::format("{:.4f} ms", *record.geomean_ms) : "-";
    const std::string delta = record.delta_ms ? fmt::format(" ({:+.4f})", *record.delta_ms) : "";
    context.out << fmt::format("{} {}: {}{}: {}\n", seen.last_iter(), to_string(record.status), score, delta,
                               record.description);
}

/// The study's baseline with the settings on top.
Candidate candidate_of(const std::vector<std::string>& settings, const SweptSpace& swept) {
    const Space& space = swept.space;
    const Candidate baseline = space.parse(swept.study.baseline, space.defaults());
    const Candidate candidate = space.parse(fmt::format("{}", fmt::join(settings, ",")), baseline);
    if (const std::string reason = swept.kernel_template.violated(candidate, swept.target); !reason.empty()) {
        throw InputError(fmt::format("--set: {} is not legal on {}: {}; choose other values", space.describe(candidate),
                                     swept.target.arch_name, reason));
    }
    return candidate;
}

void run(const TryOptions& options, const CliContext& context) {
    TryObserver seen(context.err);
    const LoopEnd end = run_sweep(
        options.sweep, context,
        [&](const std::string&, const SweptSpace& swept) {
            Candidate candidate = candidate_of(options.settings, swept);
            seen.watch(swept.space.describe(candidate));
            return std::make_unique<OneShot>(std::move(candidate), options.message);
        },
        seen);
    if (end == LoopEnd::stopped) throw CommandExit{kStoppedBySignal};
    if (!seen.last()) {
        throw InputError(
            "this candidate has been measured before; `attune query` shows it, --remeasure measures it again");
    }
    print(options, context, seen);
    switch (seen.last()->status) {
        case Status::keep:
            return;
        case Status::discard:
            throw CommandExit{kDiscard};
        case Status::crash:
            throw CommandExit{kCrash};
    }
}

}  // namespace

void add_try(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<TryOptions>();
    options->sweep.database = context.default_db;
    options->sweep.strategy = "try";
    CLI::App* command = app.add_subcommand("try", "one experiment; exit code 0 keep, 10 discard, 11 crash");
    command->add_option("study", options->sweep.study_path, "study file, or the name of one in configs/studies")
        ->required();
    command->add_option("--set", options->settings, "key=value over the study's baseline; again, or joined by commas")
        ->delimiter(',');
    command->add_option("--template", options->sweep.edited_template,
                        "an edited template folder instead of the study's");
    command->add_option("-m,--message", options->message, "what was changed and why")->required();
    command->add_flag("--json", options->as_json, "everything, as JSON");
    command->add_flag("--remeasure", options->sweep.remeasure, "even if the study has measured it before");
    command->add_option("--device", options->sweep.device, "cuda:N for one of several GPUs")
        ->type_name("{auto,cpu,cuda,…}")
        ->capture_default_str();
    command->add_option("--db", options->sweep.database, "the database")->capture_default_str();
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
