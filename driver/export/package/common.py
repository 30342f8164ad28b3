import ctypes
import functools
import hashlib
import json
import math
import struct
import threading
from pathlib import Path

__all__ = ["block_sparse_attn_fwd", "family_of", "setup", "VARIANT_MANIFEST", "MANIFEST"]

BLOCK_SIZE = 128
HEAD_DIM = 128
FAMILIES = ("sliding_window", "sliding_window_global", "sliding_window_retrieval")

_FOLDER = Path(__file__).resolve().parent
MANIFEST = json.loads((_FOLDER / "manifest.json").read_text(encoding="utf-8"))

_MATCH_FIELDS = ("t_max", "batch_heads", "batch_size", "num_heads")
_RANGE_KEYS = tuple(f"{end}_{field}" for field in _MATCH_FIELDS for end in ("min", "max"))


# Arithmetic of launch geometry, on real numbers as in the template: a division by zero is infinite, not an error, and
# its sign is the zero's, so zeros keep theirs.


def add(a, b):
    return a + b


def subtract(a, b):
    return a - b


def multiply(a, b):
    return a * b


def divide(a, b):
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)


def modulo(a, b):
    try:
        return math.fmod(a, b)
    except ValueError:
        return math.nan


def power(a, b):
    try:
        return math.pow(a, b)
    except (OverflowError, ValueError) as error:
        if isinstance(error, ValueError) and a != 0:
            return math.nan
        return math.copysign(math.inf, a) if abs(math.fmod(b, 2.0)) == 1 else math.inf


def negative(a):
    return -a


def absolute(a):
    return abs(a)


def floor_of(a):
    return math.copysign(math.floor(a), a) if math.isfinite(a) else a


def ceil_of(a):
    return math.copysign(math.ceil(a), a) if math.isfinite(a) else a


def ceil_div(a, b):
    return ceil_of(divide(a, b))


def minimum(a, b):
    return b if b < a else a


def maximum(a, b):
    return b if a < b else a


def less(a, b):
    return float(a < b)


def more(a, b):
    return float(a > b)


def at_most(a, b):
    return float(a <= b)


def at_least(a, b):
    return float(a >= b)


def equal(a, b):
    return float(a == b)


def differ(a, b):
    return float(a != b)


def both(a, b):
    return float(a != 0 and b != 0)


def either(a, b):
    return float(a != 0 or b != 0)


def choose(condition, yes, no):
    return yes if condition != 0 else no


def infinity():
    return math.inf


def not_a_number():
    return math.nan


