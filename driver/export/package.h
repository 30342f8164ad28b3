// A directory that computes the operator without attune: kernels, their launchers in C++ and Python, and a manifest.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/kernel_template.h"
#include "core/record.h"
#include "core/workload.h"
#include "store/reader.h"

namespace attune {

/// An iteration as a member of a package.
struct PackageVariant {
    std::string name;              ///< [a-z_]+; names its files and its entry of the manifest
    std::vector<Family> families;  ///< it was chosen for; empty: any
    IterationDetail detail;
    KernelTemplate kernel_template;
    Candidate candidate;
    std::vector<SourceFile> bundle;  ///< what is compiled
    std::string arch_name;           ///< "sm_90a"; "native" on a CPU
    Artifact artifact;               ///< compiled from `bundle`, in the cache
};

struct Package {
    StudyInfo study;
    std::string attune_version;
    std::vector<PackageVariant> variants;  ///< the first is the default

    [[nodiscard]] DeviceKind device() const { return study.device; }
};

/// One check of an exported file: of a variant on one draw of a case.
struct PackageCheck {
    std::size_t variant = 0;
    std::string case_id;
    std::uint32_t draw = 0;
    CheckReport report;
};

/// What came of running the exported files; `unchecked_because` is empty when they were run.
struct PackageChecks {
    std::string device_name;
    std::string unchecked_because;
    std::vector<PackageCheck> checks;
};

/// Paths within a package, relative to its folder.
inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kPythonFile = "block_sparse_attn.py";
inline constexpr const char* kHeaderFile = "block_sparse_attn.h";
inline constexpr const char* kExampleFile = "example.cpp";
[[nodiscard]] std::string source_path(const Package& package, const PackageVariant& variant);
[[nodiscard]] std::string binary_path(const Package& package, const PackageVariant& variant);

/// The iteration as a variant of a package, not compiled yet. InputError when the record lacks what is needed.
[[nodiscard]] PackageVariant make_variant(std::string name, std::vector<Family> families, IterationDetail detail,
                                          KernelTemplate kernel_template);

/// The largest |v| a variant takes: it has one where V is converted to fp16.
[[nodiscard]] std::optional<double> largest_v(const PackageVariant& variant);

/// Writes everything but the manifest into `folder`, which is made. EnvironmentError when it cannot.
void write_package(const Package& package, const std::filesystem::path& folder);
/// Completes what write_package wrote.
void write_manifest(const Package& package, const PackageChecks& checks, const std::filesystem::path& folder);

// The generated files, as text.
[[nodiscard]] std::string python_text(const Package& package);
[[nodiscard]] std::string header_text(const Package& package);
[[nodiscard]] std::string example_text(const Package& package);
[[nodiscard]] std::string readme_text(const Package& package);
[[nodiscard]] std::string manifest_text(const Package& package, const PackageChecks& checks,
                                        const std::filesystem::path& folder);

}  // namespace attune
