#include "backend/cuda/loaded_variant.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <limits>

#include "backend/cuda/cubin.h"
#include "backend/cuda/guard.h"

namespace attune::cuda {
namespace {

/// Clusters up to here run on every GPU that knows clusters; larger ones must be asked for.
constexpr int kPortableCluster = 8;

/// A plan's workspace in whole words, as guard bands are.
std::size_t workspace_bytes(const LaunchPlan& plan) {
    const auto bytes = static_cast<std::size_t>(std::max(plan.workspace_bytes, plan.workspace_clear_bytes));
    return (bytes + sizeof(unsigned) - 1) / sizeof(unsigned) * sizeof(unsigned);
}

CudaStatus refused(CUresult code, std::string text) {
    return {code, std::move(text)};
}

/// A launch as the driver takes it, or why it cannot.
CudaStatus to_shape(const KernelLaunch& launch, LaunchShape& shape) {
    const auto fits = [](std::int64_t value) { return value >= 1 && value <= std::numeric_limits<int>::max(); };
    if (!std::ranges::all_of(launch.grid, fits) || !fits(launch.threads) || !fits(launch.cluster) ||
        launch.shared_bytes < 0) {
        return refused(CUDA_ERROR_INVALID_VALUE,
                       fmt::format("{}: impossible launch: grid {}, {} threads, {} bytes of shared memory, cluster {}",
                                   launch.entry, fmt::join(launch.grid, " x "), launch.threads, launch.shared_bytes,
                                   launch.cluster));
    }
    shape = {static_cast<unsigned>(launch.grid[0]),      static_cast<unsigned>(launch.grid[1]),
             static_cast<unsigned>(launch.grid[2]),      static_cast<unsigned>(launch.threads),
             static_cast<unsigned>(launch.shared_bytes), static_cast<unsigned>(launch.cluster)};
    return {};
}

void* tensor_address(const TensorMapPlan& plan, const AttnArgs& args) {
    const auto writable = [](const unsigned short* tensor) { return const_cast<unsigned short*>(tensor); };
    switch (plan.tensor) {
        case TensorMapPlan::Tensor::q:
            return writable(args.q);
        case TensorMapPlan::Tensor::k:
            return writable(args.k);
        case TensorMapPlan::Tensor::v:
            return writable(args.v);
        case TensorMapPlan::Tensor::o:
            return args.o;
        case TensorMapPlan::Tensor::workspace:
            return static_cast<std::byte*>(args.workspace) + plan.workspace_offset_bytes;
    }
    return nullptr;
}

CUtensorMapSwizzle to_swizzle(int bytes) {
    switch (bytes) {
        case 32:
            return CU_TENSOR_MAP_SWIZZLE_32B;
        case 64:
            return CU_TENSOR_MAP_SWIZZLE_64B;
        case 128:
            return CU_TENSOR_MAP_SWIZZLE_128B;
        default:  // template.json admits 0 beside them
            return CU_TENSOR_MAP_SWIZZLE_NONE;
    }
}

/// Over a (batch * heads, t_max, 128) tensor of 16-bit elements, boxes of one head's rows x cols.
CudaStatus encode(const DriverApi& api, const TensorMapPlan& plan, const AttnArgs& args, AttnTensorMap& encoded) {
    const auto rows = static_cast<cuuint64_t>(args.t_max);
    const auto heads = static_cast<cuuint64_t>(args.batch) * static_cast<cuuint64_t>(args.heads);
    const cuuint64_t row_bytes = kHeadDim * sizeof(unsigned short);
    const std::array<cuuint64_t, 3> extent{kHeadDim, rows, heads};
    const std::array<cuuint64_t, 2> stride_bytes{row_bytes, row_bytes * rows};
    const std::array<cuuint32_t, 3> box{static_cast<cuuint32_t>(plan.cols), static_cast<cuuint32_t>(plan.rows), 1};
    const std::array<cuuint32_t, 3> element_stride{1, 1, 1};
    CUtensorMap map{};
    CudaStatus status = check(
        api,
        api.cuTensorMapEncodeTiled(&map, plan.fp16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                                   3, tensor_address(plan, args), extent.data(), stride_bytes.data(), box.data(),
                                   element_stride.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, to_swizzle(plan.swizzle_bytes),
                                   CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
        fmt::format("cuTensorMapEncodeTiled of a {} x {} box, swizzle {}", plan.rows, plan.cols, plan.swizzle_bytes));
    static_assert(sizeof map == sizeof encoded);
    if (status.ok()) std::memcpy(&encoded, &map, sizeof map);
    return status;
}

}  // namespace

CudaStatus PreparedCall::enqueue(const DriverApi& api, CUstream stream) const {
    if (clear_bytes_ > 0) {
        const auto workspace = reinterpret_cast<CUdeviceptr>(args_.workspace);
        CudaStatus status = check(api, api.cuMemsetD8Async(workspace, 0, clear_bytes_, stream), "cuMemsetD8Async");
        if (!status.ok()) return status;
    }
    for (const Kernel& kernel : kernels_) {
        const CUresult code = launch(api, stream, kernel.function, kernel.shape, &args_);
        // The words are built for a refusal only: this runs between two events.
        if (code != CUDA_SUCCESS) return check(api, code, fmt::format("cuLaunchKernelEx of {}", kernel.entry));
    }
    return {};
}

CudaStatus LoadedVariant::load(const DriverPtr& api, const Variant& variant, LoadedVariant& loaded) {
    loaded = LoadedVariant();
    if (!std::filesystem::exists(variant.artifact.path)) throw ArtifactMissing(variant.artifact.path);
    std::string why;
    const std::vector<std::byte> cubin = read_cubin(variant.artifact.path, why);
    if (!why.empty()) return refused(CUDA_ERROR_INVALID_IMAGE, fmt::format("{}: {}", variant.artifact.path, why));
    CudaStatus status = load_module(api, cubin, loaded.module_);
    loaded.plans_ = variant.plans;
    if (status.ok()) status = loaded.reserve(api);
    return status;
}

CUfunction LoadedVariant::function(const std::string& entry) const {
    const auto found = std::ranges::find(functions_, entry, &std::pair<std::string, CUfunction>::first);
    return found == functions_.end() ? nullptr : found->second;
}

CudaStatus LoadedVariant::reserve(const DriverPtr& api) {
    std::size_t largest = 0;
    for (const LaunchPlan& plan : plans_) {
        largest = std::max(largest, workspace_bytes(plan));
        for (const KernelLaunch& launch : plan.kernels) {
            if (function(launch.entry) == nullptr) {
                CUfunction found = nullptr;
                CudaStatus status = find_function(*api, module_, launch.entry, found);
                if (!status.ok()) return status;
                functions_.emplace_back(launch.entry, found);
            }
        }
    }
    for (const auto& [entry, function] : functions_) {
        int shared_bytes = 0;
        int cluster = 1;
        for (const LaunchPlan& plan : plans_) {
            for (const KernelLaunch& launch : plan.kernels) {
                if (launch.entry != entry) continue;
                shared_bytes = std::max(shared_bytes, launch.shared_bytes);
                cluster = std::max(cluster, launch.cluster);
            }
        }
        CudaStatus status = check(
            *api, api->cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes),
            fmt::format("cuFuncSetAttribute of {}: {} bytes of dynamic shared memory", entry, shared_bytes));
        if (status.ok() && cluster > kPortableCluster) {
            status =
                check(*api, api->cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1),
                      fmt::format("cuFuncSetAttribute of {}: cluster of {}", entry, cluster));
        }
        if (!status.ok()) return status;
    }
    return largest == 0 ? CudaStatus{} : DeviceBuffer::allocate(api, largest + kGuardBytes, workspace_);
}

