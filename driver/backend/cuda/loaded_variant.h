// A candidate on the GPU: its module, its workspace, and its calls ready to be enqueued.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attune/attn_args.h"
#include "backend/backend.h"
#include "backend/cuda/device_kernels.h"

namespace attune::cuda {

/// One call of a variant on one draw: everything but the launches themselves is done.
class PreparedCall {
  public:
    /// Clears what the call wants cleared and launches its kernels, in order, without waiting.
    CudaStatus enqueue(const DriverApi& api, CUstream stream) const;

  private:
    friend class LoadedVariant;
    struct Kernel {
        std::string entry;
        CUfunction function = nullptr;
        LaunchShape shape;
    };
    AttnArgs args_{};
    std::vector<Kernel> kernels_;
    std::size_t clear_bytes_ = 0;
};

class LoadedVariant {
  public:
    /// Reads and loads the artifact and reserves what its plans ask for. What fails here is the candidate's doing.
    /// ArtifactMissing when the file is gone.
    static CudaStatus load(const DriverPtr& api, const Variant& variant, LoadedVariant& loaded);

    /// The call of case `case_index` on the tensors of `args`, which name no workspace and no tensor maps yet. The
    /// workspace is as if newly allocated whenever the shape differs from the last call's.
    CudaStatus prepare(const DriverApi& api, CUstream stream, std::size_t case_index, const AttnArgs& args,
                       PreparedCall& call);

    /// The guard band after the workspace of the call last prepared; nullptr when it has no workspace.
    [[nodiscard]] const unsigned* workspace_guard() const;

  private:
    CudaStatus reserve(const DriverPtr& api);
    CudaStatus renew_workspace(const DriverApi& api, CUstream stream, std::size_t bytes);
    [[nodiscard]] CUfunction function(const std::string& entry) const;

    std::vector<LaunchPlan> plans_;
    Module module_;
    std::vector<std::pair<std::string, CUfunction>> functions_;
    DeviceBuffer workspace_;           ///< of the largest plan, and a guard band
    std::size_t workspace_bytes_ = 0;  ///< of the call last prepared, in whole words
    /// Case and max_nnz of the last call. A template may lay its workspace out by shape, and finds it zeroed once.
    std::optional<std::pair<std::size_t, int>> workspace_shape_;
};

}  // namespace attune::cuda
