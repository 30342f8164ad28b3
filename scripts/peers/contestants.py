"""What is compared. Each contestant is a name and `bind`: given a case's tensors, it returns a call without arguments
that gives (o, lse). Modules that only one contestant needs are imported by it, so that a lack costs that one alone."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import torch

from .cases import BLOCK_SIZE


@dataclass(frozen=True)
class Contestant:
    name: str
    what: str
    bind: Callable
    ours: bool = False


def package(folder):
    """A package of `attune export`, with the variant it has for the case's family."""
    folder = Path(folder).resolve()
    file = folder / "block_sparse_attn.py"
    if not file.is_file():
        raise ValueError(f"{folder} holds no block_sparse_attn.py; give a directory that `attune export --to` made")
    spec = importlib.util.spec_from_file_location(f"package_{abs(hash(folder))}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def bind(tensors):
        arguments, family = tensors.arguments, tensors.case.family
        return lambda: module.block_sparse_attn_fwd(*arguments, family=family)

    return Contestant(f"attune {folder.name}", f"package {folder.name}", bind, ours=True)


def _bind_plain(tensors):
    from . import triton_kernels

    return lambda: triton_kernels.plain(*tensors.arguments)


def _bind_tuned(tensors):
    from . import triton_kernels

    return lambda: triton_kernels.tuned(*tensors.arguments)


def _block_mask(tensors):
    """FlexAttention's BlockMask of the same lists. Partial, so masked element by element: diagonal blocks, and all of a
    query block that seq_len cuts; every other listed block is full."""
    from torch.nn.attention.flex_attention import BlockMask

    q_blocks = tensors.case.q_blocks
    listed = tensors.listed_blocks()
    query = torch.arange(q_blocks, device="cuda")
    seq_lens = tensors.seq_lens
    cut = (seq_lens[:, None] > query * BLOCK_SIZE) & (seq_lens[:, None] < (query + 1) * BLOCK_SIZE)
    partial = listed & ((query[:, None] == query[None, :]) | cut[:, None, :, None])

    def to_lists(dense):
        # A stable descending sort puts the chosen blocks first and leaves them ascending.
        order = torch.argsort(dense.int(), dim=-1, descending=True, stable=True)
        return dense.sum(-1, dtype=torch.int32), order.to(torch.int32).contiguous()

    def attended(batch, head, query, key):
        return (key <= query) & (query < seq_lens[batch])

    return BlockMask.from_kv_blocks(*to_lists(partial), *to_lists(listed & ~partial), BLOCK_SIZE=BLOCK_SIZE,
                                    mask_mod=attended, seq_lengths=(tensors.case.t_max, tensors.case.t_max))


class FlexAttention:
    """Compiled once a shape, by Inductor's longest search. No CUDA graphs, since those would copy every input."""

    def __init__(self):
        self._compiled = None

    def bind(self, tensors):
        self._compiled = self._compiled or self._compile()
        mask = _block_mask(tensors)
        compiled, (q, k, v) = self._compiled, tensors.arguments[:3]
        return lambda: compiled(q, k, v, mask)

    @staticmethod
    def _compile():
        import torch._dynamo
        from torch.nn.attention import flex_attention as flex

        def attention(q, k, v, mask):
            if hasattr(flex, "AuxRequest"):
                o, extra = flex.flex_attention(q, k, v, block_mask=mask, return_aux=flex.AuxRequest(lse=True))
                return o, extra.lse
            return flex.flex_attention(q, k, v, block_mask=mask, return_lse=True)

        # Each shape of a suite is one compilation; past the limit calls would silently run uncompiled.
        setattr(torch._dynamo.config,
                "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit", 64)
        return torch.compile(attention, dynamic=False, fullgraph=True, mode="max-autotune-no-cudagraphs")


def peers():
    """By the name `--peers` takes."""
    return {
        "triton-tf32": Contestant("triton-tf32", "Triton; fp32 operands, tf32 products; 4 warps, 1 stage; all masked",
                                  _bind_plain),
        "triton-fp16": Contestant(
            "triton-fp16", "Triton, autotuned; bf16 Q K^T, fp16 P V; diagonal apart, longest first", _bind_tuned),
        "flex": Contestant("flex", "FlexAttention, torch.compile max-autotune (no CUDA graphs), lse requested",
                           FlexAttention().bind),
    }
