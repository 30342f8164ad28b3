// What memory gives to TMA loads: tiles of 128 x 128 bf16 into a ring of shared memory with no arithmetic on them, for
// known states of the L2 cache (docs/kernels.md, "A schedule played without its arithmetic"). Needs a Hopper GPU.
//
// Usage: load_rates [--megabytes MB] [--depth STAGES] [--repeat TIMES] [--samples N]

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string_view>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/gpu_facts.h"
#include "backend/cuda/loaded_variant.h"
#include "backend/cuda/timer.h"
#include "core/error.h"
#include "core/statistics.h"

namespace attune {

namespace embedded {
extern const std::string_view attn_args_header;
extern const std::string_view load_rates_basics;
extern const std::string_view load_rates_kernels;
extern const std::string_view load_rates_ptx;
}  // namespace embedded

using namespace cuda;

namespace {

constexpr int kArch = 90;  ///< compute capability x 10
constexpr int kBoxColumns = 64;
constexpr int kSwizzleBytes = 128;
constexpr int kTileBytes = kBlockSize * kHeadDim * static_cast<int>(sizeof(unsigned short));
constexpr int kBarrierBytes = 8;
constexpr int kMaxDepth = 7;  ///< 227 KB of shared memory hold so many tiles
/// L2 as the timer is told, so that it writes twice as much between samples: several times any Hopper's.
constexpr std::size_t kCacheBytes = 128 << 20;
/// What every SM loads over and over: 8 MB, which stay in L2.
constexpr int kRegionTiles = 256;
constexpr int kWarmUpCalls = 20;

struct Options {
    double megabytes = 37.75;
    int depth = 4;
    int repeat = 4;
    int samples = 15;
};

/// What a launch loads. Its value is the place of its entry here and of its launch plan.
enum class Work : std::size_t { nothing, dealt, repeated };
constexpr std::array kEntries{"load_nothing", "load_dealt", "load_repeated"};

/// Samples of one work in one state of L2.
struct Row {
    double bytes = 0.0;               ///< loaded by all SMs together in a launch
    std::vector<float> us;            ///< between events around the launch
    std::vector<float> first_cycles;  ///< until a CTA's first tile had arrived, median over CTAs
    std::vector<float> all_cycles;    ///< until a CTA's last one had, median over CTAs
};

LibrarySearch library_search() {
    LibrarySearch search;
    const auto value = [](const char* name) { return std::getenv(name) != nullptr ? std::getenv(name) : ""; };
    if (const std::string nvrtc = value("ATTUNE_NVRTC"); !nvrtc.empty()) search.nvrtc = {nvrtc};
    search.home = value("HOME");
    return search;
}

/// EnvironmentError for a GPU other than Hopper.
GpuFacts hopper_facts(const DriverApi& api, const Context& context) {
    GpuFacts facts = read_gpu_facts(api, context);
    if (facts.target.arch != kArch) {
        throw EnvironmentError(fmt::format(
            "{} has compute capability {}.{}, and 9.0 (Hopper) is needed; name another GPU in CUDA_VISIBLE_DEVICES",
            facts.name, facts.target.arch / 10, facts.target.arch % 10));
    }
    return facts;
}

/// EnvironmentError when the kernels do not compile.
Artifact compiled(Compiler& compiler, const Options& options, const std::string& arch_name) {
    CompileJob job;
    job.sources = {{"load_rates.cu", std::string(embedded::load_rates_kernels)},
                   {"basics.cuh", std::string(embedded::load_rates_basics)},
                   {"ptx.cuh", std::string(embedded::load_rates_ptx)},
                   {"attune/attn_args.h", std::string(embedded::attn_args_header)},
                   {"settings.h", fmt::format("constexpr int kStages = {};\nconstexpr int kRepeat = {};\n",
                                              options.depth, options.repeat)}};
    job.main_source = "load_rates.cu";
    job.entries.assign(kEntries.begin(), kEntries.end());
    job.arch_name = arch_name;
    const Result<Artifact> artifact = compiler.compile(job);
    if (!artifact.ok()) {
        const std::string& log = artifact.failure().diagnostics;
        throw EnvironmentError("the kernels do not compile: " + log.substr(0, log.find('\n')));
    }
    return artifact.value();
}

/// A CTA an SM: it takes more than half of the SM's shared memory, however shallow the ring.
LaunchPlan launch_plan(const std::string& entry, const TargetFacts& target, int depth) {
    const int ring_bytes = depth * (kTileBytes + kBarrierBytes);
    LaunchPlan plan;
    plan.kernels = {{.entry = entry,
                     .grid = {target.sm_count, 1, 1},
                     .threads = 32,
                     .shared_bytes = std::max(ring_bytes, static_cast<int>(target.shared_per_sm_bytes / 2))}};
    plan.tensor_maps = {
        {.tensor = TensorMapPlan::Tensor::k, .rows = kBlockSize, .cols = kBoxColumns, .swizzle_bytes = kSwizzleBytes}};
    return plan;
}

/// A GPU with the kernels on it and data to load.
class Rig {
  public:
    Rig(const Options& options, int tiles);

