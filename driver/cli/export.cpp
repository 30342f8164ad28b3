// `attune export`: the best kernel as a directory that works by itself, run and checked as exported.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <future>
#include <set>
#include <string>

#include "backend/artifact_cache.h"
#include "backend/cuda/cuda_backend.h"
#include "cli/backends.h"
#include "cli/cli.h"
#include "cli/signals.h"
#include "cli/usage.h"
#include "config/template.h"
#include "core/error.h"
#include "export/destination.h"
#include "export/interchange.h"
#include "export/package.h"
#include "store/reader.h"
#include "version.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

constexpr int kFailedChecks = 1;
constexpr std::uint32_t kDrawsChecked = 8;  // a keep has been right on these, with the default `keep_draws`

struct ExportOptions {
    fs::path db;
    fs::path folder;
    std::string study;
    std::string format = "package";
    std::string device = "auto";
    std::string measured_on;
    bool per_family = false;
    bool robust = false;
    bool force = false;
};

/// The one device model the entries are of: times of two models do not compare.
std::string device_model(const std::vector<BestEntry>& entries, const ExportOptions& options) {
    if (!options.measured_on.empty()) return options.measured_on;
    for (const BestEntry& entry : entries) {
        if (entry.device_name != entries.front().device_name) {
            throw InputError(fmt::format("study {} was measured on '{}' and on '{}'; choose one with --measured-on",
                                         options.study, entries.front().device_name, entry.device_name));
        }
    }
    return entries.empty() ? std::string() : entries.front().device_name;
}

/// The winner of `request` among entries of one device model.
BestEntry choose(const Reader& reader, const BestRequest& request, const ExportOptions& options) {
    const std::vector<BestEntry> entries = reader.best(request);
    const BestEntry* best = winner_of(entries, device_model(entries, options), request);
    if (best == nullptr) {
        throw InputError(fmt::format("study {} has no {} kernel to export{}; `attune query` shows what there is",
                                     options.study, request.robust ? "robust" : "kept",
                                     options.measured_on.empty() ? "" : ", measured on '" + options.measured_on + "'"));
    }
    return *best;
}

PackageVariant read_variant(const Reader& reader, const IterationKey& key, std::string name,
                            std::vector<Family> families) {
    IterationDetail detail = reader.iteration(key);
    std::vector<SourceFile> files = detail.sources;
    std::erase_if(files, [](const SourceFile& file) { return file.name == kArgsHeader || file.name == kTuneHeader; });
    KernelTemplate kernel_template =
        make_template(std::move(files), fmt::format("iteration {}", reader.short_name(key)));
    return make_variant(std::move(name), std::move(families), std::move(detail), std::move(kernel_template));
}

/// The winner, first; with --per-family also each family's own where that is another kernel.
std::vector<PackageVariant> choose_variants(const Reader& reader, const ExportOptions& options) {
    const auto same = [](const IterationKey& a, const IterationKey& b) {
        return a.shard == b.shard && a.iter == b.iter;
    };
    const BestEntry winner = choose(reader, {options.study, options.robust, std::nullopt}, options);
    std::vector<PackageVariant> variants;
    variants.push_back(read_variant(reader, winner.key, "general", {}));
    if (!options.per_family) return variants;
    for (const Family family : kFamilies) {
        const BestEntry best = choose(reader, {options.study, options.robust, family}, options);
        const auto known = std::ranges::find_if(
            variants, [&](const PackageVariant& variant) { return same(variant.detail.key, best.key); });
        if (known != variants.end()) {
            known->families.push_back(family);
        } else {
            variants.push_back(read_variant(reader, best.key, std::string(to_string(family)), {family}));
        }
    }
    return variants;
}

