// `attune compile`: variants compiled with no device present, and what the compiler says they need.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <optional>
#include <thread>

#include "cli/backends.h"
#include "cli/sweep.h"
#include "cli/usage.h"
#include "config/study.h"
#include "config/template.h"
#include "core/error.h"
#include "loop/compile_pool.h"
#include "loop/experiments.h"

namespace attune {
namespace {

constexpr int kSomeFailed = 1;
constexpr const char* kUsualArch = "sm_90a";

struct CompileOptions {
    std::string study;
    std::optional<std::string> arch;
    std::int64_t sample = 0;
    int jobs = 0;
};

std::vector<Candidate> choose(const Space& space, std::int64_t sample, std::uint64_t seed) {
    const auto strategy = make_strategy(sample > 0 ? "random" : "exhaustive", space, seed);
    std::vector<Candidate> chosen;
    // The defaults are what people start from, so they are always in a sample.
    if (sample > 0 && space.legal(space.defaults())) chosen.push_back(space.defaults());
    while (sample == 0 || chosen.size() < static_cast<std::size_t>(sample)) {
        const auto proposal = ask_patiently(*strategy);
        if (!proposal) break;
        if (chosen.empty() || proposal->candidate != chosen.front()) chosen.push_back(proposal->candidate);
    }
    return chosen;
}

std::string number(int value) {
    return value < 0 ? "-" : fmt::format("{}", value);
}

void print_row(std::ostream& out, const std::string& params, const Result<Artifact>& result) {
    if (!result.ok()) {
        out << fmt::format("{}\t{}\t-\t-\t-\t-\t-\t{}\n", params, to_string(result.failure().outcome), [&] {
            const std::string& text = result.failure().diagnostics;
            return text.substr(0, text.find('\n'));
        }());
        return;
    }
    const Artifact& artifact = result.value();
    for (const KernelResources& kernel : artifact.kernels) {
        out << fmt::format("{}\tok\t{}\t{}\t{}\t{}\t{}\t{}\n", params, kernel.entry, number(kernel.registers),
                           number(kernel.shared_bytes), number(kernel.spill_store_bytes),
                           number(kernel.spill_load_bytes), artifact.performance_warning ? "performance warning" : "");
    }
}

void run(const CompileOptions& options, const CliContext& context) {
    const Study study = load_study(find_study(options.study, context), context.share_dir);
    const KernelTemplate kernel_template = load_template(study.template_folder).restricted(study.space);
    const bool on_cpu = kernel_template.device() == DeviceKind::cpu;
    if (on_cpu && options.arch) {
        throw InputError(fmt::format("--arch {}: the study's template runs on the CPU it is compiled on; leave it out",
                                     *options.arch));
    }
    const std::string arch = options.arch.value_or(kUsualArch);
    const TargetFacts target = on_cpu ? kernel_template.usual_target() : target_facts(arch);
    if (const std::string reason = kernel_template.unsupported_reason(target); !reason.empty())
        throw InputError(fmt::format("--arch {}: {}; name another architecture, or another study", arch, reason));
    const Space space = kernel_template.space(target);
    const Experiments experiments(study, kernel_template, space, options.study);
    const std::vector<Candidate> candidates = choose(space, options.sample, study.seed);

    EventQueue events;
    const int jobs = options.jobs > 0 ? options.jobs : static_cast<int>(std::thread::hardware_concurrency());
    CompilePool pool(
        jobs, [&] { return start_compiler(kernel_template.device(), context, study.measure); }, events);
    for (std::size_t i = 0; i < candidates.size(); ++i)
        pool.submit(i, experiments.job(candidates[i], target));

    context.out << "params\toutcome\tentry\tregisters\tshared_bytes\tspill_store_bytes\tspill_load_bytes\tnote\n";
    std::size_t failed = 0;
    for (std::size_t done = 0; done < candidates.size(); ++done) {
        const Event event = *events.pop();
        if (const auto* broken = std::get_if<EnvironmentBroken>(&event)) throw EnvironmentError(broken->reason);
        const auto& compiled = std::get<Compiled>(event);
        if (!compiled.result.ok()) ++failed;
        print_row(context.out, space.describe(candidates[compiled.ticket]), compiled.result);
    }
    context.err << fmt::format("for {}: {} compiled, {} failed\n", target.arch_name, candidates.size() - failed,
                               failed);
    if (failed > 0) throw CommandExit{kSomeFailed};
}

}  // namespace

void add_compile(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<CompileOptions>();
    CLI::App* command =
        app.add_subcommand("compile", "compile variants with no GPU present; registers, shared memory, spills");
    command->add_option("study", options->study, "study file, or the name of one in configs/studies")->required();
    command->add_option("--arch", options->arch, fmt::format("sm_80, sm_90a, … (default: {})", kUsualArch));
    command->add_option("--sample", options->sample, "the defaults and N-1 random legal variants instead of all")
        ->check(at_least<std::int64_t>(1));
    command->add_option("--jobs", options->jobs, "compilers at a time (default: one a core)")->check(at_least(1));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
