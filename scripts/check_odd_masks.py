#!/usr/bin/env python3
"""Checks an exported package on what no suite draws, and that many launches end alike.

    scripts/check_odd_masks.py PACKAGE [--launches 10000] [--seed N]

PACKAGE is a folder made by `attune export`. The masks have rows without a key block, rows without their diagonal block and
blocks above the diagonal, which a kernel must leave out; the shapes have one block, seq_lens of 1, 127, 128 and 129, three
batches, five heads, and more and fewer query blocks than a GPU has multiprocessors. Every result is compared with an fp64
reference and must be the same to the bit when the call is made again. Needs NumPy, PyTorch and the GPU that the package was
made for. Exits with 1 when anything is wrong.
"""

import argparse
import sys

from needs import needs

with needs("numpy", "torch"):
    import numpy

    from peers import cases as case_tools
    from peers import contestants, measure

# (batch, heads, t_max, seq_lens)
SHAPES = [
    (1, 1, 128, [1]),
    (1, 1, 128, [128]),
    (1, 2, 256, [129]),
    (3, 5, 384, [1, 127, 384]),
    (3, 5, 1024, [128, 129, 1000]),
    (2, 3, 2048, [2048, 1300]),
    (1, 16, 4096, [4095]),
]
EMPTY, NO_DIAGONAL, BEYOND = 0.15, 0.3, 0.2  # shares of rows


def draw_row(generator, block, blocks):
    """Ascending key blocks of a query block. Some lie above the diagonal."""
    if generator.random() < EMPTY:
        return []
    listed = generator.random(blocks) < generator.uniform(0.1, 0.9)
    listed[block] = generator.random() >= NO_DIAGONAL
    if generator.random() >= BEYOND:
        listed[block + 1:] = False
    return numpy.flatnonzero(listed).tolist()


def draw_mask(generator, batch, heads, t_max, seq_lens):
    blocks = t_max // case_tools.BLOCK_SIZE
    row_ptr = numpy.zeros((batch, heads, blocks + 1), dtype=numpy.int32)
    lists = {}
    for index in numpy.ndindex(batch, heads):
        live = -(-seq_lens[index[0]] // case_tools.BLOCK_SIZE)
        rows = [draw_row(generator, block, live) if block < live else [] for block in range(blocks)]
        row_ptr[index][1:] = numpy.cumsum([len(row) for row in rows])
        lists[index] = [block for row in rows for block in row]
    col_idx = numpy.zeros((batch, heads, max(1, int(row_ptr.max()))), dtype=numpy.int32)
    for index, blocks_listed in lists.items():
        col_idx[index][:len(blocks_listed)] = blocks_listed
    return case_tools.Mask(numpy.array(seq_lens, dtype=numpy.int32), row_ptr, col_idx)


def launch_again(call, expected, launches):
    """Results of all launches but the last are dropped: a launch that never ends is what would show."""
    import torch

    for _ in range(launches):
        o, lse = call()
    torch.cuda.synchronize()
    return torch.equal(o, expected[0]) and torch.equal(lse, expected[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package")
    parser.add_argument("--launches", type=int, default=10000, help="of all shapes together (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        package = contestants.package(options.package)
    except ValueError as error:
        parser.error(str(error))
    generator = numpy.random.default_rng(options.seed)
    wrong = 0
    for batch, heads, t_max, seq_lens in SHAPES:
        case = case_tools.Case("odd", "sliding_window", batch, heads, t_max, window_blocks=1)
        tensors = measure.Tensors(case, draw_mask(generator, batch, heads, t_max, seq_lens), options.seed)
        call = package.bind(tensors)
        errors = measure.check(call, measure.reference(tensors))
        first = [result.clone() for result in call()]
        alike = launch_again(call, first, -(-options.launches // len(SHAPES)))
        wrong += not (errors.none and alike)
        print(f"batch {batch}, heads {heads}, t_max {t_max}, seq_lens {seq_lens}: {errors.o} elements of o and {errors.lse} of "
              f"lse out of tolerance, {'all launches alike' if alike else 'LAUNCHES DIFFER'}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
