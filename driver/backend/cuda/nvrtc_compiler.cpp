#include "backend/cuda/nvrtc_compiler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "backend/artifact_record.h"
#include "backend/cuda/cubin.h"
#include "backend/cuda/library.h"
#include "backend/cuda/ptxas_log.h"
#include "core/clipped_text.h"
#include "core/error.h"
#include "core/sha256.h"

namespace attune {
namespace {

/// Changes when entries written by an older attune no longer mean the same.
constexpr std::string_view kCacheFormat = "cubin 1";

std::vector<std::string> compile_options(const cuda::NvrtcApi& api, const std::string& arch_name) {
    std::vector<std::string> options{"--gpu-architecture=" + arch_name, "-std=c++17", "-default-device",
                                     "--ptxas-options=-v"};
    // Where a driver is installed NVRTC 13 keeps cubins on disk itself, and answers from there without ptxas's report.
    if (api.major >= 13) options.emplace_back("--no-cache");
    return options;
}

/// Puts the resources of the job's entries, in its order, into `artifact`; returns the entries that do not exist.
std::vector<std::string> select_entries(const CompileJob& job, const std::vector<KernelResources>& compiled,
                                        Artifact& artifact) {
    std::vector<std::string> missing;
    for (const std::string& entry : job.entries) {
        const auto found = std::ranges::find(compiled, entry, &KernelResources::entry);
        if (found == compiled.end()) {
            missing.push_back(entry);
        } else {
            artifact.kernels.push_back(*found);
        }
    }
    return missing;
}

/// Owns an nvrtcProgram.
class Program {
  public:
    Program(const cuda::NvrtcApi& api, const CompileJob& job) : api_(api) {
        std::vector<const char*> names;
        std::vector<const char*> texts;
        const SourceFile& main_source = find_main_source(job);
        for (const SourceFile& source : job.sources) {
            if (&source == &main_source) continue;
            names.push_back(source.name.c_str());
            texts.push_back(source.text.c_str());
        }
        const nvrtcResult result =
            api_.nvrtcCreateProgram(&program_, main_source.text.c_str(), main_source.name.c_str(),
                                    static_cast<int>(names.size()), texts.data(), names.data());
        if (result != NVRTC_SUCCESS) {
            throw EnvironmentError(fmt::format("{} cannot start a program: {}; use another NVRTC through ATTUNE_NVRTC",
                                               api_.name(), words(result)));
        }
    }
    ~Program() { static_cast<void>(api_.nvrtcDestroyProgram(&program_)); }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    [[nodiscard]] nvrtcResult compile(const std::vector<std::string>& options) {
        std::vector<const char*> pointers;
        for (const std::string& option : options)
            pointers.push_back(option.c_str());
        return api_.nvrtcCompileProgram(program_, static_cast<int>(pointers.size()), pointers.data());
    }
    [[nodiscard]] std::string log() const {
        std::size_t size = 0;  // its closing zero included
        if (api_.nvrtcGetProgramLogSize(program_, &size) != NVRTC_SUCCESS || size == 0) return {};
        std::string text(size, '\0');
        if (api_.nvrtcGetProgramLog(program_, text.data()) != NVRTC_SUCCESS) return {};
        text.resize(text.find('\0') == std::string::npos ? size : text.find('\0'));
        return text;
    }
    [[nodiscard]] std::vector<std::byte> cubin() const {
        std::size_t size = 0;
        if (api_.nvrtcGetCUBINSize(program_, &size) != NVRTC_SUCCESS) return {};
        std::vector<std::byte> bytes(size);
        if (api_.nvrtcGetCUBIN(program_, reinterpret_cast<char*>(bytes.data())) != NVRTC_SUCCESS) return {};
        return bytes;
    }
    [[nodiscard]] std::string words(nvrtcResult result) const { return api_.nvrtcGetErrorString(result); }

