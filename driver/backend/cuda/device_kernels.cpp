#include "backend/cuda/device_kernels.h"

#include <fmt/format.h>

#include <array>

#include "backend/cuda/cubin.h"
#include "backend/cuda/device_code.h"
#include "core/error.h"

namespace attune::cuda {
namespace {

/// What reference.cuh asserts of its tile.
constexpr unsigned kReferenceSharedBytes = 84992;
constexpr unsigned kReferenceRows = 64;

std::vector<std::byte> compiled(Compiler& compiler, const std::string& arch_name, std::string& compiler_name) {
    const Result<Artifact> artifact = compiler.compile(device_code_job(arch_name));
    if (!artifact.ok()) {
        const std::string& log = artifact.failure().diagnostics;
        throw EnvironmentError(
            fmt::format("the driver's own kernels do not compile for {}: {}; try another NVRTC "
                        "through ATTUNE_NVRTC",
                        arch_name, log.substr(0, log.find('\n'))));
    }
    compiler_name = artifact.value().compiler;
    std::string why;
    std::vector<std::byte> cubin = read_cubin(artifact.value().path, why);
    if (!why.empty()) throw EnvironmentError(fmt::format("{}: {}; delete it", artifact.value().path, why));
    return cubin;
}

}  // namespace

CUresult launch(const DriverApi& api, CUstream stream, CUfunction function, const LaunchShape& shape,
                const void* args) {
    CUlaunchAttribute cluster{};
    cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    cluster.value.clusterDim.x = shape.cluster;
    cluster.value.clusterDim.y = 1;
    cluster.value.clusterDim.z = 1;

    CUlaunchConfig config{};
    config.gridDimX = shape.grid_x;
    config.gridDimY = shape.grid_y;
    config.gridDimZ = shape.grid_z;
    config.blockDimX = shape.threads;
    config.blockDimY = 1;
    config.blockDimZ = 1;
    config.sharedMemBytes = shape.shared_bytes;
    config.hStream = stream;
    config.attrs = &cluster;
    config.numAttrs = shape.cluster > 1 ? 1 : 0;  // GPUs before Hopper know no clusters, not even of one
    std::array<void*, 1> parameters{const_cast<void*>(args)};
    return api.cuLaunchKernelEx(&config, function, parameters.data(), nullptr);
}

CudaStatus find_function(const DriverApi& api, const Module& module, const std::string& name, CUfunction& function) {
    return check(api, api.cuModuleGetFunction(&function, module.get(), name.c_str()),
                 fmt::format("cuModuleGetFunction of {}", name));
}

DeviceKernels::DeviceKernels(DriverPtr api, CUstream stream, Compiler& compiler, const std::string& arch_name,
                             int sm_count)
    : api_(std::move(api)), stream_(stream), wide_blocks_(8 * static_cast<unsigned>(sm_count)) {
    const std::vector<std::byte> cubin = compiled(compiler, arch_name, compiler_name_);
    const CudaStatus loaded = load_module(api_, cubin, module_);
    if (!loaded.ok()) {
        throw EnvironmentError(
            fmt::format("the GPU does not take what {} compiled: {}; update the driver, or use an "
                        "NVRTC no newer than CUDA {}.{} through ATTUNE_NVRTC",
                        compiler_name_, loaded.text, api_->cuda_version / 1000, api_->cuda_version % 1000 / 10));
    }
    const auto find = [&](const char* name, CUfunction& function) {
        require(find_function(*api_, module_, name, function));
    };
    find("attune_generate", generate_);
    find("attune_reference", reference_);
    find("attune_compare", compare_);
    find("attune_guards", guards_);
    find("attune_checksum", checksum_);
    find("attune_flush", flush_);
    find("attune_delay", delay_);
    require(
        *api_,
        api_->cuFuncSetAttribute(reference_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, kReferenceSharedBytes),
        "cuFuncSetAttribute");
}

template <class Args>
CudaStatus DeviceKernels::launch_wide(CUfunction function, const Args& args) const {
    return check(*api_, launch(*api_, stream_, function, {.grid_x = wide_blocks_, .threads = kDeviceThreads}, &args),
                 "cuLaunchKernelEx");
}

CudaStatus DeviceKernels::generate(const GenerateArgs& args) const {
    return launch_wide(generate_, args);
}
CudaStatus DeviceKernels::compare(const CompareArgs& args) const {
    return launch_wide(compare_, args);
}
CudaStatus DeviceKernels::guards(const GuardArgs& args) const {
    return launch_wide(guards_, args);
}
CudaStatus DeviceKernels::checksum(const ChecksumArgs& args) const {
    return launch_wide(checksum_, args);
}
CudaStatus DeviceKernels::flush(const FlushArgs& args) const {
    return launch_wide(flush_, args);
}

CudaStatus DeviceKernels::reference(const AttnArgs& args) const {
    const LaunchShape shape{.grid_x = static_cast<unsigned>(args.t_max) / kReferenceRows,
                            .grid_y = static_cast<unsigned>(args.heads),
                            .grid_z = static_cast<unsigned>(args.batch),
                            .threads = kDeviceThreads,
                            .shared_bytes = kReferenceSharedBytes};
    return check(*api_, launch(*api_, stream_, reference_, shape, &args), "cuLaunchKernelEx");
}

CudaStatus DeviceKernels::delay(const DelayArgs& args) const {
    return check(*api_, launch(*api_, stream_, delay_, {}, &args), "cuLaunchKernelEx");
}

}  // namespace attune::cuda
