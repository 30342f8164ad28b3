#include "export/package.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "core/error.h"
#include "export/destination.h"
#include "export/flatten.h"

namespace attune {
namespace embedded {
extern const std::string_view attn_args_header;
}

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kArchOption = "--gpu-architecture=";

/// What the variant was compiled for, out of its recorded options.
std::string arch_of(const IterationDetail& detail, DeviceKind device) {
    if (device == DeviceKind::cpu) return "native";
    const std::string& options = detail.record.artifact->options;
    const auto start = options.find(kArchOption);
    if (start == std::string::npos) return {};
    const auto first = start + kArchOption.size();
    return options.substr(first, options.find(' ', first) - first);
}

/// The recorded files in the order they were compiled in, the template's own first.
std::vector<SourceFile> bundle_of(const IterationDetail& detail) {
    std::vector<SourceFile> bundle;
    std::vector<SourceFile> headers;
    for (const SourceFile& file : detail.sources) {
        if (file.name == kTemplateFile) continue;
        (file.name == kArgsHeader || file.name == kTuneHeader ? headers : bundle).push_back(file);
    }
    std::ranges::sort(bundle, {}, &SourceFile::name);
    std::ranges::sort(headers, {}, &SourceFile::name);
    bundle.insert(bundle.end(), headers.begin(), headers.end());
    return bundle;
}

std::string read_artifact(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!file || bytes.empty()) {
        throw EnvironmentError(
            fmt::format("cannot read {}: the cache loses what is written to it; set ATTUNE_CACHE to another folder",
                        path.string()));
    }
    return bytes;
}

/// The variant as one file, with the commands that compile it.
std::string standalone_text(const Package& package, const PackageVariant& variant) {
    const std::string name = fs::path(source_path(package, variant)).filename().string();
    const bool cuda = package.device() == DeviceKind::cuda;
    std::string text =
        cuda ? fmt::format("// nvcc -cubin -std=c++17 -arch={} --expt-relaxed-constexpr {}\n// NVRTC: {}\n",
                           variant.arch_name, name, variant.artifact.options)
             : fmt::format("// c++ {} {}\n", variant.artifact.options, name);
    text += fmt::format("// Study {}, iteration {}: {}\n", package.study.name, variant.detail.key.iter,
                        variant.detail.record.params);
    return text + flatten(variant.bundle, variant.kernel_template.main_source());
}

std::string path_of(const Package& package, const PackageVariant& variant, const char* cuda, const char* cpu) {
    return fmt::format("variants/{}{}", variant.name, package.device() == DeviceKind::cuda ? cuda : cpu);
}

}  // namespace

std::string source_path(const Package& package, const PackageVariant& variant) {
    return path_of(package, variant, ".cu", ".cpp");
}

std::string binary_path(const Package& package, const PackageVariant& variant) {
    return path_of(package, variant, ".cubin", ".so");
}

PackageVariant make_variant(std::string name, std::vector<Family> families, IterationDetail detail,
                            KernelTemplate kernel_template) {
    const std::string where = fmt::format("iteration {} of study {}", detail.key.iter, detail.key.study);
    if (!detail.record.artifact || detail.sources.empty()) {
        throw InputError(fmt::format("{} was recorded without its source; export another one", where));
    }
    const auto header = std::ranges::find(detail.sources, kArgsHeader, &SourceFile::name);
    if (header == detail.sources.end() || header->text != embedded::attn_args_header) {
        throw InputError(
            fmt::format("{} was recorded by attune {}, whose kernels take other arguments; export it with that "
                        "version",
                        where, detail.record.environment.attune_version));
    }
    std::string arch = arch_of(detail, kernel_template.device());
    if (arch.empty()) {
        throw InputError(
            fmt::format("{} does not say which GPU it was compiled for (its options are '{}'); export another "
                        "one",
                        where, detail.record.artifact->options));
    }
    Candidate defaults;
    for (const Parameter& parameter : kernel_template.parameters()) {
        defaults.choice.push_back(static_cast<std::uint16_t>(parameter.default_choice));
    }
    Candidate candidate = parse_params(kernel_template.parameters(), detail.record.params, defaults);
    std::vector<SourceFile> bundle = bundle_of(detail);
    return {std::move(name),      std::move(families), std::move(detail), std::move(kernel_template),
            std::move(candidate), std::move(bundle),   std::move(arch),   {}};
}

std::optional<double> largest_v(const PackageVariant& variant) {
    constexpr double kLargestHalf = 65504.0;
    for (std::size_t i = 0; i < variant.candidate.choice.size(); ++i) {
        const Parameter& parameter = variant.kernel_template.parameters()[i];
        if (parameter.words.empty()) continue;
        if (parameter.words[variant.candidate.choice[i]].starts_with("fp16")) return kLargestHalf;
    }
    return std::nullopt;
}

void write_package(const Package& package, const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder / "variants", error);
    if (error) {
        throw EnvironmentError(
            fmt::format("cannot make {}: {}; free space there", (folder / "variants").string(), error.message()));
    }
    for (const PackageVariant& variant : package.variants) {
        write_file(folder / source_path(package, variant), standalone_text(package, variant));
        // Not copied as a file: the cache's permissions are the cache's.
        write_file(folder / binary_path(package, variant), read_artifact(variant.artifact.path));
    }
    write_file(folder / kPythonFile, python_text(package));
    write_file(folder / kHeaderFile, header_text(package));
    write_file(folder / kExampleFile, example_text(package));
    write_file(folder / "README.md", readme_text(package));
}

void write_manifest(const Package& package, const PackageChecks& checks, const fs::path& folder) {
    write_file(folder / kManifestFile, manifest_text(package, checks, folder));
}

}  // namespace attune
