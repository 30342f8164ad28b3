// `attune best`: the winner of every study on every device, or one winner per family.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/cli.h"
#include "cli/row_printer.h"
#include "cli/usage.h"
#include "store/reader.h"
#include "store/tsv.h"

namespace attune {
namespace {

struct BestOptions {
    std::filesystem::path db;
    std::string study;
    bool per_family = false;
    bool robust = false;
    bool as_json = false;
};

struct Winner {
    std::string family;  ///< empty: by the score over all families
    std::string name;    ///< as `restore` and `show` take it
    BestEntry entry;
};

std::vector<Winner> winners_of(const Reader& reader, const BestOptions& options) {
    std::vector<Winner> winners;
    const auto add = [&](std::optional<Family> family) {
        for (BestEntry& entry : reader.best({options.study, options.robust, family})) {
            std::string name = reader.short_name(entry.key);
            winners.push_back({family ? std::string(to_string(*family)) : "", std::move(name), std::move(entry)});
        }
    };
    if (!options.per_family) {
        add(std::nullopt);
    } else {
        for (const Family family : kFamilies)
            add(family);
    }
    return winners;
}

std::string yes_no(const std::optional<bool>& value) {
    if (!value) return "-";
    return *value ? "yes" : "no";
}

std::string restore_command(const Winner& winner, const BestOptions& options, const CliContext& context) {
    return fmt::format("attune restore {} --to DIR{}", winner.name, db_option(options.db, context));
}

void print_json(const std::vector<Winner>& winners, const BestOptions& options, const CliContext& context) {
    const auto number = [](const std::optional<double>& value) {
        return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
    };
    auto list = nlohmann::ordered_json::array();
    for (const Winner& winner : winners) {
        const IterationRow& row = winner.entry.row;
        nlohmann::ordered_json object{{"study", winner.entry.key.study}, {"iter", row.iter}, {"shard", row.shard}};
        if (!winner.family.empty()) object["family"] = winner.family;
        object.update({{"geomean_ms", number(row.geomean_ms)},
                       {"window_ms", number(row.family_ms[0])},
                       {"global_ms", number(row.family_ms[1])},
                       {"retrieval_ms", number(row.family_ms[2])},
                       {"robust", row.robust ? nlohmann::ordered_json(*row.robust) : nlohmann::ordered_json()},
                       {"device", winner.entry.device_name},
                       {"device_uuid", row.device_uuid},
                       {"status", to_string(row.status)},
                       {"params", row.params},
                       {"description", row.description},
                       {"restore", restore_command(winner, options, context)}});
        list.push_back(std::move(object));
    }
    context.out << list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

void print_text(const std::vector<Winner>& winners, const BestOptions& options, const CliContext& context) {
    const char* bold = context.color ? "\x1b[1m" : "";
    const char* plain = context.color ? "\x1b[0m" : "";
    for (const Winner& winner : winners) {
        const IterationRow& row = winner.entry.row;
        const std::string what = winner.family.empty() ? "" : fmt::format(", fastest on {}", winner.family);
        context.out << fmt::format("{}{} iteration {}{}: {} ms{} on {} ({})\n", bold, winner.entry.key.study, row.iter,
                                   what, format_ms(row.geomean_ms), plain, winner.entry.device_name, row.device_uuid)
                    << fmt::format("  window {}  global {}  retrieval {} ms  robust {}\n", format_ms(row.family_ms[0]),
                                   format_ms(row.family_ms[1]), format_ms(row.family_ms[2]), yes_no(row.robust))
                    << fmt::format("  {}\n  {}\n  {}\n", row.params.empty() ? "-" : row.params, row.description,
                                   restore_command(winner, options, context));
    }
}

void print_rows(const std::vector<Winner>& winners, const BestOptions& options, const CliContext& context) {
    const auto printer = make_row_printer(RowFormat::tsv, context.out, context.width_columns);
    printer->columns({"study", "iter", "shard", "family", "geomean_ms", "window_ms", "global_ms", "retrieval_ms",
                      "robust", "device", "device_uuid", "params", "description", "restore"});
    const auto number = [](const std::optional<double>& value) { return value ? Cell(*value) : Cell(); };
    for (const Winner& winner : winners) {
        const IterationRow& row = winner.entry.row;
        const std::string robust = yes_no(row.robust);
        const std::string restore = restore_command(winner, options, context);
        const std::vector<Cell> cells{winner.entry.key.study,
                                      row.iter,
                                      row.shard,
                                      winner.family,
                                      number(row.geomean_ms),
                                      number(row.family_ms[0]),
                                      number(row.family_ms[1]),
                                      number(row.family_ms[2]),
                                      robust,
                                      winner.entry.device_name,
                                      row.device_uuid,
                                      row.params,
                                      row.description,
                                      restore};
        if (!printer->row(cells)) break;
    }
    printer->finish();
}

/// Says what a reader could miss: that nothing qualified, or that several devices stand side by side.
void remark(const std::vector<Winner>& winners, const BestOptions& options, const CliContext& context) {
    if (winners.empty()) {
        context.err << fmt::format(
            "attune: {} holds no {} iteration{}; `attune query{}` shows what there is\n", options.db.string(),
            options.robust ? "robust" : (options.per_family ? "correct" : "kept"),
            options.study.empty() ? "" : fmt::format(" of study '{}'", options.study), db_option(options.db, context));
        throw CommandExit{1};
    }
    for (std::size_t i = 1; i < winners.size(); ++i) {
        const Winner& one = winners[i - 1];
        const Winner& next = winners[i];
        if (one.family != next.family || one.entry.key.study != next.entry.key.study) continue;
        context.err << fmt::format(
            "attune: study '{}' was measured on several devices; each has its own winner, their times "
            "do not compare\n",
            one.entry.key.study);
        return;
    }
}

void run(const BestOptions& options, const CliContext& context) {
    const Reader reader(options.db);
    const std::vector<Winner> winners = winners_of(reader, options);
    if (options.as_json) {
        print_json(winners, options, context);
    } else if (context.out_is_terminal) {
        print_text(winners, options, context);
    } else if (!winners.empty()) {
        print_rows(winners, options, context);
    }
    remark(winners, options, context);
}

}  // namespace

void add_best(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<BestOptions>();
    options->db = context.default_db;
    CLI::App* command = app.add_subcommand("best", "the winner of each study on each device, or one per family");
    command->add_flag("--per-family", options->per_family, "the fastest correct iteration of each family");
    command->add_flag("--robust", options->robust, "only iterations that pass the stress draws");
    command->add_option("--study", options->study, "only this study");
    command->add_flag("--json", options->as_json, "as JSON");
    command->add_option("--db", options->db, "database")->capture_default_str();
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
