// What `tune` and `try` share: from a study file to a running loop.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "loop/coordinator.h"

namespace attune {

struct SweepOptions {
    std::string study_path;  ///< empty: the default study of the device
    std::string device = "auto";
    std::filesystem::path database;
    std::optional<std::filesystem::path> edited_template;  ///< instead of the study's own
    std::optional<std::uint64_t> seed;
    std::string strategy;  ///< empty: the study's, else the default
    LoopLimits limits;
    bool remeasure = false;
    std::vector<std::filesystem::path> warm_from;  ///< databases whose studies of the template the strategy is told of
    bool warm_from_own = false;                    ///< so are the other studies in `database`
    bool baseline_of_each_edition = false;         ///< an edited template begins with the baseline
    std::uint64_t shard_index = 0;                 ///< of shard_count parts of the space, the one to sweep
    std::uint64_t shard_count = 1;
};

/// What a sweep searches, once its device is known.
struct SweptSpace {
    const Study& study;
    const KernelTemplate& kernel_template;  ///< restricted to the study's space
    const TargetFacts& target;
    const Space& space;  ///< of the candidates legal on `target`, or a shard of it
};

/// Makes the strategy called `name`.
using MakeStrategy = std::function<std::unique_ptr<Strategy>(const std::string& name, const SweptSpace& swept)>;

/// Checks everything a person wrote before anything is created, then opens devices and record and runs the loop.
[[nodiscard]] LoopEnd run_sweep(const SweepOptions& options, const CliContext& context,
                                const MakeStrategy& make_strategy, LoopObserver& observer);

/// The study file a person means: the path itself, or the name of one under configs/studies.
[[nodiscard]] std::filesystem::path find_study(const std::string& text, const CliContext& context);

/// {auto,model,...}: the type of a --strategy option, for --help and for completion.
[[nodiscard]] std::string strategy_type_name();

}  // namespace attune
