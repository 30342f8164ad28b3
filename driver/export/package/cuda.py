_DEVICE_FACTS = {"sm_count": 16, "shared_limit": 97, "shared_per_sm": 81, "registers_per_sm": 82}
_CC_MAJOR, _CC_MINOR = 75, 76
_MAX_DYNAMIC_SHARED, _NON_PORTABLE_CLUSTER = 8, 14
_PORTABLE_CLUSTER = 8
_NO_BINARY_FOR_GPU = 209


class _Cluster(ctypes.Structure):
    """CUlaunchAttribute holding CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION."""

    _fields_ = [("id", ctypes.c_uint), ("pad", ctypes.c_uint), ("x", ctypes.c_uint), ("y", ctypes.c_uint),
                ("z", ctypes.c_uint), ("rest", ctypes.c_char * 52)]


class _LaunchConfig(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = [("grid_x", ctypes.c_uint), ("grid_y", ctypes.c_uint), ("grid_z", ctypes.c_uint),
                ("block_x", ctypes.c_uint), ("block_y", ctypes.c_uint), ("block_z", ctypes.c_uint),
                ("shared_bytes", ctypes.c_uint), ("stream", ctypes.c_void_p),
                ("attributes", ctypes.POINTER(_Cluster)), ("attribute_count", ctypes.c_uint)]


class _Driver:
    """The few functions of libcuda that a launch needs; each raises when the driver refuses."""

    _SIGNATURES = {
        "cuInit": [ctypes.c_uint],
        "cuDeviceGet": [ctypes.POINTER(ctypes.c_int), ctypes.c_int],
        "cuDeviceGetAttribute": [ctypes.POINTER(ctypes.c_int), ctypes.c_int, ctypes.c_int],
        "cuDevicePrimaryCtxRetain": [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int],
        "cuCtxPushCurrent_v2": [ctypes.c_void_p],
        "cuCtxPopCurrent_v2": [ctypes.POINTER(ctypes.c_void_p)],
        "cuModuleLoadData": [ctypes.POINTER(ctypes.c_void_p), ctypes.c_char_p],
        "cuModuleGetFunction": [ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p, ctypes.c_char_p],
        "cuFuncSetAttribute": [ctypes.c_void_p, ctypes.c_int, ctypes.c_int],
        "cuMemsetD8Async": [ctypes.c_uint64, ctypes.c_ubyte, ctypes.c_size_t, ctypes.c_void_p],
        "cuTensorMapEncodeTiled": [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
                                   ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int,
                                   ctypes.c_int, ctypes.c_int],
        "cuLaunchKernelEx": [ctypes.POINTER(_LaunchConfig), ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p),
                             ctypes.c_void_p],
    }

    def __init__(self):
        try:
            library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise RuntimeError(f"the CUDA driver cannot be loaded ({error}); install NVIDIA's driver") from error
        self._describe = library.cuGetErrorString
        self._describe.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
        for name, types in self._SIGNATURES.items():
            try:
                function = getattr(library, name)
            except AttributeError:
                raise RuntimeError(f"the CUDA driver has no {name}; these kernels need a driver of CUDA 12 or newer") from None
            function.argtypes, function.restype = types, ctypes.c_int
            setattr(self, name, self._checked(name, function))
        self.cuInit(0)

    def _checked(self, name, function):
        def call(*arguments):
            code = function(*arguments)
            if code:
                words = ctypes.c_char_p()
                self._describe(code, ctypes.byref(words))
                error = RuntimeError(f"{name}: {(words.value or b'error').decode()} ({code})")
                error.code = code
                raise error
        return call


class _Device:
    """One GPU: torch's context on it, its facts, and the variants loaded there."""

    def __init__(self, driver, index):
        self.driver, self.index = driver, index
        handle = ctypes.c_int()
        driver.cuDeviceGet(ctypes.byref(handle), index)
        # The primary context is torch's own; this reference to it is kept for the life of the process.
        self.context = ctypes.c_void_p()
        driver.cuDevicePrimaryCtxRetain(ctypes.byref(self.context), handle)

        def attribute(code):
            value = ctypes.c_int()
            driver.cuDeviceGetAttribute(ctypes.byref(value), code, handle)
            return value.value

        self.facts = {name: attribute(code) for name, code in _DEVICE_FACTS.items()}
        self.facts["arch"] = 10 * attribute(_CC_MAJOR) + attribute(_CC_MINOR)
        self._functions = {}
        self._lock = threading.Lock()

    def functions(self, variant):
        """CUfunctions of the variant's kernels. The device's context must be current."""
        functions = self._functions.get(variant.name)
        if functions is None:
            with self._lock:
                functions = self._functions.get(variant.name) or self._load(variant)
        return functions

    def _load(self, variant):
        module = ctypes.c_void_p()
        try:
            self.driver.cuModuleLoadData(ctypes.byref(module), variant.binary())
        except RuntimeError as error:
            if getattr(error, "code", 0) == _NO_BINARY_FOR_GPU:
                raise RuntimeError(f"these kernels were built for {MANIFEST['built_for']}; GPU {self.index} has compute "
                                   f"capability {self.facts['arch'] / 10}") from None
            raise
        functions = []
        for kernel in variant.kernels:
            function = ctypes.c_void_p()
            self.driver.cuModuleGetFunction(ctypes.byref(function), module, kernel.entry.encode())
            self.driver.cuFuncSetAttribute(function, _MAX_DYNAMIC_SHARED, kernel.shared_bytes)
            if kernel.cluster > _PORTABLE_CLUSTER:
                self.driver.cuFuncSetAttribute(function, _NON_PORTABLE_CLUSTER, 1)
            functions.append(function)
        self._functions[variant.name] = functions
        return functions


