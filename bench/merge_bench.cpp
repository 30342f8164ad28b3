// What merging costs: iterations a second, and memory, which must not grow with their number.
//
//   merge_bench [FOLDER [ROWS [SHARDS [lean|FILE.db]]]]     some 2 KB an iteration, twice; a tmpfs leaves the disk out
//
// `lean`: iterations that did not compile, less than half the size, where the question is how memory grows with rows.
// FILE.db: what a real sweep has recorded, repeated.
#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <iostream>

#include "bench/night.h"
#include "store/merge.h"

namespace attune {
namespace {

using Clock = std::chrono::steady_clock;

/// Iterations written one by one; the rest repeats them.
constexpr int kWritten = 1000;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Usage {
    double peak_mb;      ///< resident, since the process began
    double processor_s;  ///< which a busy machine distorts less than the clock's
};

Usage usage() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return {static_cast<double>(used.ru_maxrss) / 1e3, seconds(used.ru_utime) + seconds(used.ru_stime)};
}

void time_merge(const std::vector<std::filesystem::path>& inputs, const std::filesystem::path& into,
                std::int64_t rows) {
    const Usage before = usage();
    const auto start = Clock::now();
    (void)merge_databases(inputs, into);
    const double took_s = seconds_since(start);
    const Usage after = usage();
    const double processor_s = after.processor_s - before.processor_s;
    std::cout << fmt::format(
        "{} iterations from {} databases: {:.1f} s, {:.0f} a second ({:.0f} a processor second), peak "
        "{:.0f} MB, before {:.0f} MB, file {:.0f} MB\n",
        rows, inputs.size(), took_s, static_cast<double>(rows) / took_s, static_cast<double>(rows) / processor_s,
        after.peak_mb, before.peak_mb, static_cast<double>(std::filesystem::file_size(into)) / 1e6);
}

/// One shard's database, with at least `rows` iterations like those of `kind`.
void make_input(const std::filesystem::path& path, std::int64_t rows, const std::string& kind) {
    if (kind.empty() || kind == "lean") {
        (void)fill(path, kWritten, kind.empty() ? night_record : lean_record);
    } else {
        std::filesystem::copy_file(kind, path);
        open_for_writing(path).exec("UPDATE shard SET uid = lower(hex(randomblob(8)))");
    }
    multiply(path, rows);
}

std::int64_t count_iterations(const std::filesystem::path& path) {
    return open_for_reading(path).execAndGet("SELECT count(*) FROM iteration").getInt64();
}

int run(const std::filesystem::path& folder, std::int64_t rows, std::int64_t shards, const std::string& kind) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    std::vector<std::filesystem::path> inputs;
    for (std::int64_t shard = 0; shard < shards; ++shard) {
        inputs.push_back(folder / fmt::format("{}.db", shard));
        make_input(inputs.back(), rows / shards, kind);
    }
    rows = 0;
    for (const auto& input : inputs)
        rows += count_iterations(input);
    const std::filesystem::path into = folder / "merged.db";
    const int runs = rows > 1'000'000 ? 1 : 3;
    for (int run = 0; run < runs; ++run) {
        std::filesystem::remove(into);
        time_merge(inputs, into, rows);
    }
    std::cout << "again, with nothing to add: ";
    time_merge(inputs, into, rows);
    std::filesystem::remove_all(folder);
    return 0;
}

}  // namespace
}  // namespace attune

int main(int argc, char** argv) {
    const std::filesystem::path folder = argc > 1 ? argv[1] : std::filesystem::temp_directory_path() / "merge_bench";
    return attune::run(folder, argc > 2 ? std::stoll(argv[2]) : 100'000, argc > 3 ? std::stoll(argv[3]) : 4,
                       argc > 4 ? argv[4] : "");
}
