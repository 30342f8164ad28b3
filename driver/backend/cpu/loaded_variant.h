// A shared object in the process, ready to be called on a case.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "attune/attn_args.h"
#include "backend/backend.h"
#include "backend/cpu/guarded_buffer.h"
#include "core/reference.h"

namespace attune::cpu {

class LoadedVariant {
  public:
    /// Opens the object and finds the entries of every plan; a launch_error when either fails. Throws ArtifactMissing.
    [[nodiscard]] static Result<std::unique_ptr<LoadedVariant>> open(const Variant& variant);

    /// Points the arguments at a case's inputs and outputs. Another case than the last one gets a fresh workspace,
    /// zeroed; the same case keeps it, as repeated calls on a GPU do. A launch_error when there is no room for it.
    [[nodiscard]] Result<bool> bind(std::size_t case_index, const AttentionInputs& inputs, std::span<std::uint16_t> o,
                                    std::span<float> lse);
    /// One whole call: the workspace's leading bytes cleared, then every entry in launch order.
    void call() const;
    /// As GuardedBuffer's, for the workspace.
    [[nodiscard]] std::string repair_guards();

  private:
    using Entry = void (*)(const AttnArgs*);
    struct Close {
        void operator()(void* handle) const noexcept;
    };
    using Library = std::unique_ptr<void, Close>;
    struct Plan {
        std::vector<Entry> entries;
        std::int64_t workspace_bytes = 0;
        std::int64_t clear_bytes = 0;
    };
    LoadedVariant(Library library, std::vector<Plan> plans) : library_(std::move(library)), plans_(std::move(plans)) {}

    Library library_;
    std::vector<Plan> plans_;  ///< by case
    std::optional<std::size_t> bound_case_;
    std::optional<GuardedBuffer> workspace_;
    AttnArgs args_{};
};

}  // namespace attune::cpu
