#include "backend/cpu/system_compiler.h"

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <string_view>
#include <variant>

#include "backend/cpu/command.h"
#include "core/error.h"

namespace attune::cpu {
namespace {

constexpr std::string_view kProbe = "#include <omp.h>\nextern \"C\" int probe() { return omp_get_max_threads(); }\n";
constexpr std::string_view kRemedy = "sudo apt-get install g++";

std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

std::vector<std::string> options_for(std::string_view version) {
    std::vector<std::string> options{"-std=c++20", "-O3", "-fopenmp", "-shared", "-fPIC", "-I.", "-fmax-errors=20",
                                     // A missing function is then a compile error with its name, not a failure to load.
                                     "-Wl,-z,defs"};
#if defined(__aarch64__)
    options.emplace_back("-mcpu=native");
#else
    options.emplace_back("-march=native");
#endif
    // GCC makes inline variables (`static constexpr` members of Tune) unique across the process: the second variant
    // loaded would read the first one's parameters, and neither could be unloaded.
    if (version.find("clang") == std::string_view::npos) options.emplace_back("-fno-gnu-unique");
    return options;
}

/// The compiler, or why `program` is of no use.
std::variant<SystemCompiler, std::string> probe(const std::string& program, const std::filesystem::path& scratch) {
    const CommandResult version = run_command({program, "--version"}, scratch);
    if (!version.ok()) return first_line(version.output);
    SystemCompiler compiler{program, first_line(version.output), {}};
    compiler.options = options_for(compiler.version);

    std::ofstream(scratch / "probe.cpp") << kProbe;
    std::vector<std::string> command{program};
    command.insert(command.end(), compiler.options.begin(), compiler.options.end());
    const std::filesystem::path object = scratch / "probe.so";
    std::filesystem::remove(object);  // of an earlier candidate
    command.insert(command.end(), {"-o", object.filename(), "probe.cpp"});
    const CommandResult built = run_command(command, scratch);
    if (built.ok() && std::filesystem::exists(object)) return compiler;
    return fmt::format("{} cannot build a shared object with OpenMP: {}", compiler.version, first_line(built.output));
}

SystemCompiler find_in(const std::string& preferred, const std::filesystem::path& scratch) {
    if (!preferred.empty()) {
        auto found = probe(preferred, scratch);
        if (auto* compiler = std::get_if<SystemCompiler>(&found)) return std::move(*compiler);
        throw EnvironmentError(
            fmt::format("CXX is '{}', which is of no use: {}; unset CXX, or name one program that compiles C++20",
                        preferred, std::get<std::string>(found)));
    }
    std::string reasons;
    for (const char* program : {"c++", "g++", "clang++"}) {
        auto found = probe(program, scratch);
        if (auto* compiler = std::get_if<SystemCompiler>(&found)) return std::move(*compiler);
        reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", program, std::get<std::string>(found));
    }
    throw EnvironmentError(fmt::format("no C++ compiler with OpenMP ({}); run: {}", reasons, kRemedy));
}

}  // namespace

SystemCompiler find_system_compiler(const std::string& preferred, const ArtifactCache& cache) {
    const auto find = [&](const std::filesystem::path& scratch) -> Result<SystemCompiler> {
        return find_in(preferred, scratch);
    };
    return cache.undisturbed(find).value();
}

Capability cpu_compiler_capability(const std::string& preferred, const std::filesystem::path& cache_root) {
    std::optional<ArtifactCache> cache;
    try {
        cache.emplace(cache_root);
    } catch (const EnvironmentError& error) {
        return {"system compiler", false, error.what(), "export ATTUNE_CACHE=<a folder that can be written>"};
    }
    try {
        const SystemCompiler compiler = find_system_compiler(preferred, *cache);
        return {"system compiler", true, fmt::format("{} ({})", compiler.program, compiler.version), ""};
    } catch (const EnvironmentError& error) {
        return {"system compiler", false, error.what(), std::string(kRemedy)};
    }
}

}  // namespace attune::cpu
