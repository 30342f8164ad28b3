"""Two Triton kernels of the operator, and the cache flush. Masks must be those of cases.py: a row lists no block above
its own, and a row that lists anything lists its diagonal block last."""

import math

import torch
import triton
import triton.language as tl

LOG2_E = math.log2(math.e)
LN_2 = tl.constexpr(math.log(2.0))


@triton.jit(do_not_specialize=["max_nnz"])
def plain_kernel(q, k, v, o, lse, row_ptr, col_idx, seq_lens, heads, t_max, max_nnz, scale, KEY_TILE: tl.constexpr):
    """Every operand upcast to fp32, both products in tf32, every tile masked in full, query blocks in order."""
    q_block = tl.program_id(0)
    batch_head = tl.program_id(1)
    seq_len = tl.load(seq_lens + batch_head // heads)
    row = row_ptr + batch_head * (tl.num_programs(0) + 1) + q_block
    begin = tl.load(row)
    end = tl.load(row + 1)
    base = batch_head.to(tl.int64) * t_max * 128
    queries = q_block * 128 + tl.arange(0, 128)
    dims = tl.arange(0, 128)
    keys = tl.arange(0, KEY_TILE)
    q_tile = tl.load(q + base + queries[:, None] * 128 + dims[None, :]).to(tl.float32)
    acc = tl.zeros((128, 128), tl.float32)
    row_max = tl.full((128,), float("-inf"), tl.float32)
    row_sum = tl.zeros((128,), tl.float32)
    for entry in range(begin, end):
        block = tl.load(col_idx + batch_head * max_nnz + entry)
        for part in range(128 // KEY_TILE):
            positions = block * 128 + part * KEY_TILE + keys
            k_tile = tl.load(k + base + positions[:, None] * 128 + dims[None, :]).to(tl.float32)
            v_tile = tl.load(v + base + positions[:, None] * 128 + dims[None, :]).to(tl.float32)
            scores = tl.dot(q_tile, tl.trans(k_tile)) * scale
            attended = (positions[None, :] <= queries[:, None]) & (positions[None, :] < seq_len)
            attended = attended & (queries[:, None] < seq_len)
            scores = tl.where(attended, scores, float("-inf"))
            new_max = tl.maximum(row_max, tl.max(scores, 1))
            finite_max = tl.where(new_max == float("-inf"), 0.0, new_max)
            weights = tl.exp(scores - finite_max[:, None])
            rescale = tl.exp(row_max - finite_max)
            row_sum = row_sum * rescale + tl.sum(weights, 1)
            acc = acc * rescale[:, None] + tl.dot(weights, v_tile)
            row_max = new_max
    valid = row_sum > 0.0
    acc = tl.where(valid[:, None], acc / tl.where(valid, row_sum, 1.0)[:, None], 0.0)
    tl.store(o + base + queries[:, None] * 128 + dims[None, :], acc.to(tl.bfloat16))
    row_lse = tl.where(valid, row_max + tl.log(tl.where(valid, row_sum, 1.0)), float("-inf"))
    tl.store(lse + batch_head * t_max + queries, row_lse)


@triton.jit
def _tile(k_base, v_base, q_tile, queries, start, acc, row_max, row_sum, scale_log2, KEY_TILE: tl.constexpr,
          DIAGONAL: tl.constexpr):
    """One step of the online softmax, in base 2, over the KEY_TILE keys from `start` on."""
    dims = tl.arange(0, 128)
    positions = start + tl.arange(0, KEY_TILE)
    k_tile = tl.load(k_base + positions[:, None] * 128 + dims[None, :])
    v_tile = tl.load(v_base + positions[:, None] * 128 + dims[None, :])
    scores = tl.dot(q_tile, tl.trans(k_tile))
    if DIAGONAL:
        scores = tl.where(positions[None, :] <= queries[:, None], scores, float("-inf"))
    new_max = tl.maximum(row_max, tl.max(scores, 1) * scale_log2)
    weights = tl.exp2(scores * scale_log2 - new_max[:, None])
    rescale = tl.exp2(row_max - new_max)
    row_sum = row_sum * rescale + tl.sum(weights, 1)
    acc = tl.dot(weights.to(tl.float16), v_tile.to(tl.float32).to(tl.float16), acc * rescale[:, None])
    return acc, new_max, row_sum


@triton.autotune(
    configs=[triton.Config({"KEY_TILE": tile}, num_warps=warps, num_stages=stages)
             for tile, warps, stages in ((128, 8, 2), (128, 8, 3), (64, 8, 2), (64, 8, 3))],
    key=["heads", "t_max", "max_nnz"])
@triton.jit(do_not_specialize=["max_nnz"])
def tuned_kernel(q, k, v, o, lse, row_ptr, col_idx, seq_lens, heads, t_max, max_nnz, scale_log2,
                 KEY_TILE: tl.constexpr):
    """bf16 Q K^T, fp16 P V with V converted on the way, the diagonal first and alone masked, longest rows first."""
    PARTS: tl.constexpr = 128 // KEY_TILE
    batch_head = tl.program_id(0)
    q_blocks = tl.num_programs(1)
    q_block = q_blocks - 1 - tl.program_id(1)
    base = batch_head.to(tl.int64) * t_max * 128
    queries = q_block * 128 + tl.arange(0, 128)
    dims = tl.arange(0, 128)
    o_pointers = o + base + queries[:, None] * 128 + dims[None, :]
    lse_pointers = lse + batch_head * t_max + queries
    row = row_ptr + batch_head * (q_blocks + 1) + q_block
    begin = tl.load(row)
    end = tl.load(row + 1)
    if begin == end:
        tl.store(o_pointers, tl.zeros((128, 128), tl.bfloat16))
        tl.store(lse_pointers, tl.full((128,), float("-inf"), tl.float32))
        return
    q_tile = tl.load(q + base + queries[:, None] * 128 + dims[None, :])
    acc = tl.zeros((128, 128), tl.float32)
    row_max = tl.full((128,), float("-inf"), tl.float32)
    row_sum = tl.zeros((128,), tl.float32)
    for part in tl.static_range(PARTS):
        acc, row_max, row_sum = _tile(k + base, v + base, q_tile, queries, q_block * 128 + part * KEY_TILE, acc,
                                      row_max, row_sum, scale_log2, KEY_TILE, True)
    for step in range(begin * PARTS, (end - 1) * PARTS):
        block = tl.load(col_idx + batch_head * max_nnz + step // PARTS)
        acc, row_max, row_sum = _tile(k + base, v + base, q_tile, queries, block * 128 + (step % PARTS) * KEY_TILE, acc,
                                      row_max, row_sum, scale_log2, KEY_TILE, False)
    # Keys below a query are below seq_len when the query is, so only whole rows are left to clear.
    valid = queries < tl.load(seq_lens + batch_head // heads)
    tl.store(o_pointers, tl.where(valid[:, None], acc / row_sum[:, None], 0.0).to(tl.bfloat16))
    tl.store(lse_pointers, tl.where(valid, (row_max + tl.log2(row_sum)) * LN_2, float("-inf")))


@triton.jit(do_not_specialize=["salt"])
def flush_kernel(memory, salt, KEEP: tl.constexpr, TILE: tl.constexpr):
    """Overwrites the memory, which is as long as the grid says. KEEP: with the rank of lines to be evicted last."""
    index = tl.program_id(0) * TILE + tl.arange(0, TILE)
    # Contents change with the salt, so that no compression or silent store makes the flush cheap.
    words = (index + salt) * 0x2545F491
    if KEEP:
        tl.inline_asm_elementwise(
            """{
            .reg .b64 policy;
            createpolicy.fractional.L2::evict_last.b64 policy, 1.0;
            st.global.L2::cache_hint.b32 [$1], $2, policy;
            mov.b32 $0, $2;
            }""",
            "=r,l,r", [(memory + index).to(tl.int64), words], dtype=tl.int32, is_pure=False, pack=1)
    else:
        tl.store(memory + index, words)


def _outputs(q):
    return torch.empty_like(q), torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)


def plain(q, k, v, row_ptr, col_idx, seq_lens, key_tile=128):
    """(o, lse) by plain_kernel."""
    batch, heads, t_max, _ = q.shape
    o, lse = _outputs(q)
    plain_kernel[(t_max // 128, batch * heads)](
        q, k, v, o, lse, row_ptr, col_idx, seq_lens, heads, t_max, col_idx.shape[-1], 128**-0.5, KEY_TILE=key_tile,
        num_warps=4, num_stages=1)
    return o, lse


def tuned(q, k, v, row_ptr, col_idx, seq_lens):
    """(o, lse) by tuned_kernel, its tile, warps and stages chosen by Triton's autotuner for each shape."""
    batch, heads, t_max, _ = q.shape
    o, lse = _outputs(q)
    tuned_kernel[(batch * heads, t_max // 128)](
        q, k, v, o, lse, row_ptr, col_idx, seq_lens, heads, t_max, col_idx.shape[-1], 128**-0.5 * LOG2_E)
    return o, lse


class Flush:
    """Puts everything out of the L2 cache.

    Lines that a kernel loaded with an evict_last hint yield only to lines of that rank, so memory of twice the cache's
    size is written twice: with that rank, then with the normal one.
    """

    _TILE = 4096

    def __init__(self, l2_bytes):
        words = max(2 * l2_bytes, 64 << 20) // 4
        self._tiles = -(-words // self._TILE)
        self._memory = torch.empty(self._tiles * self._TILE, dtype=torch.int32, device="cuda")
        self._salt = 1

    def __call__(self):
        for keep in (True, False):
            self._salt = (self._salt + 2) % (1 << 20)
            flush_kernel[(self._tiles,)](self._memory, self._salt, KEEP=keep, TILE=self._TILE, num_warps=8)
