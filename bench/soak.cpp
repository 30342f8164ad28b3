// A night in minutes: the real loop, strategy and store against a device that answers at once. What it prints is the
// cost of the coordinator alone, and whether memory, descriptors, processes or time per iteration grow.
//
// Usage: soak [--iterations N] [--strategy NAME] [--db FILE] [--check]

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "config/template.h"
#include "core/one_case_a_family.h"
#include "core/temp_folder.h"
#include "loop/coordinator.h"
#include "loop/fakes.h"

namespace attune {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kSettled = 1000;  ///< iterations after which nothing may grow
constexpr double kMostGrowth = 1.05;     ///< of resident memory since then
constexpr double kMostSlowdown = 1.5;    ///< of the second half of what follows against the first

struct Usage {
    double cpu_ms = 0.0;  ///< of the process since its start
    double resident_mb = 0.0;
    int descriptors = 0;
    int threads = 0;
    int children = 0;
};

int entries(const fs::path& folder) {
    return static_cast<int>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

Usage usage_now() {
    Usage usage;
    rusage times{};
    ::getrusage(RUSAGE_SELF, &times);
    const auto ms = [](const timeval& time) {
        return 1e3 * static_cast<double>(time.tv_sec) + 1e-3 * static_cast<double>(time.tv_usec);
    };
    usage.cpu_ms = ms(times.ru_utime) + ms(times.ru_stime);
    std::int64_t pages = 0, ignored = 0;
    std::ifstream("/proc/self/statm") >> ignored >> pages;
    usage.resident_mb = static_cast<double>(pages * ::sysconf(_SC_PAGESIZE)) / (1024.0 * 1024.0);
    usage.descriptors = entries("/proc/self/fd") - 1;  // one is the listing's own
    usage.threads = entries("/proc/self/task");
    std::ifstream children(fmt::format("/proc/self/task/{}/children", ::getpid()));
    for (int pid = 0; children >> pid;)
        ++usage.children;
    return usage;
}

double file_mb(const fs::path& path) {
    std::error_code missing;
    const auto bytes = fs::file_size(path, missing);
    return missing ? 0.0 : static_cast<double>(bytes) / (1024.0 * 1024.0);
}

/// A template with at least `candidates` candidates.
KernelTemplate endless_template(std::int64_t candidates) {
    std::string values = "0";
    for (int value = 1; value < 100; ++value)
        values += fmt::format(",{}", value);
    std::string slow = "0";
    for (std::int64_t value = 1; value * 100 < candidates; ++value)
        slow += fmt::format(",{}", value);
    return make_template(
        {{"kernel.cpp", std::string(20'000, '/') + "\n"},
         {"template.json", fmt::format(R"({{"name": "soak", "device": "cpu", "summary": "Knobs over nothing.",
           "source": "kernel.cpp", "parameters": [{{"name": "a", "values": [{}], "default": 0}},
           {{"name": "b", "values": [{}], "default": 0}}],
           "kernels": [{{"entry": "f", "grid": ["1", "1", "1"], "block": "1"}}]}})",
                                       slow, values)}},
        "soak");
}

Study soak_study() {
    Study study;
    study.name = "soak";
    study.template_name = "soak";
    study.suite = one_case_a_family("three", {.case_id = {}, .t_max = 256, .window_blocks = 1});
    study.measure.min_samples = 50;
    return study;
}

/// Prints a line now and then, and judges at the end.
class Table : public LoopObserver {
  public:
    Table(std::int64_t iterations, fs::path database)
        : every_(std::max<std::int64_t>(1, iterations / 20)), database_(std::move(database)) {
        std::cout << "iterations   ms/iteration   CPU ms/iteration   resident MB   descriptors   threads   children   "
                     "database MB   with log MB\n";
    }
    void on_iteration(std::int64_t iter, const IterationRecord&, const LoopProgress&) override {
        if (iter % every_ != 0 && iter != kSettled) return;
        const auto now = Clock::now();
        const Usage usage = usage_now();
        const auto done = static_cast<double>(iter - last_iter_);
        const double ms = std::chrono::duration<double, std::milli>(now - last_).count() / done;
        const double cpu_ms = (usage.cpu_ms - latest_.cpu_ms) / done;
        const double database_mb = file_mb(database_);
        std::cout
            << fmt::format(
                   "{:>10}   {:>12.3f}   {:>16.3f}   {:>11.1f}   {:>11}   {:>7}   {:>8}   {:>11.1f}   {:>11.1f}\n",
                   iter, ms, cpu_ms, usage.resident_mb, usage.descriptors, usage.threads, usage.children, database_mb,
                   database_mb + file_mb(database_.string() + "-wal"))
            << std::flush;
        if (iter == kSettled) settled_ = usage;
        if (iter > kSettled) cpu_ms_.push_back(cpu_ms);
        latest_ = usage;
        last_ = now;
        last_iter_ = iter;
    }
    void on_tick(const LoopProgress&) override {}
    void on_message(const std::string& message) override { std::cout << message << '\n'; }

