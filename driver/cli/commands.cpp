#include "cli/cli.h"

namespace attune {

void add_commands(CLI::App& app, const CliContext& context) {
    add_tune(app, context);
    add_try(app, context);
    add_query(app, context);
    add_show(app, context);
    add_diff(app, context);
    add_best(app, context);
    add_cases(app, context);
    add_replay(app, context);
    add_restore(app, context);
    add_export(app, context);
    add_report(app, context);
    add_compile(app, context);
    add_doctor(app, context);
    add_merge(app, context);
    add_completion(app, context);
    add_worker(app, context);
}

}  // namespace attune
