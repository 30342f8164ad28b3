"""Inputs, the reference, the check against it and GPU time."""

import math
from dataclasses import dataclass

import numpy
import torch

from .cases import BLOCK_SIZE, FLOP_PER_LISTED_BLOCK, HEAD_DIM

O_ATOL, O_RTOL = 1e-3, 1e-2
LSE_ATOL, LSE_RTOL = 1e-5, 1e-5

# A Hopper GPU's floor: dense bf16 matrix products and device memory, as measured on one H200.
PEAK_FLOP_PER_S = 790e12
PEAK_BYTES_PER_S = 4.3e12


class Tensors:
    """One case on the GPU. Q, K and V are standard normal, rounded to bf16."""

    def __init__(self, case, mask, seed):
        self.case, self.mask = case, mask
        generator = torch.Generator("cuda").manual_seed(seed)
        shape = (case.batch_size, case.num_heads, case.t_max, HEAD_DIM)
        qkv = [torch.randn(shape, generator=generator, device="cuda").to(torch.bfloat16) for _ in range(3)]
        lists = [torch.from_numpy(array).cuda() for array in (mask.row_ptr, mask.col_idx, mask.seq_lens)]
        self.arguments = (*qkv, *lists)
        self.seq_lens = lists[2]

    @property
    def flop(self):
        return self.mask.nnz * FLOP_PER_LISTED_BLOCK

    @property
    def floor_us(self):
        """No kernel runs faster: valid rows read once and outputs written once, or all listed blocks computed."""
        case = self.case
        row_bytes = 2 * HEAD_DIM
        read = 3 * row_bytes * case.num_heads * int(self.mask.seq_lens.sum()) + 4 * self.mask.nnz
        written = (row_bytes + 4) * case.batch_size * case.num_heads * case.t_max
        return 1e6 * max(self.flop / PEAK_FLOP_PER_S, (read + written) / PEAK_BYTES_PER_S)

    def listed_blocks(self):
        """The lists as a bool tensor (batch, heads, q_blocks, k_blocks)."""
        case = self.case
        dense = numpy.zeros((case.batch_size, case.num_heads, case.q_blocks, case.q_blocks), dtype=bool)
        for batch in range(case.batch_size):
            for head in range(case.num_heads):
                starts = self.mask.row_ptr[batch, head]
                rows = numpy.repeat(numpy.arange(case.q_blocks), numpy.diff(starts))
                dense[batch, head, rows, self.mask.col_idx[batch, head, :starts[-1]]] = True
        return torch.from_numpy(dense).cuda()


def reference(tensors):
    """(o as bf16, lse as fp32), computed in fp64 from the bf16 inputs, a head at a time, every row's keys at once."""
    q, k, v = tensors.arguments[:3]
    case = tensors.case
    o = torch.zeros_like(q)
    lse = torch.full(q.shape[:3], -math.inf, dtype=torch.float32, device="cuda")
    listed = tensors.listed_blocks()
    width = int(listed.sum(-1).max())
    token = torch.arange(BLOCK_SIZE, device="cuda")
    query = torch.arange(case.t_max, device="cuda").view(case.q_blocks, BLOCK_SIZE, 1)
    for batch in range(case.batch_size):
        seq_len = int(tensors.mask.seq_lens[batch])
        for head in range(case.num_heads):
            present, blocks = torch.sort(listed[batch, head].int(), dim=-1, descending=True, stable=True)
            present, blocks = present[:, :width].bool(), blocks[:, :width]

            def gathered(tensor):
                tiles = tensor[batch, head].double().view(case.q_blocks, BLOCK_SIZE, HEAD_DIM)
                return tiles[blocks].flatten(1, 2)

            key = (blocks[:, :, None] * BLOCK_SIZE + token).flatten(1).unsqueeze(1)
            attended = present.repeat_interleave(BLOCK_SIZE, dim=1).unsqueeze(1)
            attended = attended & (key <= query) & (key < seq_len) & (query < seq_len)
            scores = q[batch, head].double().view(case.q_blocks, BLOCK_SIZE, HEAD_DIM) @ gathered(k).transpose(1, 2)
            scores = (scores / math.sqrt(HEAD_DIM)).masked_fill_(~attended, -math.inf)
            row_lse = torch.logsumexp(scores, dim=-1)
            weights = torch.exp(scores - row_lse.nan_to_num(neginf=0.0)[:, :, None])
            o[batch, head] = (weights @ gathered(v)).view(case.t_max, HEAD_DIM).to(torch.bfloat16)
            lse[batch, head] = row_lse.view(case.t_max).float()
    return o, lse


@dataclass(frozen=True)
class Errors:
    """Elements out of tolerance."""

    o: int
    lse: int

    @property
    def none(self):
        return self.o == 0 and self.lse == 0


def _out_of_tolerance(actual, expected, atol, rtol):
    count = 0
    # In pieces, since a whole fp32 copy of the largest case's o takes gigabytes.
    for got, wanted in zip(actual.flatten(0, 1), expected.flatten(0, 1)):
        got, wanted = got.float(), wanted.float()
        # Written so that NaN fails, and an infinity passes only where the same one is expected.
        near = wanted.isfinite() & ((got - wanted).abs() <= atol + rtol * wanted.abs())
        count += int((~((got == wanted) | near)).sum())
    return count


def check(call, expected):
    """Runs the call on memory that most likely held NaN, and counts what is out of tolerance."""
    poison = [torch.full_like(item, math.nan) for item in expected]
    del poison
    o, lse = call()
    for name, got, wanted in (("o", o, expected[0]), ("lse", lse, expected[1])):
        if got.shape != wanted.shape or got.dtype != wanted.dtype:
            raise RuntimeError(f"{name} is {got.dtype} {tuple(got.shape)}, not {wanted.dtype} {tuple(wanted.shape)}")
    return Errors(_out_of_tolerance(o, expected[0], O_ATOL, O_RTOL),
                  _out_of_tolerance(lse, expected[1], LSE_ATOL, LSE_RTOL))


class ColdTimer:
    """GPU time of one call, by events, the L2 cache flushed before it.

    The call is enqueued behind a spinning kernel, so that no host time lies between the events. Where the GPU had
    caught up before the call was enqueued, the sample is taken again behind a longer spin.
    """

    _LONGEST_SPIN_CYCLES = 1 << 24
    _TRIES = 20

    def __init__(self, flush):
        self._flush = flush
        self._start = torch.cuda.Event(enable_timing=True)
        self._stop = torch.cuda.Event(enable_timing=True)
        self._spin_cycles = 1 << 18

    def sample_us(self, call):
        for _ in range(self._TRIES):
            self._flush()
            torch.cuda._sleep(self._spin_cycles)
            self._start.record()
            call()
            self._stop.record()
            host_was_ahead = not self._start.query()
            self._stop.synchronize()
            if host_was_ahead:
                return 1e3 * self._start.elapsed_time(self._stop)
            self._spin_cycles = min(2 * self._spin_cycles, self._LONGEST_SPIN_CYCLES)
        raise RuntimeError("the call waits for the GPU, so its GPU time cannot be told from the host's")


def time_in_turn(timer, calls, samples):
    """{name: microseconds}: one sample of each call a round, each round beginning with another call."""
    names = list(calls)
    times_us = {name: [] for name in names}
    for round_index in range(samples if names else 0):
        shift = round_index % len(names)
        for name in names[shift:] + names[:shift]:
            times_us[name].append(timer.sample_us(calls[name]))
    return times_us
