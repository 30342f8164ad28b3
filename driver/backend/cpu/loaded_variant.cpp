#include "backend/cpu/loaded_variant.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace attune::cpu {

void LoadedVariant::Close::operator()(void* handle) const noexcept {
    dlclose(handle);
}

Result<std::unique_ptr<LoadedVariant>> LoadedVariant::open(const Variant& variant) {
    std::error_code error;
    if (!std::filesystem::exists(variant.artifact.path, error)) throw ArtifactMissing(variant.artifact.path);
    Library library(dlopen(variant.artifact.path.c_str(), RTLD_NOW | RTLD_LOCAL));
    if (!library) return Failure{Outcome::launch_error, fmt::format("cannot load the variant: {}", dlerror())};
    std::vector<Plan> plans;
    for (const LaunchPlan& launch_plan : variant.plans) {
        Plan& plan = plans.emplace_back();
        plan.workspace_bytes = launch_plan.workspace_bytes;
        plan.clear_bytes = launch_plan.workspace_clear_bytes;
        for (const KernelLaunch& kernel : launch_plan.kernels) {
            void* symbol = dlsym(library.get(), kernel.entry.c_str());
            if (symbol == nullptr) {
                return Failure{Outcome::launch_error,
                               fmt::format("the source defines no extern \"C\" function '{}'", kernel.entry)};
            }
            plan.entries.push_back(reinterpret_cast<Entry>(symbol));
        }
    }
    return std::unique_ptr<LoadedVariant>(new LoadedVariant(std::move(library), std::move(plans)));
}

Result<bool> LoadedVariant::bind(std::size_t case_index, const AttentionInputs& inputs, std::span<std::uint16_t> o,
                                 std::span<float> lse) {
    const Plan& plan = plans_.at(case_index);
    if (bound_case_ != case_index) {
        bound_case_.reset();
        workspace_ = GuardedBuffer::allocate(static_cast<std::size_t>(plan.workspace_bytes));
        if (!workspace_) {
            return Failure{Outcome::launch_error,
                           fmt::format("no room for {} bytes of workspace", plan.workspace_bytes)};
        }
        bound_case_ = case_index;
    }
    args_.q = inputs.q.data();
    args_.k = inputs.k.data();
    args_.v = inputs.v.data();
    args_.o = o.data();
    args_.lse = lse.data();
    args_.row_ptr = inputs.row_ptr.data();
    args_.col_idx = inputs.col_idx.data();
    args_.seq_lens = inputs.seq_lens.data();
    args_.workspace = workspace_->bytes().data();
    args_.batch = inputs.batch;
    args_.heads = inputs.heads;
    args_.t_max = inputs.t_max;
    args_.q_blocks = inputs.t_max / kBlockSize;
    args_.max_nnz = inputs.max_nnz;
    args_.scale = 1.0F / std::sqrt(static_cast<float>(kHeadDim));
    return true;
}

void LoadedVariant::call() const {
    const Plan& plan = plans_[*bound_case_];
    if (plan.clear_bytes > 0) std::memset(args_.workspace, 0, static_cast<std::size_t>(plan.clear_bytes));
    for (const Entry entry : plan.entries)
        entry(&args_);
}

std::string LoadedVariant::repair_guards() {
    return workspace_ ? workspace_->repair_guards() : std::string();
}

}  // namespace attune::cpu