/// All variants at once, each by a compiler of its own: a variant takes seconds where the cache does not have it.
void compile(Package& package, const CliContext& context) {
    std::vector<std::future<Result<Artifact>>> compiling;
    for (const PackageVariant& variant : package.variants) {
        compiling.push_back(std::async(std::launch::async, [&package, &context, &variant] {
            const auto compiler = start_compiler(package.device(), context, MeasureSettings{});
            return compiler->compile({variant.bundle, variant.kernel_template.main_source(),
                                      variant.kernel_template.entries(), package.device(), variant.arch_name});
        }));
    }
    for (std::size_t i = 0; i < compiling.size(); ++i) {
        PackageVariant& variant = package.variants[i];
        const Result<Artifact> result = compiling[i].get();
        if (!result.ok()) {
            const std::string& log = result.failure().diagnostics;
            throw EnvironmentError(fmt::format(
                "iteration {} was compiled by {} when it was measured, but does not compile here; "
                "export it where that compiler is: {}",
                variant.detail.key.iter, variant.detail.record.artifact->compiler, log.substr(0, log.find('\n'))));
        }
        variant.artifact = result.value();
        if (variant.artifact.compiler != variant.detail.record.artifact->compiler) {
            context.err << fmt::format(
                "note: iteration {} was measured as compiled by {}, and is exported as compiled by {}\n",
                variant.detail.key.iter, variant.detail.record.artifact->compiler, variant.artifact.compiler);
        }
    }
}

/// Why the exported files cannot be run here; empty when they can.
std::string why_unchecked(const Package& package, const ExportOptions& options) {
    if (options.device == "none") return "--device none";
    if (options.device == "auto" && package.device() == DeviceKind::cuda && cuda_device_count() == 0) {
        return "no CUDA GPU here";
    }
    return {};
}

PackageChecks run_checks(const Package& package, const ExportOptions& options, const fs::path& folder,
                         const CliContext& context) {
    PackageChecks checks;
    checks.unchecked_because = why_unchecked(package, options);
    if (!checks.unchecked_because.empty()) return checks;
    const DeviceChoice choice = choose_devices(options.device, package.device());
    const auto device =
        start_device(choice.kind, choice.ordinals.front(), context, MeasureSettings{.run_timeout_s = 60.0});
    const TargetFacts target = device->target();
    const std::string& built_for = package.variants.front().arch_name;
    if (target.arch_name != built_for) {
        checks.unchecked_because =
            fmt::format("the kernels are for {} and this GPU is {}", built_for, target.arch_name);
        return checks;
    }
    checks.device_name = device->environment().device_name;
    device->open_suite(package.study.suite);
    const std::vector<CaseSpec>& cases = package.study.suite.cases;
    for (std::size_t index = 0; index < package.variants.size(); ++index) {
        const PackageVariant& exported = package.variants[index];
        Variant variant{exported.artifact, {}};
        variant.artifact.path = folder / binary_path(package, exported);
        for (const CaseSpec& spec : cases) {
            variant.plans.push_back(exported.kernel_template.plan(
                exported.candidate, {spec.batch_size, spec.num_heads, spec.t_max, max_nnz_bound(spec)}, target));
        }
        const auto broken = [&](const Failure& failure) {
            return PackageCheck{index, cases.front().case_id, 0, {.passed = false, .detail = failure.diagnostics}};
        };
        if (const auto loaded = device->load(Slot::challenger, variant); !loaded.ok()) {
            checks.checks.push_back(broken(loaded.failure()));
            continue;
        }
        for (std::size_t i = 0; i < cases.size(); ++i) {
            for (std::uint32_t draw = 0; draw < kDrawsChecked; ++draw) {
                const auto report = device->check(Slot::challenger, i, {draw, Stress::none});
                PackageCheck check =
                    report.ok() ? PackageCheck{index, "", draw, report.value()} : broken(report.failure());
                check.case_id = cases[i].case_id;
                checks.checks.push_back(std::move(check));
            }
        }
    }
    return checks;
}