  private:
    const cuda::NvrtcApi& api_;
    nvrtcProgram program_ = nullptr;
};

/// Errors that no source can cause.
void reject_environment_errors(const cuda::NvrtcApi& api, nvrtcResult result, const std::string& arch_name,
                               const std::string& log) {
    if (result == NVRTC_ERROR_BUILTIN_OPERATION_FAILURE) {
        throw EnvironmentError(
            fmt::format("{} finds no libnvrtc-builtins.so.{}.{} beside it: reinstall it, or name "
                        "another in ATTUNE_NVRTC",
                        api.name(), api.major, api.minor));
    }
    if (result != NVRTC_ERROR_INVALID_OPTION) return;
    int count = 0;
    std::vector<int> known;
    if (api.nvrtcGetNumSupportedArchs(&count) == NVRTC_SUCCESS && count > 0) {
        known.resize(static_cast<std::size_t>(count));
        if (api.nvrtcGetSupportedArchs(known.data()) != NVRTC_SUCCESS) known.clear();
    }
    throw EnvironmentError(
        fmt::format("{} does not compile for {} (it knows sm_{}): use another NVRTC through "
                    "ATTUNE_NVRTC; it says: {}",
                    api.name(), arch_name, fmt::join(known, ", sm_"), log.substr(0, log.find('\n'))));
}

/// Why a compile failed. NVRTC 13.0 keeps the error to itself where ptxas refuses a kernel for its shared memory: the
/// log then has only what ptxas reports of every kernel.
std::string reason_of(const std::string& words, const std::string& log) {
    if (log.find("error") != std::string::npos) return log;
    constexpr int kLargestStatic = 48 * 1024;
    std::string reason;
    for (const KernelResources& kernel : cuda::parse_ptxas_log(log).kernels) {
        if (kernel.shared_bytes > kLargestStatic) {
            reason += fmt::format("{} has {} bytes of shared data; {} is the most that may be declared with a size\n",
                                  kernel.entry, kernel.shared_bytes, kLargestStatic);
        }
    }
    return reason + words + (log.empty() ? "" : "\n" + log);
}

}  // namespace

struct NvrtcCompiler::Impl {
    std::shared_ptr<const cuda::NvrtcApi> api;
    ArtifactCache cache;

    [[nodiscard]] Result<Artifact> compile_uncached(const CompileJob& job, const std::vector<std::string>& options,
                                                    const std::string& key, Artifact artifact) const;
};

Result<Artifact> NvrtcCompiler::Impl::compile_uncached(const CompileJob& job, const std::vector<std::string>& options,
                                                       const std::string& key, Artifact artifact) const {
    const auto start = std::chrono::steady_clock::now();
    Program program(*api, job);
    const nvrtcResult result = program.compile(options);
    const std::string log = program.log();
    if (result != NVRTC_SUCCESS) {
        reject_environment_errors(*api, result, job.arch_name, log);
        return Failure{Outcome::compile_error, clip_log(reason_of(program.words(result), log))};
    }
    const cuda::PtxasReport report = cuda::parse_ptxas_log(log);
    const std::vector<std::string> missing = select_entries(job, report.kernels, artifact);
    if (!missing.empty()) {
        return Failure{Outcome::compile_error,
                       fmt::format("{} defines no `extern \"C\" __global__` kernel named {}\n{}", job.main_source,
                                   fmt::join(missing, ", "), clip_log(log))};
    }
    const std::vector<std::byte> cubin = program.cubin();
    if (const std::string defect = cuda::cubin_defect(cubin); !defect.empty()) {
        throw EnvironmentError(
            fmt::format("{} gave no cubin: {}; use another NVRTC through ATTUNE_NVRTC", api->name(), defect));
    }
    artifact.log = clip_log(log);
    artifact.performance_warning = report.performance_warning;
    artifact.compile_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    artifact.path = cache.publish(key, cubin, to_meta(artifact)).path.string();
    return artifact;
}

NvrtcCompiler::NvrtcCompiler(const LibrarySearch& search, ArtifactCache cache)
    : impl_(std::make_unique<Impl>(Impl{cuda::load_nvrtc(search), std::move(cache)})) {}
NvrtcCompiler::~NvrtcCompiler() = default;
NvrtcCompiler::NvrtcCompiler(NvrtcCompiler&&) noexcept = default;
NvrtcCompiler& NvrtcCompiler::operator=(NvrtcCompiler&&) noexcept = default;

std::string NvrtcCompiler::version() const {
    return impl_->api->name();
}

Result<Artifact> NvrtcCompiler::compile(const CompileJob& job) {
    const std::vector<std::string> options = compile_options(*impl_->api, job.arch_name);
    Artifact artifact;
    artifact.source_hash = hash_sources(job.sources);
    artifact.options = fmt::format("{}", fmt::join(options, " "));
    artifact.compiler = version();

    Sha256 hash;
    for (const std::string_view part :
         {kCacheFormat, std::string_view(artifact.compiler), std::string_view(artifact.options),
          std::string_view(job.main_source), std::string_view(artifact.source_hash)}) {
        hash.update_field(part);
    }
    for (const std::string& entry : job.entries)
        hash.update_field(entry);
    const std::string key = hash.hex();

    if (const auto cached = impl_->cache.lookup(key)) {
        if (from_meta(cached->meta, artifact)) {
            artifact.path = cached->path.string();
            artifact.from_cache = true;
            return artifact;
        }
    }
    return impl_->compile_uncached(job, options, key, std::move(artifact));
}

}  // namespace attune
