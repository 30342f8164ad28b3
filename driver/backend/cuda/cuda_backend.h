// The CUDA backend as the rest of the program sees it. Where NVIDIA's headers were missing at build time everything
// here exists too and says so.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/artifact_cache.h"
#include "backend/backend.h"
#include "backend/cuda/library_search.h"
#include "backend/cuda/nvrtc_compiler.h"

namespace attune {

/// Whether this binary was built with NVIDIA's headers.
[[nodiscard]] bool cuda_backend_built();

/// Driver, GPUs and NVRTC, whether they are there and fit each other. Never throws for what is missing.
[[nodiscard]] std::vector<Capability> cuda_capabilities(const LibrarySearch& search);

/// Compute capability times ten of every GPU the driver shows, by ordinal; none without driver.
[[nodiscard]] std::vector<int> cuda_device_archs();

/// How many these are.
[[nodiscard]] int cuda_device_count();

/// What a CUDA device is made of.
struct CudaDeviceOptions {
    int ordinal = 0;
    LibrarySearch search;        ///< for NVRTC, which compiles the driver's own kernels
    std::string attune_version;  ///< for the record
};

/// One NVIDIA GPU, used by the thread that made it. Candidates run in this process's context: one that faults leaves it
/// unusable, which `poisoned` tells.
class CudaDevice : public Device {
  public:
    /// Takes the GPU's primary context and compiles the driver's own kernels into `cache`. EnvironmentError says what
    /// is missing.
    CudaDevice(const CudaDeviceOptions& options, ArtifactCache cache);
    ~CudaDevice() override;
    CudaDevice(CudaDevice&&) noexcept;
    CudaDevice& operator=(CudaDevice&&) noexcept;

    [[nodiscard]] TargetFacts target() override;
    [[nodiscard]] EnvironmentFacts environment() override;
    void open_suite(const Suite& suite) override;
    [[nodiscard]] Result<bool> load(Slot slot, const Variant& variant) override;
    [[nodiscard]] Result<CheckReport> check(Slot slot, std::size_t case_index, Draw draw) override;
    [[nodiscard]] Result<Samples> time(Slot slot, std::size_t case_index, const SampleRequest& request) override;
    [[nodiscard]] Result<PairedSamples> pair(std::size_t case_index, int pairs) override;

    /// Whether a candidate's fault has left the context unusable: the process must be replaced.
    [[nodiscard]] bool poisoned() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace attune
