import os

_IS_NUMPY_DTYPE = {"q": "uint16", "k": "uint16", "v": "uint16", "row_ptr": "int32", "col_idx": "int32", "seq_lens": "int32"}


def _is_numpy(tensor):
    return type(tensor).__module__.partition(".")[0] == "numpy"


def _check_kind(tensors):
    for name, tensor in zip(_NAMES, tensors):
        if _is_numpy(tensor):
            wanted, found = _IS_NUMPY_DTYPE[name], str(tensor.dtype)
            contiguous, place = tensor.flags.c_contiguous, "cpu"
        elif hasattr(tensor, "data_ptr"):
            wanted = "torch.bfloat16" if name in "qkv" else "torch.int32"
            found, contiguous, place = str(tensor.dtype), tensor.is_contiguous(), tensor.device.type
        else:
            _refuse(f"{name} is a {type(tensor).__name__}; it must be a torch tensor or a numpy array")
        if found != wanted:
            bits = " (the bits of bf16)" if wanted == "uint16" else ""
            _refuse(f"{name} is {found}; it must be {wanted}{bits}")
        if place != "cpu":
            _refuse(f"{name} is on {place}; these kernels run on the CPU")
        if not contiguous:
            _refuse(f"{name} is not contiguous; pass {name}.contiguous() or a copy")
        if not _is_numpy(tensor) and tensor.requires_grad and _grad_enabled():
            _refuse(f"{name} requires a gradient and this is the forward only; call it under torch.no_grad()")
    if len({_is_numpy(tensor) for tensor in tensors}) > 1:
        _refuse("torch tensors and numpy arrays together; use one kind")


def _grad_enabled():
    import torch

    return torch.is_grad_enabled()


def _address(tensor):
    return tensor.ctypes.data if _is_numpy(tensor) else tensor.data_ptr()


def _outputs(q):
    if _is_numpy(q):
        import numpy

        return numpy.empty_like(q), numpy.empty(q.shape[:3], dtype=numpy.float32)
    import torch

    return torch.empty_like(q), torch.empty(q.shape[:3], dtype=torch.float32)


_loaded = {}
_loading = threading.Lock()


def _facts(_device):
    return {"sm_count": os.cpu_count() or 1, "shared_limit": 0, "shared_per_sm": 0, "registers_per_sm": 0, "arch": 0}


def _functions(variant):
    with _loading:
        if variant.name not in _loaded:
            variant.binary()
            path = _FOLDER / variant.entry["binary"]["file"]
            try:
                library = ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)
            except OSError as error:
                raise RuntimeError(f"cannot load {path}: {error}; it was built for {MANIFEST['built_for']}") from error
            functions = []
            for kernel in variant.kernels:
                function = getattr(library, kernel.entry)
                function.argtypes, function.restype = [ctypes.c_void_p], None
                functions.append(function)
            _loaded[variant.name] = functions
        return _loaded[variant.name]


def _workspace(variant, shape, size):
    """Scratch memory of this thread, zeroed whenever the shape changes, as a kernel may expect."""
    held = _local.__dict__.setdefault("workspaces", {}).get(variant.name)
    if held is None or held[0] != (shape, size):
        memory = ctypes.create_string_buffer(size + 256)
        held = ((shape, size), memory, ctypes.addressof(memory) + -ctypes.addressof(memory) % 256)
        _local.workspaces[variant.name] = held
    return held[2]


def _largest(v):
    """max |v|; NaN or infinity where v holds one."""
    if not _is_numpy(v):
        low, high = v.aminmax()
        return max(-low.item(), high.item())
    bits = int((v & 0x7FFF).max())  # magnitudes of bf16 are in the order of their bits
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def _run(tensors, shape, variant):
    plan = _plan("cpu", shape, variant)
    functions = _functions(plan.variant)
    o, lse = _outputs(tensors[0])
    q, k, v, row_ptr, col_idx, seq_lens = (_address(tensor) for tensor in tensors)
    workspace = _workspace(plan.variant, shape, plan.workspace_bytes)
    if plan.clear_bytes:
        ctypes.memset(workspace, 0, plan.clear_bytes)
    batch, heads, t_max, max_nnz = shape
    plan.args.set((q, k, v, _address(o), _address(lse), row_ptr, col_idx, seq_lens), workspace, batch, heads, t_max, max_nnz)
    for function in functions:
        function(plan.args.pointer)
    return o, lse


def setup(suite_specs=None, device=None, variants=None):
    """Loads every variant, so that no first call pays for it."""
    for variant in _VARIANTS:
        _functions(variant)
