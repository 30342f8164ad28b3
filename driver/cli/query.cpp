// `attune query`: rows of the record, chosen by options or by SQL.

#include "store/query.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <utility>

#include "cli/cli.h"
#include "cli/row_printer.h"
#include "cli/usage.h"
#include "core/error.h"
#include "core/outcome.h"
#include "core/suggest.h"
#include "store/reader.h"

namespace attune {
namespace {

struct QueryOptions {
    std::filesystem::path db;
    std::string study;
    std::string status;
    std::string where;
    std::string sort;
    std::string columns;
    std::int64_t limit = 100;
    std::string format;
    std::optional<std::string> sql;
    double time_limit_s = kDefaultQueryLimit_s;
};

/// Joins several results into one and lets `limit` rows through (0: all of them).
class Joined : public RowSink {
  public:
    Joined(RowSink& next, std::int64_t limit) : next_(next), limit_(limit) {}
    void columns(const std::vector<std::string>& names) override {
        if (!std::exchange(named_, true)) next_.columns(names);
    }
    bool row(std::span<const Cell> cells) override {
        full_ = limit_ > 0 && count_ == limit_;
        if (full_) return false;
        ++count_;
        return next_.row(cells);
    }
    [[nodiscard]] bool full() const { return full_; }  ///< and there was another row

  private:
    RowSink& next_;
    std::int64_t limit_;
    std::int64_t count_ = 0;
    bool named_ = false;
    bool full_ = false;
};

void require_column(const std::string& name, const std::vector<std::string>& known, const char* option) {
    if (std::find(known.begin(), known.end(), name) != known.end()) return;
    const std::vector<std::string_view> names(known.begin(), known.end());
    throw InputError(fmt::format("{} {}: no such column{}", option, name, name_hint(name, names)));
}

std::vector<std::string> chosen_columns(const QueryOptions& options, const std::vector<std::string>& known,
                                        const std::vector<StudyInfo>& studies) {
    if (options.columns == "all") return known;
    std::vector<std::string> columns;
    if (options.columns.empty()) {
        const bool sharded =
            std::any_of(studies.begin(), studies.end(), [](const auto& s) { return s.shards.size() > 1; });
        if (studies.size() > 1) columns.emplace_back("study");
        if (sharded) columns.emplace_back("shard");
        for (const char* name : {"iter", "status", "outcome", "geomean_ms", "delta_ms", "params", "description"}) {
            columns.emplace_back(name);
        }
        return columns;
    }
    for (const std::string& text : CLI::detail::split(options.columns, ',')) {
        const std::string name = CLI::detail::trim_copy(text);
        require_column(name, known, "--columns");
        columns.push_back(name);
    }
    return columns;
}

/// `--sort geomean_ms` puts the best first, `--sort geomean_ms:desc` the worst; missing values come last.
std::string order_by(const QueryOptions& options, const std::vector<std::string>& known) {
    constexpr std::string_view kDescending = ":desc";
    const bool descending = options.sort.ends_with(kDescending);
    const std::string column = options.sort.substr(0, options.sort.size() - (descending ? kDescending.size() : 0));
    if (column.find(':') != std::string::npos) {
        throw InputError(
            fmt::format("--sort {}: write COLUMN for the lowest first or COLUMN:desc for the highest", options.sort));
    }
    require_column(column, known, "--sort");
    return fmt::format("{} {} NULLS LAST", column, descending ? "DESC" : "ASC");
}

std::string conditions_of(const QueryOptions& options) {
    std::string conditions;
    if (!options.status.empty()) {
        if (!parse_status(options.status)) {
            throw InputError(fmt::format("--status {} is unknown; write keep, discard or crash", options.status));
        }
        conditions += fmt::format(" AND status = '{}'", options.status);
    }
    if (!options.where.empty()) conditions += fmt::format(" AND ({})", options.where);
    return conditions;
}

/// A SELECT and what its ?1, ?2 stand for.
struct Query {
    std::string sql;
    std::vector<std::string> texts;
};

/// In the order of iterations there is one query a shard, in any other order one for all: either walks an index.
std::vector<Query> build_queries(const QueryOptions& options) {
    const Reader reader(options.db);
    const std::vector<StudyInfo> studies =
        options.study.empty() ? reader.studies() : std::vector{reader.study(options.study)};
    const std::vector<std::string> known = iteration_columns(options.db);
    const std::string select =
        fmt::format("SELECT {} FROM iterations WHERE ", fmt::join(chosen_columns(options, known, studies), ", "));
    const std::string conditions = conditions_of(options);
    const std::string limit = options.limit > 0 ? fmt::format(" LIMIT {}", options.limit + 1) : "";
    if (!options.sort.empty()) {
        const std::string order = order_by(options, known);
        if (studies.size() != 1) return {{fmt::format("{}true{} ORDER BY {}{}", select, conditions, order, limit), {}}};
        return {
            {fmt::format("{}study = ?1{} ORDER BY {}{}", select, conditions, order, limit), {studies.front().name}}};
    }
    std::vector<Query> queries;
    for (const StudyInfo& study : studies) {
        for (const ShardInfo& shard : study.shards) {
            queries.push_back({fmt::format("{}study = ?1 AND shard = ?2{} ORDER BY iter{}", select, conditions, limit),
                               {study.name, shard.uid}});
        }
    }
    if (queries.empty()) queries.push_back({select + "false", {}});
    return queries;
}

void run(const QueryOptions& options, const CliContext& context) {
    const RowFormat format = parse_row_format(options.format, context);
    const std::vector<Query> queries = options.sql ? std::vector{Query{*options.sql, {}}} : build_queries(options);
    const auto printer = make_row_printer(format, context.out, context.width_columns);
    Joined joined(*printer, options.sql ? 0 : options.limit);
    for (const Query& query : queries) {
        run_query(options.db, query.sql, query.texts, joined, options.time_limit_s);
        if (joined.full()) break;
    }
    printer->finish();
    if (printer->count() == 0 && context.out_is_terminal) context.err << "attune: no rows\n";
    if (joined.full()) {
        context.err << fmt::format("attune: the first {} rows; --limit 0 gives all of them\n", options.limit);
    }
}

}  // namespace

void add_query(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<QueryOptions>();
    options->db = context.default_db;
    CLI::App* command = app.add_subcommand("query", "iterations by study, status or any condition; or SQL, read-only");
    command->add_option("--db", options->db, "database")->capture_default_str();
    CLI::Option* sql = command->add_option("--sql", options->sql, "a SELECT over the views of docs/database.md");
    command->add_option("--study", options->study, "only this study")->excludes(sql);
    command->add_option("--status", options->status, "only this verdict")
        ->type_name("{keep,discard,crash}")
        ->excludes(sql);
    command->add_option("--where", options->where, "SQL condition over the columns of iterations: registers < 168")
        ->excludes(sql);
    command->add_option("--sort", options->sort, "COLUMN, lowest first; COLUMN:desc for highest first")->excludes(sql);
    command->add_option("--columns", options->columns, "columns to show, joined by commas, or all")->excludes(sql);
    command->add_option("--limit", options->limit, "rows at most; 0 for all")
        ->check(at_least<std::int64_t>(0))
        ->excludes(sql)
        ->capture_default_str();
    command->add_option("--format", options->format, "a table on a terminal, else tsv")
        ->type_name("{table,tsv,csv,json}");
    command->add_option("--time-limit", options->time_limit_s, "seconds the database may work on the query")
        ->check(some_time())
        ->capture_default_str();
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
