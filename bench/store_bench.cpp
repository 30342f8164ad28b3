// What the record costs: finish() without the disk, questions at 100,000 and 1,000,000 iterations, bytes.
//
//   store_bench [FOLDER [ROWS]]     FOLDER: where to put some 4 KB an iteration; a tmpfs leaves the disk out
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <sstream>

#include "bench/night.h"
#include "cli/cli.h"

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
