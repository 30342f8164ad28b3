#include "backend/cuda/handles.h"

#include <fmt/format.h>

#include "core/error.h"

namespace attune::cuda {

CudaStatus load_module(const DriverPtr& api, std::span<const std::byte> cubin, Module& module) {
    CUmodule handle = nullptr;
    CudaStatus status = check(*api, api->cuModuleLoadData(&handle, cubin.data()), "cuModuleLoadData");
    if (status.ok()) module = Module(api, handle);
    return status;
}

Stream make_stream(const DriverPtr& api) {
    CUstream handle = nullptr;
    require(*api, api->cuStreamCreate(&handle, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    return {api, handle};
}

Event make_event(const DriverPtr& api) {
    CUevent handle = nullptr;
    require(*api, api->cuEventCreate(&handle, CU_EVENT_DEFAULT), "cuEventCreate");
    return {api, handle};
}

DeviceBuffer::DeviceBuffer(const DriverPtr& api, std::size_t bytes) {
    require(allocate(api, bytes, *this));
}

CudaStatus DeviceBuffer::allocate(const DriverPtr& api, std::size_t bytes, DeviceBuffer& buffer) {
    buffer = DeviceBuffer();
    if (bytes == 0) return {};
    CUdeviceptr address = 0;
    CudaStatus status = check(*api, api->cuMemAlloc(&address, bytes), fmt::format("cuMemAlloc of {} bytes", bytes));
    if (!status.ok()) return status;
    buffer.memory_ = {api, address};
    buffer.bytes_ = bytes;
    return status;
}

Context::Context(DriverPtr api, int ordinal) : api_(std::move(api)) {
    int count = 0;
    require(*api_, api_->cuDeviceGetCount(&count), "cuDeviceGetCount");
    if (ordinal < 0 || ordinal >= count) {
        throw EnvironmentError(
            fmt::format("there is no GPU cuda:{}: the driver shows {}; see `nvidia-smi -L` and "
                        "CUDA_VISIBLE_DEVICES",
                        ordinal, count));
    }
    require(*api_, api_->cuDeviceGet(&device_, ordinal), "cuDeviceGet");
    require(*api_, api_->cuDevicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain");
    // Nothing above throws once the context is retained, so the destructor's part is safe from here on.
    const CUresult current = api_->cuCtxSetCurrent(context_);
    if (current != CUDA_SUCCESS) {
        static_cast<void>(api_->cuDevicePrimaryCtxRelease(device_));
        require(*api_, current, "cuCtxSetCurrent");
    }
}

Context::~Context() {
    if (context_ != nullptr) static_cast<void>(api_->cuDevicePrimaryCtxRelease(device_));
}

Context::Context(Context&& other) noexcept
    : api_(other.api_), device_(other.device_), context_(std::exchange(other.context_, nullptr)) {}

int Context::attribute(CUdevice_attribute attribute) const {
    int value = 0;
    require(*api_, api_->cuDeviceGetAttribute(&value, attribute, device_), "cuDeviceGetAttribute");
    return value;
}

void upload(const DriverApi& api, CUstream stream, CUdeviceptr device, std::span<const std::byte> host) {
    require(api, api.cuMemcpyHtoDAsync(device, host.data(), host.size(), stream), "cuMemcpyHtoDAsync");
    require(api, api.cuStreamSynchronize(stream), "cuStreamSynchronize");
}

void download(const DriverApi& api, CUstream stream, std::span<std::byte> host, CUdeviceptr device) {
    require(api, api.cuMemcpyDtoHAsync(host.data(), device, host.size(), stream), "cuMemcpyDtoHAsync");
    require(api, api.cuStreamSynchronize(stream), "cuStreamSynchronize");
}

}  // namespace attune::cuda
