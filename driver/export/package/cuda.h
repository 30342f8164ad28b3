namespace detail {

inline void check(CUresult code, const char* what) {
    if (code == CUDA_SUCCESS) return;
    const char* words = nullptr;
    if (cuGetErrorString(code, &words) != CUDA_SUCCESS || words == nullptr) words = "unknown error";
    throw std::runtime_error(std::string("block_sparse_attn: ") + what + ": " + words);
}

/// A module of the current context, unloaded at the end.
class Module {
  public:
    explicit Module(const std::string& path) {
        std::ifstream file(path, std::ios::binary);
        const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        if (!file || bytes.empty()) throw std::runtime_error("block_sparse_attn: cannot read " + path);
        check(cuModuleLoadData(&handle_, bytes.data()), path.c_str());
    }
    ~Module() {
        if (handle_ != nullptr) cuModuleUnload(handle_);
    }
    Module(Module&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Module& operator=(Module&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }

    CUfunction function(const Kernel& kernel) const {
        constexpr unsigned kPortableCluster = 8;
        CUfunction found = nullptr;
        check(cuModuleGetFunction(&found, handle_, kernel.entry), kernel.entry);
        check(cuFuncSetAttribute(found, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                 static_cast<int>(kernel.shared_bytes)),
              kernel.entry);
        if (kernel.cluster > kPortableCluster) {
            check(cuFuncSetAttribute(found, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1), kernel.entry);
        }
        return found;
    }

  private:
    CUmodule handle_ = nullptr;
};

/// Device memory, freed at the end.
class Memory {
  public:
    Memory() = default;
    explicit Memory(std::size_t bytes) : bytes_(bytes) {
        if (bytes > 0) check(cuMemAlloc(&address_, bytes), "allocating the workspace");
    }
    ~Memory() {
        if (address_ != 0) cuMemFree(address_);
    }
    Memory(Memory&& other) noexcept
        : address_(std::exchange(other.address_, 0)), bytes_(std::exchange(other.bytes_, 0)) {}
    Memory& operator=(Memory&& other) noexcept {
        std::swap(address_, other.address_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    CUdeviceptr address() const { return address_; }
    std::size_t bytes() const { return bytes_; }

  private:
    CUdeviceptr address_ = 0;
    std::size_t bytes_ = 0;
};

inline CUtensorMapSwizzle swizzle(int bytes) {
    switch (bytes) {
        case 32: return CU_TENSOR_MAP_SWIZZLE_32B;
        case 64: return CU_TENSOR_MAP_SWIZZLE_64B;
        case 128: return CU_TENSOR_MAP_SWIZZLE_128B;
        default: return CU_TENSOR_MAP_SWIZZLE_NONE;
    }
}

inline void* address_of(MapTensor tensor, const AttnArgs& args) {
    switch (tensor) {
        case MapTensor::q: return const_cast<unsigned short*>(args.q);
        case MapTensor::k: return const_cast<unsigned short*>(args.k);
        case MapTensor::v: return const_cast<unsigned short*>(args.v);
        case MapTensor::o: return args.o;
        case MapTensor::workspace: return args.workspace;
    }
    return nullptr;
}

/// Over a (batch * heads, t_max, 128) tensor of 16-bit elements.
inline void encode(const TensorMap& map, std::int64_t offset_bytes, const AttnArgs& args, AttnTensorMap& encoded) {
    const auto rows = static_cast<cuuint64_t>(args.t_max);
    const cuuint64_t row_bytes = kHeadDim * sizeof(unsigned short);
    const cuuint64_t heads = static_cast<cuuint64_t>(args.batch) * static_cast<cuuint64_t>(args.heads);
    const cuuint64_t extent[3] = {kHeadDim, rows, heads};
    const cuuint64_t stride_bytes[2] = {row_bytes, row_bytes * rows};
    const cuuint32_t box[3] = {map.cols, map.rows, 1};
    const cuuint32_t element_stride[3] = {1, 1, 1};
    CUtensorMap result{};
    check(cuTensorMapEncodeTiled(
              &result, map.fp16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3,
              static_cast<char*>(address_of(map.tensor, args)) + offset_bytes, extent, stride_bytes, box,
              element_stride, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle(map.swizzle_bytes),
              CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
          "cuTensorMapEncodeTiled");
    std::memcpy(&encoded, &result, sizeof encoded);
}

inline void launch(CUfunction function, const Kernel& kernel, const Launch& shape, AttnArgs& args, CUstream stream) {
    CUlaunchAttribute cluster{};
    cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    cluster.value.clusterDim.x = kernel.cluster;
    cluster.value.clusterDim.y = 1;
    cluster.value.clusterDim.z = 1;
    CUlaunchConfig config{};
    config.gridDimX = shape.grid[0];
    config.gridDimY = shape.grid[1];
    config.gridDimZ = shape.grid[2];
    config.blockDimX = kernel.threads;
    config.blockDimY = 1;
    config.blockDimZ = 1;
    config.sharedMemBytes = kernel.shared_bytes;
    config.hStream = stream;
    config.attrs = &cluster;
    config.numAttrs = kernel.cluster > 1 ? 1 : 0;  // GPUs before Hopper know no clusters, not even of one
    void* parameters[1] = {&args};
    check(cuLaunchKernelEx(&config, function, parameters, nullptr), kernel.entry);
}

}  // namespace detail

/// The package's kernels, loaded into the context that is current at construction, which must be current at every use
/// and at destruction. Move-only; one thread at a time.
class Kernels {
  public:
    /// Loads every variant below `folder`, the package's. std::runtime_error when the GPU or the driver refuses one.
    explicit Kernels(const std::string& folder) {
        for (const detail::Variant& variant : detail::variants()) {
            Loaded& loaded = loaded_.emplace_back(detail::Module(folder + "/" + variant.file));
            for (const detail::Kernel& kernel : variant.kernels) {
                loaded.functions.push_back(loaded.module.function(kernel));
            }
        }
        CUdevice device = 0;
        detail::check(cuCtxGetDevice(&device), "cuCtxGetDevice");
        const auto attribute = [device](CUdevice_attribute code) {
            int value = 0;
            detail::check(cuDeviceGetAttribute(&value, code, device), "cuDeviceGetAttribute");
            return value;
        };
        facts_.sm_count = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
        facts_.shared_limit = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
        facts_.shared_per_sm = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
        facts_.registers_per_sm = attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR);
        facts_.arch = 10 * attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) +
                      attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    }

    /// Enqueues the call on `stream` without waiting. `v_abs_max` bounds |v| as far as the caller knows.
    /// std::invalid_argument when the shape is none of the operator's, or a variant takes only smaller v.
    void run(const Shape& shape, const Tensors& tensors, CUstream stream, Family family = Family::unknown,
             double v_abs_max = detail::infinity()) {
        detail::check_shape(shape, tensors);
        const std::size_t index = detail::choose_variant(shape, family, v_abs_max);
        const detail::Variant& variant = detail::variants()[index];
        const detail::Plan plan(variant, detail::Call(shape, facts_));
        const CUdeviceptr workspace = workspace_of(index, plan, shape, stream);
        AttnArgs args = detail::arguments(shape, tensors, reinterpret_cast<void*>(workspace));
        for (std::size_t i = 0; i < variant.tensor_maps.size(); ++i) {
            detail::encode(variant.tensor_maps[i], plan.map_offsets[i], args, args.maps[i]);
        }
        if (plan.clear_bytes > 0) {
            detail::check(cuMemsetD8Async(workspace, 0, static_cast<std::size_t>(plan.clear_bytes), stream),
                          "cuMemsetD8Async");
        }
        for (std::size_t i = 0; i < variant.kernels.size(); ++i) {
            detail::launch(loaded_[index].functions[i], variant.kernels[i], plan.launches[i], args, stream);
        }
    }

  private:
    struct Workspace {
        detail::Memory memory;
        Shape shape;
        bool used = false;
    };
    struct Loaded {
        explicit Loaded(detail::Module opened) : module(std::move(opened)) {}
        detail::Module module;
        std::vector<CUfunction> functions;
        std::map<CUstream, Workspace> workspaces;  ///< calls on two streams may overlap
    };

    CUdeviceptr workspace_of(std::size_t index, const detail::Plan& plan, const Shape& shape, CUstream stream) {
        Workspace& held = loaded_[index].workspaces[stream];
        if (held.used && detail::same(held.shape, shape)) return held.memory.address();
        const auto bytes = static_cast<std::size_t>(plan.workspace_bytes);
        if (held.memory.bytes() < bytes) held.memory = detail::Memory(bytes);
        // A kernel may expect zeros whenever its workspace is laid out anew.
        if (bytes > 0) detail::check(cuMemsetD8Async(held.memory.address(), 0, bytes, stream), "cuMemsetD8Async");
        held.shape = shape;
        held.used = true;
        return held.memory.address();
    }

    std::vector<Loaded> loaded_;
    DeviceFacts facts_;
};
