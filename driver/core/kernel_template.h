// A kernel template as the driver knows it: knobs, constraints and geometry as data (docs/templates.md).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/space.h"

namespace attune {

enum class DeviceKind { cuda, cpu };

/// Facts of the machine a variant is compiled for; enough to reject by arithmetic what cannot run there.
struct TargetFacts {
    DeviceKind kind = DeviceKind::cuda;
    int arch = 90;                   ///< compute capability x 10; 0 on a CPU
    std::string arch_name = "sm_90a";///< what the compiler is told: sm_80, sm_90a; "native" on a CPU
    int sm_count = 132;              ///< multiprocessors, or hardware threads on a CPU
    std::int64_t shared_limit_bytes = 232448;
    std::int64_t shared_per_sm_bytes = 233472;
    int registers_per_sm = 65536;
};

/// Facts of `arch` ("sm_80", "sm_90a") from NVIDIA's tables, for compiling with no GPU present. InputError when unknown.
[[nodiscard]] TargetFacts target_facts(const std::string& arch_name);

/// Shape of a call, for geometry expressions.
struct CallShape {
    int batch = 1;
    int heads = 1;
    int t_max = 128;
    int max_nnz = 1;
};

struct TensorMapPlan {
    enum class Tensor { q, k, v, o, workspace };
    Tensor tensor = Tensor::q;
    bool fp16 = false;
    int rows = 0;
    int cols = 0;
    int swizzle_bytes = 0;
    std::int64_t workspace_offset_bytes = 0;
};

struct KernelLaunch {
    std::string entry;
    std::array<std::int64_t, 3> grid{1, 1, 1};
    int threads = 1;
    int shared_bytes = 0;
    int cluster = 1;
};

/// How one variant is launched on one shape: plain numbers, ready for the device worker.
struct LaunchPlan {
    std::vector<KernelLaunch> kernels;
    std::vector<TensorMapPlan> tensor_maps;
    std::int64_t workspace_bytes = 0;
    std::int64_t workspace_clear_bytes = 0;
};

/// A file of the source bundle, by the name the compiler includes it under.
struct SourceFile {
    std::string name;
    std::string text;
};

/// Narrows a template's space: which values a study tries, and what more it demands.
struct SpaceRestriction {
    struct Values {
        std::string parameter;
        std::vector<std::string> texts;  ///< values in their `key=value` spelling; the first is the default
    };
    struct Constraint {
        std::string require;
        std::string because;
    };
    std::vector<Values> values;
    std::vector<Constraint> constraints;
    std::string where;  ///< file (and key) it came from, for error messages
};

/// A parsed template folder. Immutable; cheap to copy is not required.
class KernelTemplate {
  public:
    /// Reads `folder`/template.json and the sources beside it. InputError names file, key and what to write instead.
    [[nodiscard]] static KernelTemplate load(const std::filesystem::path& folder);
    /// The same template with fewer values and more constraints. Candidates of the result index the restricted values.
    /// InputError when a parameter or value is unknown, a constraint does not parse, or nothing legal can remain.
    [[nodiscard]] KernelTemplate restricted(const SpaceRestriction& restriction) const;

    ~KernelTemplate();
    KernelTemplate(KernelTemplate&&) noexcept;
    KernelTemplate& operator=(KernelTemplate&&) noexcept;

    [[nodiscard]] const std::string& name() const;
    [[nodiscard]] DeviceKind device() const;
    [[nodiscard]] const std::string& main_source() const;  ///< name of the file to compile
    [[nodiscard]] const std::vector<Parameter>& parameters() const;
    /// Whether the template runs on `target` at all; otherwise the reason, for one line of an error.
    [[nodiscard]] std::string unsupported_reason(const TargetFacts& target) const;

    /// Legality of a candidate (in this template's own parameter order) on `target`: constraints hold.
    [[nodiscard]] bool legal(const Candidate& candidate, const TargetFacts& target) const;
    /// The first constraint a candidate breaks ("because" text), empty when legal.
    [[nodiscard]] std::string violated(const Candidate& candidate, const TargetFacts& target) const;

    /// The generated attune_tune.h of a candidate.
    [[nodiscard]] std::string tune_header(const Candidate& candidate) const;
    /// Every file the compiler may include: the template's own, attune/attn_args.h and attune_tune.h.
    [[nodiscard]] std::vector<SourceFile> source_bundle(const Candidate& candidate) const;
    /// The template's own files, template.json included, for the record (`restore` brings them back).
    [[nodiscard]] const std::vector<SourceFile>& files() const;
    [[nodiscard]] std::vector<std::string> entries() const;  ///< kernel entry names, all of them

    [[nodiscard]] LaunchPlan plan(const Candidate& candidate, const CallShape& shape, const TargetFacts& target) const;

  private:
    struct Impl;
    explicit KernelTemplate(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace attune
