#include "cli/sweep.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <string_view>
#include <thread>

#include "backend/artifact_cache.h"
#include "backend/cuda/cuda_backend.h"
#include "cli/backends.h"
#include "cli/signals.h"
#include "cli/usage.h"
#include "cli/warm_start.h"
#include "config/built_in.h"
#include "config/study.h"
#include "config/template.h"
#include "core/error.h"
#include "core/suggest.h"
#include "worker/device_group.h"

namespace attune {
namespace {

std::string read_boot_id() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    std::getline(file, id);
    return id;
}

std::filesystem::path default_study(const std::string& device, const CliContext& context) {
    const bool cuda = device == "auto" ? usual_device(context) == DeviceKind::cuda : device != "cpu";
    const std::string_view study = cuda ? usual_gpu_study(cuda_device_archs()) : "smoke-cpu";
    return context.share_dir / "configs/studies" / fmt::format("{}.json", study);
}

DeviceGroup start_devices(const DeviceChoice& choice, const Study& study, const CliContext& context,
                          const TellLoss& tell_loss) {
    DeviceGroup devices;
    for (const int ordinal : choice.ordinals)
        devices.push_back(start_device(choice.kind, ordinal, context, study.measure));
    start_together(devices, tell_loss);
    const std::string first = devices.front()->target().arch_name;
    for (auto& device : devices) {
        if (const std::string arch = device->target().arch_name; arch != first) {
            throw InputError(
                fmt::format("--device: {} is {}, but {} is {}; a sweep compares devices of one architecture",
                            device->label(), arch, devices.front()->label(), first));
        }
    }
    return devices;
}

std::string resolve_strategy(const SweepOptions& options, const Study& study) {
    if (!options.strategy.empty()) return options.strategy;
    return study.strategy.empty() ? std::string(strategy_names().front().name) : study.strategy;
}

int compile_workers(std::size_t devices) {
    // One core stays with the coordinator and one with each device worker.
    const auto cores = static_cast<int>(std::thread::hardware_concurrency());
    return std::max(1, cores - 1 - static_cast<int>(devices));
}

/// What the databases a person named hold of the study's template; one that holds nothing of it is a mistake.
EarlierStudies read_earlier(const SweepOptions& options, const Study& study, const Space& space) {
    EarlierStudies earlier(study.template_name, space);
    for (const std::filesystem::path& database : options.warm_from) {
        if (earlier.add(database) > 0) continue;
        throw InputError(
            fmt::format("--warm-from {}: holds no times of template '{}' in this study's space; name a database "
                        "of an earlier study of it, or leave the option out",
                        database.string(), study.template_name));
    }
    return earlier;
}

/// What this run was told that another must be told to measure the same, but for the database, which may lie elsewhere
/// by then.
std::string try_arguments(const SweepOptions& options, const std::filesystem::path& study_file) {
    std::string words = shell_word(options.study_path.empty() ? study_file.stem().string() : options.study_path);
    if (options.edited_template) words += " --template " + shell_word(options.edited_template->string());
    return words;
}

}  // namespace

std::filesystem::path find_study(const std::string& text, const CliContext& context) {
    // A folder of that name may well be here: that of the study's own iters.tsv.
    if (std::filesystem::is_regular_file(text)) return text;
    const std::filesystem::path folder = context.share_dir / "configs/studies";
    const std::filesystem::path built_in = folder / (text + ".json");
    if (text.find('/') == std::string::npos && std::filesystem::exists(built_in)) return built_in;
    const std::vector<std::string> names = built_in_names(folder);
    const std::vector<std::string_view> known(names.begin(), names.end());
    throw InputError(fmt::format("no study '{}': name a JSON file, or a study in {}{}", text, folder.string(),
                                 name_hint(text, known)));
}

LoopEnd run_sweep(const SweepOptions& options, const CliContext& context, const MakeStrategy& make_strategy,
                  LoopObserver& observer) {
    const std::filesystem::path study_file =
        options.study_path.empty() ? default_study(options.device, context) : find_study(options.study_path, context);
    Study study = load_study(study_file, context.share_dir);
    if (options.seed) study.seed = *options.seed;
    const KernelTemplate kernel_template =
        load_template(options.edited_template.value_or(study.template_folder)).restricted(study.space);

    const DeviceChoice choice = choose_devices(options.device, kernel_template.device());
    const auto tell_loss = [&observer](const std::string& reason) { observer.on_message("device lost: " + reason); };
    DeviceGroup devices = start_devices(choice, study, context, tell_loss);
    const TargetFacts target = devices.front()->target();
    if (const std::string reason = kernel_template.unsupported_reason(target); !reason.empty()) {
        throw InputError(fmt::format("{}: {}; choose another study, or another device", study_file.string(), reason));
    }
    const Space whole_space = kernel_template.space(target);
    const Space space =
        options.shard_count > 1 ? shard(whole_space, options.shard_index, options.shard_count) : whole_space;
    const std::string strategy_name = resolve_strategy(options, study);
    const std::unique_ptr<Strategy> strategy = make_strategy(strategy_name, {study, kernel_template, target, space});
    EarlierStudies earlier = read_earlier(options, study, space);

    Store store(options.database);
    store.open_study(study, kernel_template);
    if (options.warm_from_own) earlier.add(options.database, study.name);
    for (const Trial& trial : earlier.trials())
        strategy->tell(trial);
    if (!earlier.trials().empty()) {
        context.err << fmt::format("warm start: {} results of earlier studies of {}\n", earlier.trials().size(),
                                   study.template_name);
    }
    ArtifactCache(context.cache_dir).trim(kCacheLimitBytes);

    LoopSetup setup{.study = study, .kernel_template = kernel_template, .space = space};
    setup.compile_workers = compile_workers(devices.size());
    for (auto& device : devices)
        setup.devices.push_back(std::move(device));
    setup.make_compiler = [&] { return start_compiler(choice.kind, context, study.measure); };
    setup.load_edition = [](std::vector<SourceFile> files) { return make_template(std::move(files), "the record"); };
    setup.boot_id = read_boot_id();
    setup.try_arguments = try_arguments(options, study_file);
    setup.strategy_name = strategy_name;
    setup.remeasure = options.remeasure;
    setup.baseline_of_each_edition = options.baseline_of_each_edition;
    const StopSignals signals;
    const LoopEnd end = run_loop(std::move(setup), store, *strategy, options.limits, signals.flag(), observer);
    store.sync_tsv();
    // The workers are gone, and what the killed ones were writing need not wait for the next run.
    ArtifactCache::sweep(context.cache_dir);
    return end;
}

std::string strategy_type_name() {
    std::vector<std::string_view> names;
    for (const StrategyName& strategy : strategy_names())
        names.push_back(strategy.name);
    return fmt::format("{{{}}}", fmt::join(names, ","));
}

}  // namespace attune
