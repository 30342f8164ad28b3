#include "cli/backends.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "backend/cpu/cpu_compiler.h"
#include "backend/cpu/cpu_device.h"
#include "backend/cpu/system_compiler.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/nvrtc_compiler.h"
#include "core/error.h"
#include "version.h"

namespace attune {
namespace {

const char* kind_name(DeviceKind kind) {
    return kind == DeviceKind::cuda ? "cuda" : "cpu";
}

std::vector<int> parse_ordinals(std::string_view list) {
    std::vector<int> ordinals;
    while (!list.empty()) {
        const std::string_view item = list.substr(0, list.find(','));
        int ordinal = -1;
        const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), ordinal);
        if (error != std::errc() || end != item.data() + item.size() || ordinal < 0) return {};
        ordinals.push_back(ordinal);
        list.remove_prefix(std::min(list.size(), item.size() + 1));
    }
    return ordinals;
}

LibrarySearch cuda_search(const CliContext& context) {
    LibrarySearch search;
    if (!context.nvrtc_path.empty()) search.nvrtc = {context.nvrtc_path};
    search.home = context.home;
    return search;
}

DeviceChoice choose_cuda(const std::string& text) {
    const int count = cuda_device_count();
    if (count == 0) {
        throw EnvironmentError(
            "no usable CUDA GPU here, which the study's template needs; `attune doctor` says what is missing, and the "
            "study smoke-cpu needs none");
    }
    DeviceChoice choice{DeviceKind::cuda, {0}};
    if (text == "cuda:all") {
        choice.ordinals.resize(static_cast<std::size_t>(count));
        std::iota(choice.ordinals.begin(), choice.ordinals.end(), 0);
    } else if (text.starts_with("cuda:")) {
        choice.ordinals = parse_ordinals(std::string_view(text).substr(5));
    }
    for (const int ordinal : choice.ordinals) {
        if (ordinal >= count) {
            throw EnvironmentError(
                fmt::format("--device {}: there is no GPU {}; this machine has {}", text, ordinal, count));
        }
    }
    return choice;
}

std::vector<std::string> worker_arguments(const char* role, DeviceKind kind) {
    return {"worker", role, "--kind", kind_name(kind)};
}

std::int64_t physical_memory_bytes() {
    return static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

}  // namespace

DeviceKind usual_device(const CliContext& context) {
    const std::vector<Capability> cuda = cuda_capabilities(cuda_search(context));
    const bool all = std::all_of(cuda.begin(), cuda.end(), [](const Capability& item) { return item.available; });
    return all && cuda_device_count() > 0 ? DeviceKind::cuda : DeviceKind::cpu;
}

std::string_view usual_gpu_study(std::span<const int> archs) {
    constexpr int kHopper = 90;
    return std::ranges::all_of(archs, [](int arch) { return arch == kHopper; }) ? "quick-sm90_ws" : "quick-mma_sync";
}

std::vector<Capability> capabilities(const CliContext& context) {
    std::vector<Capability> found = cuda_capabilities(cuda_search(context));
    found.push_back(cpu::cpu_compiler_capability(context.cxx, context.cache_dir));
    return found;
}

std::unique_ptr<Compiler> make_compiler(DeviceKind kind, const CliContext& context) {
    ArtifactCache cache(context.cache_dir);
    if (kind == DeviceKind::cuda) return std::make_unique<NvrtcCompiler>(cuda_search(context), std::move(cache));
    return std::make_unique<CpuCompiler>(std::move(cache), context.cxx);
}

ServedDevice make_device(DeviceKind kind, int ordinal, const CliContext& context) {
    if (kind == DeviceKind::cuda) {
        auto device = std::make_unique<CudaDevice>(CudaDeviceOptions{ordinal, cuda_search(context), kVersion},
                                                   ArtifactCache(context.cache_dir));
        const CudaDevice& seen = *device;
        return {std::move(device), [&seen] { return seen.poisoned(); }};
    }
    CpuDeviceOptions options;
    options.compiler = context.cxx;
    options.attune_version = kVersion;
    return {std::make_unique<CpuDevice>(std::move(options), ArtifactCache(context.cache_dir)), [] { return false; }};
}

DeviceChoice choose_devices(const std::string& text, DeviceKind wanted) {
    const bool is_cuda = text == "cuda" || text == "cuda:all" ||
                         (text.starts_with("cuda:") && !parse_ordinals(std::string_view(text).substr(5)).empty());
    if (!is_cuda && text != "cpu" && text != "auto") {
        throw InputError(fmt::format("--device {}: write auto, cpu, cuda, cuda:0,1 or cuda:all", text));
    }
    if (text != "auto" && is_cuda != (wanted == DeviceKind::cuda)) {
        throw InputError(fmt::format("--device {}: the study's template runs on {}; choose that, or another study",
                                     text, kind_name(wanted)));
    }
    if (wanted == DeviceKind::cpu) return {DeviceKind::cpu, {0}};
    return choose_cuda(text);
}

std::unique_ptr<Compiler> start_compiler(DeviceKind kind, const CliContext& context, const MeasureSettings& settings) {
    WorkerCommand command;
    command.executable = context.executable;
    command.arguments = worker_arguments("compile", kind);
    command.address_space_bytes = static_cast<std::int64_t>(settings.compile_memory_mb) << 20;
    return std::make_unique<RemoteCompiler>(std::move(command), settings.compile_timeout_s);
}

std::unique_ptr<RemoteDevice> start_device(DeviceKind kind, int ordinal, const CliContext& context,
                                           const MeasureSettings& settings) {
    WorkerCommand command;
    command.executable = context.executable;
    command.arguments = worker_arguments("device", kind);
    command.arguments.insert(command.arguments.end(), {"--ordinal", std::to_string(ordinal)});
    // A kernel that allocates without end fails by itself before the machine has no memory left for others.
    if (kind == DeviceKind::cpu) command.address_space_bytes = physical_memory_bytes();
    const std::string label = kind == DeviceKind::cpu ? "cpu" : fmt::format("cuda:{}", ordinal);
    return std::make_unique<RemoteDevice>(std::move(command), DeviceDeadlines{.request_s = settings.run_timeout_s},
                                          label);
}

}  // namespace attune
