#include "backend/cpu/cpu_compiler.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <cstring>
#include <fstream>

#include "backend/artifact_record.h"
#include "backend/cpu/command.h"
#include "backend/cpu/host_facts.h"
#include "core/error.h"
#include "core/sha256.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

/// Changes when entries written by an older attune no longer mean the same.
constexpr std::string_view kCacheFormat = "shared object 1";
constexpr const char* kOutputFile = "variant.so";

void write_sources(const std::vector<SourceFile>& sources, const fs::path& folder) {
    for (const SourceFile& source : sources) {
        const fs::path name = fs::path(source.name).lexically_normal();
        if (name.is_absolute() || name.empty() || *name.begin() == ".." || name.filename() == kOutputFile) {
            throw InputError(fmt::format("a template cannot hold a file named '{}'; rename it", source.name));
        }
        fs::create_directories((folder / name).parent_path());
        std::ofstream file(folder / name, std::ios::binary);
        file << source.text;
        if (!file.flush()) {
            throw EnvironmentError(fmt::format("cannot write {}; free space there", (folder / name).string()));
        }
    }
}

}  // namespace

CpuCompiler::CpuCompiler(ArtifactCache cache, const std::string& preferred)
    : cache_(std::move(cache)),
      compiler_(cpu::find_system_compiler(preferred, cache_)),
      cpu_identity_(cpu::read_host_facts().cpu_identity) {}

std::string CpuCompiler::key_of(const CompileJob& job, const Artifact& artifact) const {
    Sha256 sha;
    for (const std::string_view field :
         {kCacheFormat, std::string_view(compiler_.program), std::string_view(compiler_.version),
          std::string_view(artifact.options), std::string_view(cpu_identity_), std::string_view(job.main_source),
          std::string_view(artifact.source_hash)}) {
        sha.update_field(field);
    }
    return sha.hex();
}

Result<Artifact> CpuCompiler::compile(const CompileJob& job) {
    if (job.kind != DeviceKind::cpu) throw InputError("the system compiler was given a variant for another device");
    static_cast<void>(find_main_source(job));
    Artifact artifact;
    artifact.source_hash = hash_sources(job.sources);
    artifact.options = fmt::format("{}", fmt::join(compiler_.options, " "));
    artifact.compiler = compiler_.version;

    const std::string key = key_of(job, artifact);
    if (const auto cached = cache_.lookup(key); cached && from_meta(cached->meta, artifact)) {
        artifact.path = cached->path;
        artifact.from_cache = true;
        return artifact;
    }
    return cache_.undisturbed([&](const fs::path& scratch) { return build(job, key, artifact, scratch); });
}

Result<Artifact> CpuCompiler::build(const CompileJob& job, const std::string& key, Artifact artifact,
                                    const fs::path& scratch) const {
    write_sources(job.sources, scratch);
    std::vector<std::string> command{compiler_.program};
    command.insert(command.end(), compiler_.options.begin(), compiler_.options.end());
    command.insert(command.end(), {"-o", kOutputFile, job.main_source});

    const auto start = std::chrono::steady_clock::now();
    const cpu::CommandResult result = cpu::run_command(command, scratch);
    artifact.compile_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    artifact.log = result.output;
    if (!result.started) {
        throw EnvironmentError(fmt::format("{} can no longer be started: {}; install it again, or name another in CXX",
                                           compiler_.program, result.output));
    }
    if (result.signal != 0) {
        return Failure{Outcome::compile_error, fmt::format("{} was ended by signal {} ({})\n{}", compiler_.program,
                                                           result.signal, strsignal(result.signal), artifact.log)};
    }
    if (result.exit_code != 0) return Failure{Outcome::compile_error, artifact.log};

    // No registers or shared memory to report on a CPU: the entries are named, their numbers stay unknown.
    for (const std::string& entry : job.entries) {
        KernelResources resources;
        resources.entry = entry;
        artifact.kernels.push_back(std::move(resources));
    }
    artifact.path = cache_.publish_file(key, scratch / kOutputFile, to_meta(artifact)).path;
    return artifact;
}

}  // namespace attune
