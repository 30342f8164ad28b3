// The experiment loop: ask, compile ahead, measure, record, tell. It owns the strategy and the record and never touches
// a device, so that nothing a kernel does can harm it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/kernel_template.h"
#include "core/record.h"
#include "core/study.h"
#include "search/strategy.h"
#include "store/store.h"

namespace attune {

/// When to stop by itself; with neither set, when the space is exhausted.
struct LoopLimits {
    std::optional<std::int64_t> max_iters;  ///< iterations recorded by this run
    std::optional<double> hours;
};

/// The loop's surroundings. Devices share one architecture; the loop opens the suite on them while it compiles already.
struct LoopSetup {
    const Study& study;
    const KernelTemplate& kernel_template;
    const Space& space;
    std::vector<std::unique_ptr<Device>> devices{};
    std::function<std::unique_ptr<Compiler>()> make_compiler{};
    /// Makes the template an iteration was recorded with, with every value its parameters had.
    std::function<KernelTemplate(std::vector<SourceFile>)> load_edition{};
    int compile_workers = 1;
    std::string boot_id{};  ///< of this boot of the machine: tells a killed coordinator from a machine that went down
    /// What `attune try` is given, before the candidate, to measure one of this study again: its file and whatever else
    /// the run was given, quoted for a shell.
    std::string try_arguments{};
    std::string strategy_name{};
    bool remeasure = false;  ///< do not tell the strategy what earlier runs recorded
    /// An edited template begins with the baseline as a new study does; its search would otherwise have only bounds
    /// to go by until something comes close to the incumbent.
    bool baseline_of_each_edition = false;
};

/// Where a run stands, for whoever watches.
struct LoopProgress {
    std::int64_t recorded = 0;  ///< by this run
    std::int64_t last_iter = 0;
    std::optional<double> best_ms;
    std::optional<std::int64_t> left;  ///< iterations still to come, where that is known
    double elapsed_s = 0.0;
    int compiling = 0;
    int measuring = 0;
};

class LoopObserver {
  public:
    virtual ~LoopObserver() = default;
    virtual void on_iteration(std::int64_t iter, const IterationRecord& record, const LoopProgress& progress) = 0;
    virtual void on_tick(const LoopProgress& progress) = 0;
    virtual void on_message(const std::string& message) = 0;
};

enum class LoopEnd { limit_reached, exhausted, stopped };

/// Runs until a limit, exhaustion, or `stop`. Every iteration is committed before the strategy hears of it. Throws
/// EnvironmentError when no device is left or the record cannot be written.
[[nodiscard]] LoopEnd run_loop(LoopSetup setup, Store& store, Strategy& strategy, const LoopLimits& limits,
                               const std::atomic<bool>& stop, LoopObserver& observer);

}  // namespace attune
