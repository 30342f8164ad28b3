// `attune worker compile|device`: the far side of the process border. Started by the coordinator, not by people.

#include <CLI/CLI.hpp>

#include "cli/backends.h"
#include "worker/process.h"
#include "worker/serve.h"

namespace attune {
namespace {

struct WorkerOptions {
    DeviceKind kind = DeviceKind::cpu;
    int ordinal = 0;
};

void add_kind(CLI::App& command, WorkerOptions& options) {
    const std::map<std::string, DeviceKind> kinds{{"cuda", DeviceKind::cuda}, {"cpu", DeviceKind::cpu}};
    command.add_option("--kind", options.kind)->required()->transform(CLI::CheckedTransformer(kinds));
}

}  // namespace

void add_worker(CLI::App& app, const CliContext& context) {
    CLI::App* worker = app.add_subcommand("worker", "used by attune itself")->group("");
    worker->require_subcommand(1);
    auto options = std::make_shared<WorkerOptions>();

    CLI::App* compile = worker->add_subcommand("compile", "compiles variants for the coordinator");
    add_kind(*compile, *options);
    compile->callback([options, &context] {
        die_with_children();
        serve_compiler(Channel(kWorkerChannel), [&] { return make_compiler(options->kind, context); });
    });

    CLI::App* device = worker->add_subcommand("device", "checks and times variants for the coordinator");
    add_kind(*device, *options);
    device->add_option("--ordinal", options->ordinal);
    device->callback([options, &context] {
        serve_device(Channel(kWorkerChannel), [&] { return make_device(options->kind, options->ordinal, context); });
    });
}

}  // namespace attune