    /// `samples` launches, each with L2 in `state` before it, on the first `tiles` tiles of the data.
    [[nodiscard]] Row measure(Work work, int tiles, CacheState state);
    [[nodiscard]] const std::string& name() const { return facts_.name; }
    [[nodiscard]] int sm_count() const { return facts_.target.sm_count; }

  private:
    /// The call of sample number `sample`, which has a place of its own for its cycles.
    [[nodiscard]] PreparedCall prepare(Work work, int tiles, int sample);
    void read_cycles(Row& row) const;

    Options options_;
    DriverPtr api_;
    Context context_;
    GpuFacts facts_;
    Stream stream_;
    TemporaryDirectory folder_;
    NvrtcCompiler compiler_;
    DeviceKernels kernels_;
    Timer timer_;
    DeviceBuffer data_;
    DeviceBuffer cycles_;  ///< per sample and CTA: until the first tile, until the last
    LoadedVariant variant_;
};

Rig::Rig(const Options& options, int tiles)
    : options_(options),
      api_(load_driver()),
      context_(api_, 0),
      facts_(hopper_facts(*api_, context_)),
      stream_(make_stream(api_)),
      folder_(TemporaryDirectory::make(std::filesystem::temp_directory_path())),
      compiler_(library_search(), ArtifactCache(folder_.path())),
      kernels_(api_, stream_.get(), compiler_, facts_.target.arch_name, sm_count()),
      timer_(api_, kernels_, stream_.get(), kCacheBytes),
      data_(api_, static_cast<std::size_t>(std::max(tiles, kRegionTiles)) * kTileBytes),
      cycles_(api_, static_cast<std::size_t>(2 * sm_count() * options.samples) * sizeof(float)) {
    Variant variant{compiled(compiler_, options, facts_.target.arch_name), {}};
    for (const char* entry : kEntries)
        variant.plans.push_back(launch_plan(entry, facts_.target, options.depth));
    require(LoadedVariant::load(api_, variant, variant_));
    // The words of a flush are as good as random.
    require(kernels_.flush({data_.as<unsigned>(), static_cast<long long>(data_.bytes() / sizeof(unsigned)), 1, 0}));
}

PreparedCall Rig::prepare(Work work, int tiles, int sample) {
    AttnArgs args{};
    args.k = data_.as<const unsigned short>();
    args.lse = cycles_.as<float>() + 2 * sm_count() * sample;
    args.batch = 1;
    args.heads = 1;
    args.t_max = tiles * kBlockSize;
    args.q_blocks = tiles;
    PreparedCall call;
    require(variant_.prepare(*api_, stream_.get(), static_cast<std::size_t>(work), args, call));
    return call;
}

Row Rig::measure(Work work, int tiles, CacheState state) {
    std::vector<PreparedCall> calls;
    for (int sample = 0; sample < options_.samples; ++sample)
        calls.push_back(prepare(work, tiles, sample));
    std::vector<const PreparedCall*> order;
    for (const PreparedCall& call : calls)
        order.push_back(&call);
    Row row;
    require(timer_.warm_up(calls.front(), kWarmUpCalls));
    require(timer_.measure(order, state, row.us));
    for (float& time : row.us)
        time *= 1000.0F;
    if (work == Work::nothing) return row;
    row.bytes = 1.0 * tiles * kTileBytes * (work == Work::repeated ? options_.repeat * sm_count() : 1);
    read_cycles(row);
    return row;
}

void Rig::read_cycles(Row& row) const {
    std::vector<float> cycles(cycles_.bytes() / sizeof(float));
    download(*api_, stream_.get(), std::as_writable_bytes(std::span(cycles)), cycles_.address());
    for (auto next = cycles.begin(); next != cycles.end();) {
        std::vector<float> first;
        std::vector<float> all;
        for (int cta = 0; cta < sm_count(); ++cta) {
            first.push_back(*next++);
            all.push_back(*next++);
        }
        row.first_cycles.push_back(static_cast<float>(median(first)));
        row.all_cycles.push_back(static_cast<float>(median(all)));
    }
}

/// Median and, in brackets, 10th and 90th percentile.
std::string spread(std::vector<float> values, int decimals) {
    std::ranges::sort(values);
    const auto at = [&](double share) {
        return values[static_cast<std::size_t>(std::lround(share * static_cast<double>(values.size() - 1)))];
    };
    return fmt::format("{:.{}f} [{:.{}f}..{:.{}f}]", median(values), decimals, at(0.1), decimals, at(0.9), decimals);
}

void print_columns(std::string_view loaded, std::string_view time, std::string_view rate, std::string_view first,
                   std::string_view per_cycle) {
    fmt::print("{:<42s} {:>24s} {:>19s} {:>22s} {:>20s}\n", loaded, time, rate, first, per_cycle);
    std::cout.flush();
}

void print_row(const std::string& loaded, const Row& row, double empty_us, int sm_count) {
    std::vector<float> rates;
    for (const float us : row.us)
        rates.push_back(static_cast<float>(row.bytes / (us - empty_us) * 1e-6));
    std::vector<float> per_cycle;
    for (const float cycles : row.all_cycles)
        per_cycle.push_back(static_cast<float>(row.bytes / sm_count / cycles));
    print_columns(loaded, spread(row.us, 2), spread(rates, 2), spread(row.first_cycles, 0), spread(per_cycle, 1));
}

void run(const Options& options) {
    if (cuda_device_count() == 0) {
        throw EnvironmentError(
            "no GPU here: one of compute capability 9.0 (Hopper) is needed; `attune doctor` says what is missing");
    }
    const int tiles = static_cast<int>(std::lround(options.megabytes * 1e6 / kTileBytes));
    Rig rig(options, tiles);
    fmt::print("{}, {} SMs; {} tiles of {} bytes, a ring of {}; median [10th..90th percentile] of {} samples\n",
               rig.name(), rig.sm_count(), tiles, kTileBytes, options.depth, options.samples);
    print_columns("loaded, and L2 before it", "us", "TB/s past nothing's", "first tile, cycles", "bytes/cycle/SM");

    const std::string size = fmt::format("{:.1f} MB", 1e-6 * tiles * kTileBytes);
    double empty_us = 0.0;
    for (const auto& [state, name] :
         {std::pair{CacheState::cold, "written lines"}, std::pair{CacheState::read, "read lines"},
          std::pair{CacheState::warm, "the data"}}) {
        const Row empty = rig.measure(Work::nothing, tiles, state);
        empty_us = median(empty.us);
        print_columns(fmt::format("nothing, L2 of {}", name), spread(empty.us, 2), "-", "-", "-");
        print_row(fmt::format("{}, L2 of {}", size, name), rig.measure(Work::dealt, tiles, state), empty_us,
                  rig.sm_count());
    }
    const std::string repeated =
        fmt::format("{:.1f} MB {} times by each SM, L2 of the data", 1e-6 * kRegionTiles * kTileBytes, options.repeat);
    print_row(repeated, rig.measure(Work::repeated, kRegionTiles, CacheState::warm), empty_us, rig.sm_count());
}

}  // namespace
}  // namespace attune

int main(int argc, char** argv) {
    attune::Options options;
    CLI::App app("what memory gives to TMA loads on a Hopper GPU");
    app.add_option("--megabytes", options.megabytes, "dealt out to the SMs; the default is Q, K, V of quick-window-1")
        ->check(CLI::Range(5.0, 1e5))  // a tile for every SM at least
        ->capture_default_str();
    app.add_option("--depth", options.depth, "tiles in an SM's ring")
        ->check(CLI::Range(1, attune::kMaxDepth))
        ->capture_default_str();
    app.add_option("--repeat", options.repeat, "times every SM loads the same 8 MB")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--samples", options.samples, "of every row")->check(CLI::Range(1, 10000))->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        attune::run(options);
    } catch (const std::exception& error) {
        std::cerr << "load_rates: " << error.what() << '\n';
        return 1;
    }
}