_devices = {}
_opening = threading.Lock()


def _device(index):
    device = _devices.get(index)
    if device is None:
        with _opening:
            if index not in _devices:
                driver = next(iter(_devices.values())).driver if _devices else _Driver()
                _devices[index] = _Device(driver, index)
            device = _devices[index]
    return device


def _facts(index):
    return _device(index).facts


def _check_kind(tensors):
    import torch

    index = None
    for name, tensor in zip(_NAMES, tensors):
        if not isinstance(tensor, torch.Tensor):
            _refuse(f"{name} is a {type(tensor).__name__}; it must be a torch tensor")
        wanted = torch.bfloat16 if name in "qkv" else torch.int32
        if tensor.dtype is not wanted:
            _refuse(f"{name} is {tensor.dtype}; it must be {wanted}")
        if tensor.device.type != "cuda":
            _refuse(f"{name} is on {tensor.device}; these kernels run on a CUDA GPU")
        if index is not None and tensor.device.index != index:
            _refuse(f"{name} is on {tensor.device} and q on cuda:{index}; put them on one GPU")
        index = tensor.device.index
        if not tensor.is_contiguous():
            _refuse(f"{name} is not contiguous; pass {name}.contiguous()")
        if tensor.requires_grad and torch.is_grad_enabled():
            _refuse(f"{name} requires a gradient and this is the forward only; call it under torch.no_grad()")
        if tensor.data_ptr() % 16:
            _refuse(f"{name} does not begin at a multiple of 16 bytes; pass {name}.clone()")


def _workspace(plan, shape, stream, torch, device):
    """Scratch memory of this thread on this stream, zeroed whenever the shape changes, as a kernel may expect."""
    key = (plan.variant.name, device, stream)
    held = _local.__dict__.setdefault("workspaces", {}).get(key)
    if held is None or held[0] != shape:
        size = plan.workspace_bytes
        if held is not None and held[1].numel() >= size:
            memory = held[1].zero_()
        else:
            memory = torch.zeros(max(size, 1), dtype=torch.uint8, device=device)
        _local.workspaces[key] = held = (shape, memory)
    return held[1].data_ptr()


def _encode_maps(driver, plan, addresses, batch, heads, t_max):
    dims = (ctypes.c_uint64 * 3)(HEAD_DIM, t_max, batch * heads)
    strides = (ctypes.c_uint64 * 2)(2 * HEAD_DIM, 2 * HEAD_DIM * t_max)
    ones = (ctypes.c_uint32 * 3)(1, 1, 1)
    for index, (item, offset) in enumerate(zip(plan.variant.tensor_maps, plan.map_offsets)):
        box = (ctypes.c_uint32 * 3)(item.cols, item.rows, 1)
        # Data types FLOAT16 and BFLOAT16, no interleave, L2 promotion of 256 bytes, zeros out of bounds.
        driver.cuTensorMapEncodeTiled(
            plan.args.map_pointer(index), 6 if item.fp16 else 9, 3, addresses[item.tensor] + offset, dims, strides, box,
            ones, 0, {0: 0, 32: 1, 64: 2, 128: 3}[item.swizzle_bytes], 3, 0)


def _launch(driver, plan, functions, stream):
    parameters = (ctypes.c_void_p * 1)(plan.args.address)
    for (kernel, grid), function in zip(plan.kernels, functions):
        config = _LaunchConfig(*grid, kernel.threads, 1, 1, kernel.shared_bytes, stream)
        if kernel.cluster > 1:
            cluster = _Cluster(id=4, x=kernel.cluster, y=1, z=1)
            config.attributes, config.attribute_count = ctypes.pointer(cluster), 1
        driver.cuLaunchKernelEx(ctypes.byref(config), function, parameters, None)


def _largest(v):
    """max |v|; NaN or infinity where v holds one. Waits for the stream."""
    low, high = v.aminmax()
    return max(-low.item(), high.item())


def _run(tensors, shape, variant):
    import torch

    q = tensors[0]
    index = q.device.index
    device = _device(index)
    driver = device.driver
    plan = _plan(index, shape, variant)
    batch, heads, t_max, max_nnz = shape
    # Whatever torch does comes first: it may change which context is current.
    o = torch.empty_like(q)
    lse = torch.empty((batch, heads, t_max), dtype=torch.float32, device=q.device)
    stream = torch.cuda.current_stream(index).cuda_stream
    workspace = _workspace(plan, shape, stream, torch, q.device)
    q, k, v, row_ptr, col_idx, seq_lens = (tensor.data_ptr() for tensor in tensors)
    pointers = (q, k, v, o.data_ptr(), lse.data_ptr(), row_ptr, col_idx, seq_lens)
    plan.args.set(pointers, workspace, batch, heads, t_max, max_nnz)
    addresses = {"q": q, "k": k, "v": v, "o": pointers[3], "workspace": workspace}
    driver.cuCtxPushCurrent_v2(device.context)
    try:
        functions = device.functions(plan.variant)
        if plan.variant.tensor_maps and plan.mapped != addresses:
            plan.mapped = None
            _encode_maps(driver, plan, addresses, batch, heads, t_max)
            plan.mapped = addresses
        if plan.clear_bytes:
            driver.cuMemsetD8Async(workspace, 0, plan.clear_bytes, stream)
        _launch(driver, plan, functions, stream)
    finally:
        driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    return o, lse


def setup(suite_specs=None, device=None, variants=None):
    """Loads every variant on torch's current GPU, so that no first call pays for it."""
    import torch

    torch.cuda.init()
    gpu = _device(torch.cuda.current_device())
    gpu.driver.cuCtxPushCurrent_v2(gpu.context)
    try:
        for variant in _VARIANTS:
            gpu.functions(variant)
    finally:
        gpu.driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
