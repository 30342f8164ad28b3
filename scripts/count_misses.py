#!/usr/bin/env python3
"""Counts elements of o by their error over many draws of Q, K and V: how often an exported package misses the tolerance.

    scripts/count_misses.py PACKAGE [--suite NAME] [--cases IDS] [--draws N] [--seed N]

PACKAGE is a folder made by `attune export`. Errors are in units of the tolerance of o, 1e-3 + 1e-2 |o|, against an fp64
reference; the draws are the same for every package. Tells of elements near the tolerance, too: where a rounding error has a
tail, those are many enough to compare packages by. Needs NumPy, PyTorch and the GPU that the package was made for.
"""

import argparse
import sys

from needs import needs

with needs("numpy", "torch"):
    from peers import cases as case_tools
    from peers import contestants, measure

SHARES = (0.6, 0.7, 0.8, 0.9, 1.0)  # of the tolerance


def errors_in_tolerances(o, expected):
    """|o - expected| over the tolerance; NaN where o is."""
    expected = expected.float()
    return (o.float() - expected).abs() / (measure.O_ATOL + measure.O_RTOL * expected.abs())


def count(package, case, draws, seed):
    """(elements of o a draw, elements past each share in all draws, draws with an element past the last, worst error)."""
    mask = case_tools.draw_mask(case)
    past, missed, worst, elements = [0] * len(SHARES), 0, 0.0, 0
    for draw in range(draws):
        tensors = measure.Tensors(case, mask, seed + draw)
        expected, _ = measure.reference(tensors)
        error = errors_in_tolerances(package.bind(tensors)()[0], expected)
        counts = [int((~(error <= share)).sum()) for share in SHARES]
        past = [total + more for total, more in zip(past, counts)]
        missed += counts[-1] > 0
        worst = max(worst, error.nan_to_num(nan=float("inf")).max().item())
        elements = error.numel()
    return elements, past, missed, worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", help="a directory made by `attune export`")
    parser.add_argument("--suite", default="quick", help="name under configs/suites, or a .json file (quick)")
    parser.add_argument("--cases", default="", help="comma-separated case_ids (all)")
    parser.add_argument("--draws", type=int, default=100, help="of Q, K and V for each case (100)")
    parser.add_argument("--seed", type=int, default=1, help="of the first draw (1)")
    options = parser.parse_args()
    try:
        package = contestants.package(options.package)
    except ValueError as error:
        parser.error(str(error))
    print("case\telements a draw\t" + "\t".join(f"past {share:g}" for share in SHARES) + "\tdraws with a miss\tworst")
    wanted = set(filter(None, options.cases.split(",")))
    for case in case_tools.load_suite(options.suite):
        if wanted and case.case_id not in wanted:
            continue
        elements, past, missed, worst = count(package, case, options.draws, options.seed)
        print(f"{case.case_id}\t{elements}\t" + "\t".join(map(str, past)) + f"\t{missed} of {options.draws}\t{worst:.2f}",
              flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
