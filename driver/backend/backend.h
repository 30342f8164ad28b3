// The seam between the loop and whatever compiles and runs kernels.
//
// Two interfaces, because they live in different processes: compilers may hang, crash or eat memory without touching a
// device, and a device process holds a context that a bad kernel can poison. `cuda/` and `cpu/` implement both, the
// proxies in worker/ implement both across a process border, and the tests implement both as doubles.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/kernel_template.h"
#include "core/measurement.h"
#include "core/outcome.h"
#include "core/workload.h"

namespace attune {

/// One variant to compile. Self-contained: the compiler reads no file but its own cache.
struct CompileJob {
    std::vector<SourceFile> sources;   ///< bundle of KernelTemplate::source_bundle
    std::string main_source;           ///< name of the file to compile
    std::vector<std::string> entries;  ///< kernels whose resources are reported
    DeviceKind kind = DeviceKind::cuda;
    std::string arch_name;  ///< "sm_90a"; "native" on a CPU
};

class Compiler {
  public:
    virtual ~Compiler() = default;
    /// Compiles or fetches from the cache. A compile error is a Failure holding the log.
    [[nodiscard]] virtual Result<Artifact> compile(const CompileJob& job) = 0;
    /// From any thread: makes the call in flight fail soon. Only what runs elsewhere can be interrupted.
    virtual void interrupt() {}
};

/// A compiled variant with its launch plan for every case of the suite, in suite order.
struct Variant {
    Artifact artifact;
    std::vector<LaunchPlan> plans;
};

/// The file of an artifact that was compiled is gone (somebody cleaned the cache): compile it again.
class ArtifactMissing : public std::runtime_error {
  public:
    explicit ArtifactMissing(const std::string& path) : std::runtime_error(path + " is gone") {}
};

/// Slot of a loaded variant on a device. The loop uses two: challenger and incumbent.
enum class Slot { challenger, incumbent };

/// One device with the cases of a suite materialised on it. Every call is bounded by a deadline of the proxy.
class Device {
  public:
    virtual ~Device() = default;

    [[nodiscard]] virtual TargetFacts target() = 0;
    [[nodiscard]] virtual EnvironmentFacts environment() = 0;
    /// Materialises masks, inputs and references of `suite`, and verifies the device's own reference against the CPU's.
    /// Throws EnvironmentError when they disagree.
    virtual void open_suite(const Suite& suite) = 0;

    /// Whether the slot still has what it was given. A device whose process had to be replaced has lost it.
    [[nodiscard]] virtual bool holds(Slot /*slot*/) { return true; }
    /// Loads a variant; replaces what the slot held. Every call may throw ArtifactMissing for a variant it loads.
    [[nodiscard]] virtual Result<bool> load(Slot slot, const Variant& variant) = 0;
    /// Runs the slot's variant once on NaN-filled outputs and compares with the reference.
    [[nodiscard]] virtual Result<CheckReport> check(Slot slot, std::size_t case_index, Draw draw) = 0;
    /// Times the slot's variant: cold samples with the cache flushed before each, warm ones back to back.
    [[nodiscard]] virtual Result<Samples> time(Slot slot, std::size_t case_index, const SampleRequest& request) = 0;
    /// Times challenger (a) and incumbent (b) in alternation, cold, swapping who goes first from pair to pair.
    [[nodiscard]] virtual Result<PairedSamples> pair(std::size_t case_index, int pairs) = 0;
    /// As Compiler::interrupt.
    virtual void interrupt() {}
};

/// What a machine offers, for `doctor` and for `--device auto`.
struct Capability {
    std::string what;  ///< "CUDA driver", "NVRTC", "system compiler"
    bool available = false;
    std::string detail;  ///< version, or why it is missing
    std::string remedy;  ///< command that mends it, empty when available
};

}  // namespace attune