    void print_summary() const {
        std::cout << fmt::format(
            "since iteration {}: resident {:+.1f} %, CPU time an iteration {:+.0f} %, descriptors {:+}, threads {:+}, "
            "children {:+}; {:.0f} bytes of database an iteration\n",
            kSettled, 100.0 * (growth() - 1.0), 100.0 * (slowdown() - 1.0), latest_.descriptors - settled_.descriptors,
            latest_.threads - settled_.threads, latest_.children - settled_.children,
            file_mb(database_) * 1024.0 * 1024.0 / static_cast<double>(last_iter_));
    }

    /// Whether a night may be as long as it likes.
    [[nodiscard]] bool is_flat() const {
        return growth() <= kMostGrowth && slowdown() <= kMostSlowdown && latest_.descriptors <= settled_.descriptors &&
               latest_.threads <= settled_.threads && latest_.children <= settled_.children;
    }

  private:
    [[nodiscard]] double growth() const { return latest_.resident_mb / settled_.resident_mb; }
    // The quickest stretch of each half: whatever else the machine does only ever adds to the others.
    [[nodiscard]] double slowdown() const {
        const auto middle = cpu_ms_.begin() + static_cast<std::ptrdiff_t>(cpu_ms_.size() / 2);
        return *std::min_element(middle, cpu_ms_.end()) / *std::min_element(cpu_ms_.begin(), middle);
    }

    std::int64_t every_;
    fs::path database_;
    Clock::time_point last_ = Clock::now();
    std::int64_t last_iter_ = 0;
    Usage settled_, latest_;
    std::vector<double> cpu_ms_;  ///< per iteration, of each stretch after the first thousand iterations
};

/// Whether it stayed flat.
bool soak(std::int64_t iterations, const std::string& strategy_name, const fs::path& database) {
    const KernelTemplate kernel_template = endless_template(iterations);
    const Study study = soak_study();
    testing::Behaviour behaviour;
    behaviour.noise = 0.01;
    behaviour.latency_ms = [](const testing::Knobs& knobs) {
        return 1.0 + 0.01 * knobs.at("b") + 1e-4 * knobs.at("a");
    };

    std::vector<std::unique_ptr<Device>> devices;
    devices.push_back(std::make_unique<testing::FakeDevice>(behaviour));
    const Space space = kernel_template.space(devices.front()->target());
    LoopSetup setup{.study = study, .kernel_template = kernel_template, .space = space, .devices = std::move(devices)};
    setup.make_compiler = [&] { return std::make_unique<testing::FakeCompiler>(behaviour); };
    setup.strategy_name = strategy_name;
    setup.try_arguments = "soak.json";
    Store store(database);
    store.open_study(study, kernel_template);
    const auto strategy = make_strategy(strategy_name, space, 1);
    const std::atomic<bool> stop{false};
    Table table(iterations, database);
    (void)run_loop(std::move(setup), store, *strategy, {.max_iters = iterations, .hours = {}}, stop, table);
    table.print_summary();
    return table.is_flat();
}

}  // namespace
}  // namespace attune

int main(int argc, char** argv) {
    CLI::App app("soaks the coordinator");
    std::int64_t iterations = 20'000;
    std::string strategy = "random";
    std::string database;
    bool check = false;
    app.add_option("--iterations", iterations)
        ->capture_default_str()
        ->check(CLI::Range(2 * attune::kSettled, 1'000'000L));
    app.add_flag("--check", check, "fail unless memory, time, descriptors, threads and processes stay flat");
    app.add_option("--strategy", strategy)->capture_default_str();
    app.add_option("--db", database, "a new file; on tmpfs the disk's flushes cost nothing");
    CLI11_PARSE(app, argc, argv);
    const attune::TempFolder folder;
    const std::filesystem::path path = database.empty() ? folder.path() / "attune.db" : std::filesystem::path(database);
    const bool is_flat = attune::soak(iterations, strategy, path);
    return check && !is_flat ? 1 : 0;
}
