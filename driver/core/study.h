// A study: what to tune, over what, how, and where its limits are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/kernel_template.h"
#include "core/workload.h"

namespace attune {

/// How measuring is bounded; every field has a default that suits a GPU.
struct MeasureSettings {
    int draws = 3;          ///< standing draws of Q, K, V that checks rotate among
    int keep_draws = 8;     ///< draws never used before that a keep must be right on, and as many of the first ones
    int min_samples = 20;   ///< cold samples a case, at least
    int max_samples = 120;  ///< cold samples a case, at most
    int warm_samples = 20;
    double target_interval = 0.005;  ///< stop when the median's interval is within +-this share of it
    int min_pairs = 20;              ///< alternating pairs a case for a would-be keep, at least
    int max_pairs = 200;             ///< at most, but a first round is always taken (loop/alternation.h)
    double confidence = 0.998;       ///< of the interval on the ratio
    double compile_timeout_s = 60.0;
    double run_timeout_s = 10.0;  ///< a single check or timing request
    int compile_memory_mb = 4096;
    bool early_stop = true;  ///< give up on a variant once it cannot win; false to record a space for replay
};

struct Study {
    std::string name;  ///< [a-z0-9_-]+; also the folder of iters.tsv
    std::string template_name;
    std::filesystem::path template_folder;
    Suite suite;
    SpaceRestriction space;  ///< empty: the whole template
    std::string baseline;    ///< `key=value,…` over the template's defaults
    std::string strategy;    ///< empty: the default
    std::uint64_t seed = 0;
    MeasureSettings measure;
};

}  // namespace attune
