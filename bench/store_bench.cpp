// What the record costs: finish() without the disk, questions at 100,000 and 1,000,000 iterations, merging, bytes.
//
//   store_bench [FOLDER [ROWS]]     FOLDER: where to put some 4 KB an iteration; a tmpfs leaves the disk out
#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <sstream>

#include "cli/cli.h"
#include "store/database.h"
#include "store/merge.h"
#include "store/sample_record.h"
#include "store/store.h"

namespace attune {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Spread {
    double least, median, most;
};

Spread spread_of(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return {values.front(), values[values.size() / 2], values.back()};
}

/// An iteration as a night leaves it: one in five fails, one in twenty is a contender with stress draws, keeps are
/// rare.
IterationRecord night_record(int n) {
    if (n % 5 == 4) return sample_crash(n, fmt::format("kernel.cu({}): error: no\n", n % 50));
    const bool kept = (n & (n - 1)) == 0;
    IterationRecord record =
        sample_record(n, kept ? Status::keep : Status::discard, 0.05 + 1e-6 * ((n * 7919) % 50'000));
    if (n % 20 == 0) {
        record.robust = true;
        for (const char* id : {"w", "g", "r"}) {
            for (const Stress stress : kStresses) {
                record.stresses.push_back({id, stress, {true, 1e-4, 0.25, 1e-6, 0.1, 0, 0, true, ""}});
            }
        }
    }
    return record;
}

/// Finishes `count` iterations; microseconds of each.
std::vector<double> fill(const std::filesystem::path& path, int count) {
    Store store(path);
    store.open_study(sample_study(), sample_template());
    std::vector<double> took_us;
    for (int n = 0; n < count; ++n) {
        const IterationRecord record = night_record(n);
        const std::vector<SourceFile> sources = sample_sources(n);
        const auto start = Clock::now();
        store.finish(record, sources);
        took_us.push_back(1e6 * seconds_since(start));
    }
    return took_us;
}

/// Repeats the iterations of `path` until there are `rows`: the numbers go on, the contents recur.
void multiply(const std::filesystem::path& path, std::int64_t rows) {
    SQLite::Database db = open_for_writing(path);
    db.exec("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA journal_mode = DELETE");
    const std::int64_t have = db.execAndGet("SELECT max(id) FROM iteration").getInt64();
    const auto copy = [&](const std::string& table, const std::string& key, std::int64_t offset,
                          const std::string& extra) {
        SQLite::Statement names(
            db, fmt::format("SELECT group_concat(name, ', ') FROM pragma_table_info('{}') WHERE name NOT IN "
                            "('{}', 'iter')",
                            table, key));
        names.executeStep();
        const std::string columns = names.getColumn(0).getString();
        db.exec(
            fmt::format("INSERT INTO {0} ({1}{2}, {3}) SELECT {1} + {4}{5}, {3} FROM {0} WHERE {1} <= {6} ORDER BY {1}",
                        table, key, extra.empty() ? "" : ", iter", columns, offset, extra, have));
    };
    for (std::int64_t offset = have; offset < rows; offset += have) {
        SQLite::Transaction transaction(db);
        copy("iteration", "id", offset, fmt::format(", iter + {}", offset));
        for (const char* table : {"iteration_detail", "kernel", "case_result", "stress_result"}) {
            copy(table, "iteration_id", offset, "");
        }
        transaction.commit();
    }
    db.exec("PRAGMA journal_mode = WAL");
}

/// Milliseconds of a command in this process, its database opened anew each time.
Spread time_command(const std::filesystem::path& path, const std::vector<std::string>& arguments) {
    std::vector<double> took_ms;
    for (int run = 0; run < 15; ++run) {
        std::ostringstream out, err;
        CliContext context{out, err};
        context.default_db = path;
        CLI::App app;
        add_best(app, context);
        add_query(app, context);
        add_show(app, context);
        std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
        const auto start = Clock::now();
        app.parse(reversed);
        took_ms.push_back(1e3 * seconds_since(start));
    }
    return spread_of(took_ms);
}

void time_questions(const std::filesystem::path& path, std::int64_t rows) {
    std::cout << fmt::format("{} iterations, {:.0f} MB          least   median     most  (ms, 15 runs)\n", rows,
                             static_cast<double>(std::filesystem::file_size(path)) / 1e6);
    const std::string middle = std::to_string(rows / 2);
    for (const std::vector<std::string>& arguments :
         std::vector<std::vector<std::string>>{{"best"},
                                               {"best", "--robust"},
                                               {"best", "--per-family"},
                                               {"query"},
                                               {"query", "--status", "keep"},
                                               {"query", "--status", "crash"},
                                               {"query", "--sort", "geomean_ms"},
                                               {"query", "--sort", "geomean_ms:desc"},
                                               {"query", "--sort", "geomean_ms", "--where", "registers < 110"},
                                               {"query", "--where", "registers < 0"},
                                               {"show", middle},
                                               {"show", middle, "--json"}}) {
        const Spread took = time_command(path, arguments);
        std::cout << fmt::format("{:<46} {:>8.2f} {:>8.2f} {:>8.2f}\n", fmt::format("{}", fmt::join(arguments, " ")),
                                 took.least, took.median, took.most);
    }
}

double peak_memory_mb() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1e3;
}

/// Seconds of processor time, which a busy machine distorts less than those of the clock.
double processor_s() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void time_merge(const std::filesystem::path& folder, const std::filesystem::path& input, std::int64_t rows) {
    std::vector<double> per_second, per_processor_second;
    const double before_mb = peak_memory_mb();
    for (int run = 0; run < 3; ++run) {
        const std::filesystem::path into = folder / "merged.db";
        std::filesystem::remove(into);
        const double processor_start_s = processor_s();
        const auto start = Clock::now();
        (void)merge_databases(std::vector{input}, into);
        per_second.push_back(static_cast<double>(rows) / seconds_since(start));
        per_processor_second.push_back(static_cast<double>(rows) / (processor_s() - processor_start_s));
        std::filesystem::remove(into);
    }
    const Spread rate = spread_of(per_second);
    std::cout << fmt::format(
        "\nmerge of {} iterations: {:.0f} to {:.0f} a second, median {:.0f} ({:.0f} a processor second); peak "
        "memory {:.0f} MB more\n",
        rows, rate.least, rate.most, rate.median, spread_of(per_processor_second).median, peak_memory_mb() - before_mb);
}

int run(const std::filesystem::path& folder, std::int64_t rows) {
    std::filesystem::create_directories(folder);
    const std::filesystem::path path = folder / "bench.db";
    std::filesystem::remove_all(folder / "flagship");
    std::filesystem::remove(path);
    constexpr int kFinished = 20'000;
    std::vector<double> took_us = fill(path, kFinished);
    const Spread took = spread_of(took_us);
    std::sort(took_us.begin(), took_us.end());
    std::cout << fmt::format("finish: least {:.0f}, median {:.0f}, 99 % below {:.0f} us; {:.0f} bytes an iteration\n",
                             took.least, took.median, took_us[took_us.size() * 99 / 100],
                             static_cast<double>(std::filesystem::file_size(path)) / kFinished);
    for (std::int64_t size = 100'000; size <= rows; size *= 10) {
        multiply(path, size);
        time_merge(folder, path, size);
        time_questions(path, size);
    }
    std::filesystem::remove(path);
    return 0;
}

}  // namespace
}  // namespace attune

int main(int argc, char** argv) {
    const std::filesystem::path folder = argc > 1 ? argv[1] : std::filesystem::temp_directory_path() / "store_bench";
    return attune::run(folder, argc > 2 ? std::stoll(argv[2]) : 1'000'000);
}
