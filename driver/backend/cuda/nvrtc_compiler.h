// CUDA sources to cubins through NVRTC, with a cache of our own: NVRTC recompiles identical sources at full cost.
#pragma once

#include <memory>
#include <string>

#include "backend/artifact_cache.h"
#include "backend/backend.h"
#include "backend/cuda/library_search.h"

namespace attune {

/// Compiles in this process. NVRTC can crash, hang and eat memory on hostile sources, so candidates belong in a worker.
class NvrtcCompiler : public Compiler {
  public:
    /// EnvironmentError when no NVRTC can be loaded.
    NvrtcCompiler(const LibrarySearch& search, ArtifactCache cache);
    ~NvrtcCompiler() override;
    NvrtcCompiler(NvrtcCompiler&&) noexcept;
    NvrtcCompiler& operator=(NvrtcCompiler&&) noexcept;

    /// A Failure when the sources do not compile or define no such entries. EnvironmentError when this NVRTC does not
    /// know the architecture or cannot run at all.
    [[nodiscard]] Result<Artifact> compile(const CompileJob& job) override;

    /// "NVRTC 13.0"
    [[nodiscard]] std::string version() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace attune