CudaStatus LoadedVariant::renew_workspace(const DriverApi& api, CUstream stream, std::size_t bytes) {
    workspace_bytes_ = bytes;
    if (bytes == 0) return {};
    CudaStatus status = check(api, api.cuMemsetD8Async(workspace_.address(), 0, bytes, stream), "cuMemsetD8Async");
    if (!status.ok()) return status;
    return check(api, api.cuMemsetD32Async(workspace_.address() + bytes, kGuardPattern, kGuardWords, stream),
                 "cuMemsetD32Async");
}

const unsigned* LoadedVariant::workspace_guard() const {
    return workspace_bytes_ == 0 ? nullptr : reinterpret_cast<const unsigned*>(workspace_.address() + workspace_bytes_);
}

CudaStatus LoadedVariant::prepare(const DriverApi& api, CUstream stream, std::size_t case_index, const AttnArgs& args,
                                  PreparedCall& call) {
    const LaunchPlan& plan = plans_.at(case_index);
    const std::pair shape{case_index, args.max_nnz};
    if (workspace_shape_ != shape) {
        CudaStatus status = renew_workspace(api, stream, workspace_bytes(plan));
        if (!status.ok()) return status;
        workspace_shape_ = shape;
    }

    call = PreparedCall();
    call.args_ = args;
    call.args_.workspace = workspace_bytes_ == 0 ? nullptr : workspace_.as<void>();
    call.clear_bytes_ = static_cast<std::size_t>(plan.workspace_clear_bytes);
    for (const KernelLaunch& kernel : plan.kernels) {
        LaunchShape launch_shape;
        CudaStatus status = to_shape(kernel, launch_shape);
        if (!status.ok()) return status;
        call.kernels_.push_back({kernel.entry, function(kernel.entry), launch_shape});
    }
    if (plan.tensor_maps.size() > std::size(call.args_.maps)) {
        return refused(CUDA_ERROR_INVALID_VALUE, fmt::format("{} tensor maps, of at most {}", plan.tensor_maps.size(),
                                                             std::size(call.args_.maps)));
    }
    for (std::size_t i = 0; i < plan.tensor_maps.size(); ++i) {
        CudaStatus status = encode(api, plan.tensor_maps[i], call.args_, call.args_.maps[i]);
        if (!status.ok()) return status;
    }
    return {};
}

}  // namespace attune::cuda