/// Says what was wrong, and how the record learns of it: an export only reads it.
void report_failures(const Package& package, const PackageChecks& checks, const std::string& db,
                     const CliContext& context) {
    std::set<std::string> commands;
    for (const PackageCheck& check : checks.checks) {
        if (check.report.passed) continue;
        const PackageVariant& variant = package.variants[check.variant];
        context.err << fmt::format("{}: case {}, draw {}: {}\n", variant.name, check.case_id, check.draw,
                                   check.report.detail);
        commands.insert(variant.detail.record.reproduce + db);
    }
    if (commands.empty()) return;
    context.err << fmt::format(
        "the exported kernels gave wrong results; nothing was written. What is measured again and found incorrect "
        "is the best no longer:\n  {}\n",
        fmt::join(commands, "\n  "));
    throw CommandExit{kFailedChecks};
}

void export_package(const Reader& reader, const ExportOptions& options, const CliContext& context) {
    const fs::path place = package_place(options.folder, options.force);
    Package package{reader.study(options.study), kVersion, choose_variants(reader, options)};
    compile(package, context);

    // Written and checked in the cache, where what a killed export leaves behind is swept.
    const TemporaryDirectory scratch = ArtifactCache(context.cache_dir).scratch();
    const fs::path built = scratch.path() / "package";
    write_package(package, built);
    const PackageChecks checks = run_checks(package, options, built, context);
    report_failures(package, checks, db_option(options.db, context), context);
    write_manifest(package, checks, built);
    {
        const StopSignals held;  // a stop comes too late for this moment, and may not leave a folder behind
        publish_package(built, place, options.force);
    }

    for (const PackageVariant& variant : package.variants) {
        context.out << fmt::format("{}\t{}\t{:.6f}\t{}\n", (options.folder / binary_path(package, variant)).string(),
                                   reader.short_name(variant.detail.key),
                                   variant.detail.record.geomean_ms.value_or(0.0), variant.detail.record.params);
    }
    if (!checks.unchecked_because.empty()) {
        context.err << fmt::format("the exported kernels were not run: {}; manifest.json says \"checked\": false\n",
                                   checks.unchecked_because);
    }
}

void export_interchange(const Reader& reader, const ExportOptions& options, const CliContext& context) {
    const bool kernel_tuner = options.format == "kernel-tuner";
    const std::string text = kernel_tuner ? kernel_tuner_text(reader, options.study, options.measured_on)
                                          : t4_text(reader, options.study, options.measured_on);
    const fs::path path = options.folder / fmt::format("{}.{}.json", options.study, options.format);
    if (!options.force && fs::exists(path)) {
        throw InputError(fmt::format("{} exists; name another --to, or replace it with --force", path.string()));
    }
    {
        const StopSignals held;
        publish_file(text, path);
    }
    context.out << path.string() << '\n';
}

void run(ExportOptions options, const CliContext& context) {
    const Reader reader(options.db);
    options.study = reader.study(options.study).name;
    if (options.format == "package") {
        export_package(reader, options, context);
    } else {
        export_interchange(reader, options, context);
    }
}

}  // namespace

void add_export(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<ExportOptions>();
    options->db = context.default_db;
    CLI::App* command = app.add_subcommand("export", "the best kernel as a directory that works by itself");
    command->add_option("--to", options->folder, "folder to make")->required();
    command->add_option("--study", options->study, "which study, when the database holds several");
    command->add_flag("--per-family", options->per_family, "also the best kernel of each family");
    command->add_flag("--robust", options->robust, "only kernels that pass the stress draws");
    command->add_option("--format", options->format, "package, kernel-tuner (cache file) or t4 (T4 1.0.0 JSON)")
        ->check(CLI::IsMember({"package", "kernel-tuner", "t4"}))
        ->capture_default_str();
    command->add_option("--device", options->device, "where the package is checked; cuda:N for one of several GPUs")
        ->type_name("{auto,cuda,cpu,none,…}")
        ->capture_default_str();
    command->add_option("--measured-on", options->measured_on, "device model, when the study was measured on several");
    command->add_flag("--force", options->force, "replace an earlier export");
    command->add_option("--db", options->db, "the database")->capture_default_str();
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
