"""Suites and block masks, drawn as docs/operator.md says. Needs NumPy alone."""

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy

BLOCK_SIZE = 128
HEAD_DIM = 128
FAMILIES = ("sliding_window", "sliding_window_global", "sliding_window_retrieval")

ROOT = Path(__file__).resolve().parent.parent.parent
SUITES = ROOT / "configs" / "suites"
GOLDEN = ROOT / "tests" / "golden" / "masks.json"

# What the two products of one 128x128 block of scores cost.
FLOP_PER_LISTED_BLOCK = 4 * BLOCK_SIZE * BLOCK_SIZE * HEAD_DIM


@dataclass(frozen=True)
class Case:
    case_id: str
    family: str
    batch_size: int
    num_heads: int
    t_max: int
    window_blocks: int
    global_blocks: int = 0
    retrieval_blocks: int = 0
    retrieval_local_bias: float = 0.7
    seq_len_min_ratio: float = 0.625
    seed: int = 0
    profile: str = "smoke"

    @property
    def q_blocks(self):
        return self.t_max // BLOCK_SIZE


@dataclass(frozen=True)
class Mask:
    """seq_lens (batch), row_ptr (batch, heads, q_blocks + 1), col_idx (batch, heads, max_nnz): int32."""

    seq_lens: numpy.ndarray
    row_ptr: numpy.ndarray
    col_idx: numpy.ndarray

    @property
    def nnz(self):
        """Listed blocks of all heads."""
        return int(self.row_ptr[:, :, -1].sum())

    def hashes(self):
        return {name: hashlib.sha256(numpy.ascontiguousarray(getattr(self, name), dtype="<i4").tobytes()).hexdigest()
                for name in ("row_ptr", "col_idx")}


def load_suite(name):
    """Cases of a built-in suite, or of a suite file. ValueError says what is wrong with it."""
    path = Path(name) if name.endswith(".json") else SUITES / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(item.stem for item in SUITES.glob("*.json")))
        raise ValueError(f"no suite {name!r}; give one of {known}, or a .json file")
    try:
        cases = [Case(**item) for item in json.loads(path.read_text(encoding="utf-8"))]
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: {error}; keys are {', '.join(field.name for field in fields(Case))}") from None
    for case in cases:
        if case.family not in FAMILIES:
            raise ValueError(f"{path}: {case.case_id}: family {case.family!r} is none of {', '.join(FAMILIES)}")
    return cases


def _draw_seq_lens(case):
    shortest = max(BLOCK_SIZE, int(case.t_max * case.seq_len_min_ratio))
    if shortest >= case.t_max:
        return numpy.full(case.batch_size, case.t_max, dtype=numpy.int32)
    generator = numpy.random.default_rng(case.seed ^ 0xABCDEF)
    return generator.integers(shortest, case.t_max + 1, size=case.batch_size, dtype=numpy.int32)


def _draw_row(case, query_block, generator):
    """Ascending key blocks of one query block."""
    window_start = max(0, query_block - case.window_blocks + 1)
    window = list(range(window_start, query_block + 1))
    if case.family == "sliding_window":
        return window
    if case.family == "sliding_window_global":
        return list(range(min(case.global_blocks, window_start))) + window
    near_start = max(0, query_block - 4 * case.window_blocks)
    near, far = list(range(near_start, window_start)), list(range(near_start))
    drawn = []
    while len(drawn) < case.retrieval_blocks and (near or far):
        # The order of the two conditions matters: a number is drawn only where both pools hold blocks.
        from_near = bool(near) and (not far or generator.random() < case.retrieval_local_bias)
        pool = near if from_near else far
        block = int(generator.choice(pool))
        pool.remove(block)
        drawn.append(block)
    return sorted(drawn) + window


def draw_mask(case):
    seq_lens = _draw_seq_lens(case)
    case_generator = numpy.random.default_rng(case.seed)
    row_ptr = numpy.zeros((case.batch_size, case.num_heads, case.q_blocks + 1), dtype=numpy.int32)
    columns = {}
    for batch, seq_len in enumerate(seq_lens):
        valid_blocks = -(-int(seq_len) // BLOCK_SIZE)
        for head in range(case.num_heads):
            generator = numpy.random.default_rng(int(case_generator.integers(0, 2**31 - 1)))
            rows = [_draw_row(case, block, generator) for block in range(valid_blocks)]
            lengths = [len(row) for row in rows] + [0] * (case.q_blocks - valid_blocks)
            numpy.cumsum(lengths, out=row_ptr[batch, head, 1:])
            columns[batch, head] = [block for row in rows for block in row]
    col_idx = numpy.zeros((case.batch_size, case.num_heads, int(row_ptr[:, :, -1].max())), dtype=numpy.int32)
    for (batch, head), blocks in columns.items():
        col_idx[batch, head, :len(blocks)] = blocks
    return Mask(seq_lens, row_ptr, col_idx)


def golden_cases():
    """What tests/golden/masks.json records, by case_id."""
    suites = json.loads(GOLDEN.read_text(encoding="utf-8"))["suites"]
    return {case["case_id"]: case for cases in suites.values() for case in cases}


def check_golden(case, mask, golden):
    """True when the mask is the recorded one, None when nothing is recorded for this case; ValueError otherwise."""
    record = golden.get(case.case_id)
    if record is None or record["seed"] != case.seed:
        return None
    if mask.seq_lens.tolist() != record["seq_lens"]:
        raise ValueError(f"{case.case_id}: seq_lens {mask.seq_lens.tolist()} are not those of {GOLDEN.name}")
    for name, value in mask.hashes().items():
        if value != record[f"{name}_sha256"]:
            wanted = record[f"{name}_sha256"]
            raise ValueError(f"{case.case_id}: {name} has SHA-256 {value}, and {GOLDEN.name} has {wanted}")
    return True
