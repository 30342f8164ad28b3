// Move-only owners of driver handles. Destructors ignore errors: a poisoned context refuses to free, and the process
// that holds it is about to be replaced.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "backend/cuda/library.h"
#include "backend/cuda/status.h"

namespace attune::cuda {

using DriverPtr = std::shared_ptr<const DriverApi>;

/// Owns one handle that `Release`, a member of DriverApi, gives back.
template <class Handle, auto Release>
class DriverHandle {
  public:
    DriverHandle() = default;
    DriverHandle(DriverPtr api, Handle handle) : api_(std::move(api)), handle_(handle) {}
    ~DriverHandle() {
        if (handle_ != Handle{}) static_cast<void>(((*api_).*Release)(handle_));
    }
    DriverHandle(DriverHandle&& other) noexcept
        : api_(std::move(other.api_)), handle_(std::exchange(other.handle_, Handle{})) {}
    DriverHandle& operator=(DriverHandle&& other) noexcept {
        std::swap(api_, other.api_);
        std::swap(handle_, other.handle_);
        return *this;
    }

    [[nodiscard]] Handle get() const { return handle_; }

  private:
    DriverPtr api_;
    Handle handle_{};
};

using Module = DriverHandle<CUmodule, &DriverApi::cuModuleUnload>;
using Stream = DriverHandle<CUstream, &DriverApi::cuStreamDestroy>;
using Event = DriverHandle<CUevent, &DriverApi::cuEventDestroy>;

/// Loads a cubin into the current context.
CudaStatus load_module(const DriverPtr& api, std::span<const std::byte> cubin, Module& module);
/// A stream that does not wait for the legacy default stream.
[[nodiscard]] Stream make_stream(const DriverPtr& api);
[[nodiscard]] Event make_event(const DriverPtr& api);

/// Device memory, 256-byte aligned or better.
class DeviceBuffer {
  public:
    DeviceBuffer() = default;
    /// EnvironmentError when the device has no such room. 0 bytes hold nothing.
    DeviceBuffer(const DriverPtr& api, std::size_t bytes);
    /// The same for memory that a candidate asks for, where lack of it is the candidate's failure.
    static CudaStatus allocate(const DriverPtr& api, std::size_t bytes, DeviceBuffer& buffer);

    [[nodiscard]] CUdeviceptr address() const { return memory_.get(); }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    template <class T>
    [[nodiscard]] T* as() const {
        return reinterpret_cast<T*>(memory_.get());
    }

  private:
    DriverHandle<CUdeviceptr, &DriverApi::cuMemFree> memory_;
    std::size_t bytes_ = 0;
};

/// The primary context of a GPU, current in the thread that made it.
class Context {
  public:
    /// EnvironmentError when there is no such device or it is taken.
    Context(DriverPtr api, int ordinal);
    ~Context();
    Context(Context&& other) noexcept;
    Context& operator=(Context&&) = delete;

    [[nodiscard]] CUdevice device() const { return device_; }
    [[nodiscard]] int attribute(CUdevice_attribute attribute) const;

  private:
    DriverPtr api_;
    CUdevice device_ = 0;
    CUcontext context_ = nullptr;
};

/// Copies `host` to `device` and waits for it.
void upload(const DriverApi& api, CUstream stream, CUdeviceptr device, std::span<const std::byte> host);
/// Copies `device` to `host` and waits for it and for all that `stream` was given before.
void download(const DriverApi& api, CUstream stream, std::span<std::byte> host, CUdeviceptr device);

}  // namespace attune::cuda
