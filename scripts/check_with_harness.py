#!/usr/bin/env python3
"""Runs an exported package through the public Attention Kernel Challenge harness: its cases, its reference, its
tolerances, its clock.

    scripts/check_with_harness.py PATH_TO_HARNESS PACKAGE [--suites smoke,quick,full,broad] [--measure-iters N]

PATH_TO_HARNESS is a checkout of paradigmxyz/attention-kernel-challenge, PACKAGE a folder made by `attune export`. Needs
torch and numpy, and for a CUDA package the GPU it was made for. The times are the harness's wall-clock latencies of a
call, launch overhead included: they compare with other submissions timed by it, not with attune's GPU times. Exits with 1
when anything is wrong.
"""

import argparse
import functools
import importlib.util
import sys
from pathlib import Path

from needs import needs

SUITES = {"cuda": "smoke,quick,full,broad", "cpu": "smoke"}


def load_package(folder):
    path = Path(folder).resolve() / "block_sparse_attn.py"
    if not path.is_file():
        sys.exit(f"{folder} is no package: it has no block_sparse_attn.py; make one with `attune export --to DIR`")
    spec = importlib.util.spec_from_file_location("block_sparse_attn", path)
    package = importlib.util.module_from_spec(spec)
    with needs("numpy", "torch"):
        spec.loader.exec_module(package)
    return package


def load_harness(folder):
    if not (Path(folder) / "attention_kernel_challenge" / "evaluator.py").is_file():
        sys.exit(f"{folder} is no checkout of the harness: it has no attention_kernel_challenge/evaluator.py")
    sys.path.insert(0, str(Path(folder).resolve()))
    with needs("numpy", "torch"):
        from attention_kernel_challenge import evaluator, spec

    return evaluator, spec


def print_summary(what, summary):
    print(f"{what}: {'valid' if summary.overall_valid else 'INVALID: ' + str(summary.failure_reason)}")
    for case in summary.case_results:
        latency = "-" if case.latency_ms is None else f"{case.latency_ms:.4f} ms"
        checked = case.validation
        print(f"  {case.case_id:<24} {latency:>14}  o {checked.output_max_abs_diff:.2e}  lse {checked.lse_max_abs_diff:.2e}  "
              f"{checked.message}")
    if summary.geometric_mean_family_latency_ms is not None:
        print(f"  geometric mean over families: {summary.geometric_mean_family_latency_ms:.4f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("harness")
    parser.add_argument("package")
    parser.add_argument("--suites", help="comma-separated (default: all of a GPU's, smoke on a CPU)")
    parser.add_argument("--warmup-iters", type=int, default=3)
    parser.add_argument("--measure-iters", type=int, default=5)
    options = parser.parse_args()
    evaluator, spec = load_harness(options.harness)
    package = load_package(options.package)
    device = package.MANIFEST["device"]
    timed = spec.EvaluationConfig(device=device, check_correctness=True, warmup_iters=options.warmup_iters,
                                  measure_iters=options.measure_iters)
    checked = spec.EvaluationConfig(device=device, correctness_only=True)
    variants = [entry["name"] for entry in package.MANIFEST["variants"]]

    valid = True
    for suite in (options.suites or SUITES[device]).split(","):
        summary = evaluator.evaluate_callable(package.block_sparse_attn_fwd, suite, timed, setup=package.setup)
        print_summary(suite, summary)
        valid = valid and summary.overall_valid
        for name in variants if len(variants) > 1 else []:
            forced = functools.partial(package.block_sparse_attn_fwd, variant=name)
            summary = evaluator.evaluate_callable(forced, suite, checked)
            print_summary(f"{suite}, variant {name}", summary)
            valid = valid and summary.overall_valid
    return 0 if valid else 1


if __name__ == "__main__":
    sys.exit(main())