class Call:
    """What launch geometry may depend on: the shape of a call and the facts of its device."""

    def __init__(self, batch, heads, t_max, max_nnz, facts):
        self.batch = float(batch)
        self.heads = float(heads)
        self.t_max = float(t_max)
        self.q_blocks = float(t_max // BLOCK_SIZE)
        self.max_nnz = float(max_nnz)
        for name, value in facts.items():
            setattr(self, name, float(value))


class Kernel:
    def __init__(self, entry, grid, threads, shared_bytes, cluster):
        self.entry = entry
        self.grid = grid
        self.threads = threads
        self.shared_bytes = shared_bytes
        self.cluster = cluster


class TensorMap:
    def __init__(self, tensor, fp16, rows, cols, swizzle_bytes, offset_bytes):
        self.tensor = tensor
        self.fp16 = fp16
        self.rows = rows
        self.cols = cols
        self.swizzle_bytes = swizzle_bytes
        self.offset_bytes = offset_bytes


class Variant:
    def __init__(self, name, kernels, tensor_maps, workspace_bytes, clear_bytes):
        self.name = name
        self.kernels = kernels
        self.tensor_maps = tensor_maps
        self.workspace_bytes = workspace_bytes
        self.clear_bytes = clear_bytes
        self.entry = next(item for item in MANIFEST["variants"] if item["name"] == name)
        self.v_abs_max = self.entry["domain"].get("v_abs_max")

    def binary(self):
        """The compiled file's bytes, after comparing them with the hash in the manifest."""
        path = _FOLDER / self.entry["binary"]["file"]
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.entry["binary"]["sha256"]:
            raise RuntimeError(f"{path} is not the file manifest.json describes; export the package again")
        return data

    def matches(self, family, batch, heads, t_max):
        families = self.entry["families"]
        if families and family not in families:
            return False
        values = {"t_max": t_max, "batch_heads": batch * heads, "batch_size": batch, "num_heads": heads}
        return all(
            self.entry.get(f"min_{field}", 0) <= values[field] <= self.entry.get(f"max_{field}", 1 << 30)
            for field in _MATCH_FIELDS
        )


class Plan:
    """Launches of one variant on one shape, as numbers."""

    def __init__(self, variant, call):
        self.variant = variant
        self.kernels = [
            (kernel, tuple(_integer(extent(call), 1, (1 << 31) - 1 if axis == 0 else 65535)
                           for axis, extent in enumerate(kernel.grid)))
            for kernel in variant.kernels
        ]
        self.workspace_bytes = _integer(variant.workspace_bytes(call), 0, 1 << 40)
        self.clear_bytes = _integer(variant.clear_bytes(call), 0, self.workspace_bytes)
        self.mapped = None  # addresses the tensor maps in `args` are encoded for
        self.args = Args()
        self.map_offsets = [_integer(item.offset_bytes(call), 0, self.workspace_bytes) for item in variant.tensor_maps]


def _integer(value, low, high):
    if not math.isfinite(value) or value != math.floor(value) or not low <= value <= high:
        raise ValueError(f"launch geometry gives {value} for this shape, which is no integer in {low}..{high}")
    return int(value)


class Args:
    """The struct every kernel takes (AttnArgs in the sources): 8 tensor maps, 9 pointers, 5 ints, a float."""

    BYTES = 1152
    _MAP_BYTES = 128
    _POINTERS = struct.Struct("<9Q5if")

    def __init__(self):
        self._memory = ctypes.create_string_buffer(self.BYTES + 64)
        start = ctypes.addressof(self._memory)
        self._offset = -start % 64
        self.address = start + self._offset
        self.pointer = ctypes.c_void_p(self.address)

    def set(self, pointers, workspace, batch, heads, t_max, max_nnz):
        self._POINTERS.pack_into(
            self._memory, self._offset + 8 * self._MAP_BYTES, *pointers, workspace, batch, heads, t_max,
            t_max // BLOCK_SIZE, max_nnz, 1.0 / math.sqrt(HEAD_DIM))

    def map_pointer(self, index):
        return ctypes.c_void_p(self.address + index * self._MAP_BYTES)


_NAMES = ("q", "k", "v", "row_ptr", "col_idx", "seq_lens")
_local = threading.local()
_MAX_PLANS = 64


def _refuse(what):
    raise ValueError(f"block_sparse_attn_fwd: {what}")


def _checked_shape(tensors):
    """(batch, heads, t_max, max_nnz) of arguments that are what the kernels read them as."""
    _check_kind(tensors)
    q, k, v, row_ptr, col_idx, seq_lens = tensors
    if len(q.shape) != 4 or q.shape[3] != HEAD_DIM:
        _refuse(f"q has shape {tuple(q.shape)}; it must be (batch, heads, t_max, {HEAD_DIM})")
    batch, heads, t_max, _ = (int(extent) for extent in q.shape)
    if batch < 1 or heads < 1 or t_max < BLOCK_SIZE or t_max % BLOCK_SIZE:
        _refuse(f"q has shape {tuple(q.shape)}; batch and heads must be positive and t_max a multiple of {BLOCK_SIZE}")
    max_nnz = int(col_idx.shape[-1]) if len(col_idx.shape) == 3 else 0
    expected = ((batch, heads, t_max, HEAD_DIM),) * 3 + (
        (batch, heads, t_max // BLOCK_SIZE + 1), (batch, heads, max(max_nnz, 1)), (batch,))
    for name, tensor, shape in zip(_NAMES, tensors, expected):
        if tuple(tensor.shape) != shape:
            _refuse(f"{name} has shape {tuple(tensor.shape)}; with this q it must be {shape}")
    return batch, heads, t_max, max_nnz


@functools.lru_cache(maxsize=1024)
def _choose_variant(name, family, batch, heads, t_max):
    """The variant of this name, or one made for the family and shape, or the general one."""
    if name is not None:
        for variant in _VARIANTS:
            if variant.name == name:
                return variant
        _refuse(f"no variant {name!r}; there are {', '.join(repr(item.name) for item in _VARIANTS)}")
    if family is not None and family not in FAMILIES:
        _refuse(f"family {family!r} is none of {', '.join(FAMILIES)}")
    default = next(item for item in _VARIANTS if item.name == MANIFEST["default"])
    for variant in _VARIANTS:
        if variant is not default and variant.matches(family, batch, heads, t_max):
            return variant
    return default


def _within_limit(variant, forced, v, v_abs_max):
    """The variant, or the general one where v is too large for it."""
    if variant.v_abs_max is None:
        return variant
    largest = _largest(v) if v_abs_max is None else v_abs_max
    if largest <= variant.v_abs_max:
        return variant
    default = next(item for item in _VARIANTS if item.name == MANIFEST["default"])
    if not forced and default.v_abs_max is None:
        return default
    _refuse(f"|v| reaches {largest}, and variant {variant.name!r}, which converts v to fp16, takes {variant.v_abs_max} at "
            "most; export a variant without fp16")


def _plan(device, shape, variant):
    """The plan of a shape, made once a thread: its memory is reused from call to call."""
    plans = _local.__dict__.setdefault("plans", {})
    key = (device, shape, variant.name)
    plan = plans.get(key)
    if plan is None:
        batch, heads, t_max, max_nnz = shape
        if len(plans) >= _MAX_PLANS:
            plans.pop(next(iter(plans)))
        plan = plans[key] = Plan(variant, Call(batch, heads, t_max, max_nnz, _facts(device)))
    return plan


def block_sparse_attn_fwd(q, k, v, row_ptr, col_idx, seq_lens, *, family=None, variant=None, v_abs_max=None):
    """Block-sparse causal attention, forward: (o, lse).

    q, k, v: (batch, heads, t_max, 128) bf16; row_ptr: (batch, heads, t_max/128 + 1), col_idx: (batch, heads, max_nnz)
    and seq_lens: (batch), int32. All contiguous and on one device of the kind in manifest.json. o is bf16 as q with
    rows at or past seq_len exactly 0; lse is fp32 (batch, heads, t_max), natural log, -inf there.

    `family` (see FAMILIES) lets a package with a variant per family use the right one; every variant is correct for
    every mask, so without it, or with the wrong one, only speed changes. `variant` forces one by name.
    `v_abs_max` is a bound on |v| that the caller knows. Variants that convert v to fp16 have a limit (`domain` in
    manifest.json): beyond it the general variant is used if it has none, and the call refused if it has. Such a variant
    reads v when no bound is given, and the stream waits for that.
    The values of row_ptr, col_idx and seq_lens are trusted: reading them would stall the stream.
    """
    tensors = (q, k, v, row_ptr, col_idx, seq_lens)
    shape = _checked_shape(tensors)
    chosen = _within_limit(_choose_variant(variant, family, *shape[:3]), variant is not None, v, v_abs_max)
    return _run(tensors, shape, chosen)


def family_of(row_ptr, col_idx):
    """Which family a mask looks like, for `family=`. Reads the mask: on a GPU this waits for it, so call it once a mask."""
    starts, columns = row_ptr[0, 0].tolist(), col_idx[0, 0].tolist()
    prefixes = set()
    for row, (begin, end) in enumerate(zip(starts, starts[1:])):
        listed = columns[begin:end]
        expected = row
        while listed and listed[-1] == expected:
            listed.pop()
            expected -= 1
        if listed != list(range(len(listed))):
            return "sliding_window_retrieval"
        if listed:
            prefixes.add(len(listed))
    if not prefixes:
        return "sliding_window"
    return "sliding_window_global" if len(prefixes) == 1 else "sliding_window_retrieval"


def _variant_manifest():
    """What the public harness asks a submission to declare: unambiguous, so without a fallback that others cover."""
    entries = [variant.entry for variant in _VARIANTS]
    specific = [entry for entry in entries if entry["families"]]
    covered = {family for entry in specific for family in entry["families"]}
    if covered == set(FAMILIES):
        entries = specific
    keys = ("name", "families") + _RANGE_KEYS
    return [{key: entry[key] for key in keys if key in entry} for entry in entries]
