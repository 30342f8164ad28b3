#!/usr/bin/env python3
"""Compare exported kernels with others on this machine's GPU: one process, the same tensors, in turn, cold L2.

Needs Python with NumPy, PyTorch and Triton, and a Hopper GPU; no build. A case's median is over cold samples of GPU
time (CUDA events). TFLOP/s count every listed block whole. The score is the geometric mean of the families' medians.

    attune export --to best && python3 scripts/compare_peers.py --package best --suite quick
    python3 scripts/compare_peers.py --check-masks        # needs NumPy alone
"""

import argparse
import contextlib
import json
import math
import platform
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from needs import EXIT_ENVIRONMENT, needs

with needs("numpy"):
    from peers import cases as case_tools

PEERS = "triton-tf32,triton-fp16,flex"
EXIT_FAILED, EXIT_BAD_INPUT = 1, 2


class NoDevice(Exception):
    """This machine lacks what a comparison needs."""


class TimeLimit(BaseException):
    """Not an Exception, so that no compiler's own handling swallows it."""


@contextlib.contextmanager
def time_limit(seconds):
    def stop(_signal, _frame):
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def progress(text):
    print(text, file=sys.stderr, flush=True)


def one_line(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


def environment():
    import torch
    import triton

    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        driver = "unknown"
    properties = torch.cuda.get_device_properties(0)
    return {"gpu": properties.name, "l2_bytes": properties.L2_cache_size, "driver": driver, "cuda": torch.version.cuda,
            "torch": torch.__version__, "triton": triton.__version__, "python": platform.python_version()}


def prepare(contestants, tensors, timer, limit_s, dropped):
    """(calls, results): what can be timed on this case, and each contestant's errors or the reason it has none."""
    from peers import measure

    expected = measure.reference(tensors)
    calls, results = {}, {}
    for contestant in contestants:
        name = contestant.name
        if name in dropped:
            results[name] = {"failed": dropped[name]}
            continue
        started = time.monotonic()
        try:
            with time_limit(limit_s):
                call = contestant.bind(tensors)
                errors = measure.check(call, expected)
                for _ in range(3):
                    timer.sample_us(call)
        except TimeLimit:
            # What took too long once is not waited for again.
            dropped[name] = f"not ready within {limit_s:g} s (--peer-seconds)"
            results[name] = {"failed": dropped[name]}
        except Exception as error:  # whatever a contestant throws is that contestant's result
            results[name] = {"failed": one_line(error)}
        else:
            calls[name] = call
            results[name] = {"o_out_of_tolerance": errors.o, "lse_out_of_tolerance": errors.lse}
        progress(f"  {name}: {results[name].get('failed', 'ready')}, {time.monotonic() - started:.1f} s")
    return calls, results


def run_case(case, mask, contestants, timer, options, dropped):
    import torch

    from peers import measure

    with torch.no_grad():
        tensors = measure.Tensors(case, mask, options.seed)
        calls, results = prepare(contestants, tensors, timer, options.peer_seconds, dropped)
        for name, times_us in measure.time_in_turn(timer, calls, options.samples).items():
            quartiles = statistics.quantiles(times_us, n=4, method="inclusive")
            results[name].update(median_us=quartiles[1], quartiles_us=[quartiles[0], quartiles[2]], samples_us=times_us)
        return {"case_id": case.case_id, "family": case.family, "flop": tensors.flop, "floor_us": tensors.floor_us,
                "contestants": results}


def family_score(medians_us):
    """Geometric mean of the families' medians over [(family, microseconds)]; None where a family has no case."""
    by_family = {family: [value for key, value in medians_us if key == family] for family in case_tools.FAMILIES}
    if not all(by_family.values()):
        return None
    return math.exp(statistics.fmean(math.log(statistics.median(values)) for values in by_family.values()))


def scores(results, names):
    """{name: {score_us, cases_out_of_tolerance}}; a contestant that lacks a case has no score. Also the floor's."""
    table = {}
    for name in names:
        rows = [(result["family"], result["contestants"][name]) for result in results]
        complete = all("median_us" in row for _, row in rows)
        wrong = sum(bool(row.get("o_out_of_tolerance") or row.get("lse_out_of_tolerance")) for _, row in rows)
        score = family_score([(family, row["median_us"]) for family, row in rows]) if complete else None
        table[name] = {"score_us": score, "cases_out_of_tolerance": wrong}
    floor_us = family_score([(result["family"], result["floor_us"]) for result in results])
    return table, floor_us


def ratio(value, base):
    return f"{value / base:.2f}" if value and base else "-"


def print_table(record):
    contestants = record["contestants"]
    base = next((name for name, item in contestants.items() if item["ours"]), None)
    width = max(len(name) for name in contestants) + 2
    head = (f"  {'':{width}}{'median µs':>10}{'quartiles':>17}{'TFLOP/s':>9}{'/ ours':>8}{'of floor':>10}"
            f"{'o wrong':>9}{'lse wrong':>11}")
    for result in record["cases"]:
        print(f"\n{result['case_id']}: {result['flop'] / 1e9:.2f} GFLOP, floor {result['floor_us']:.1f} µs\n{head}")
        ours = result["contestants"].get(base, {}).get("median_us")
        for name, row in result["contestants"].items():
            if "failed" in row:
                print(f"  {name:{width}}{row['failed']}")
                continue
            median, (low, high) = row["median_us"], row["quartiles_us"]
            print(f"  {name:{width}}{median:10.2f}{f'{low:.2f}–{high:.2f}':>17}{result['flop'] / median / 1e6:9.0f}"
                  f"{ratio(median, ours):>8}{100 * result['floor_us'] / median:9.0f}%{row['o_out_of_tolerance']:9d}"
                  f"{row['lse_out_of_tolerance']:11d}")
    floor = record["floor_score_us"]
    print(f"\nscore of {record['suite']}" + (f", floor {floor:.1f} µs" if floor else "") +
          f"\n  {'':{width}}{'score µs':>10}{'/ ours':>8}{'of floor':>10}{'cases wrong':>13}")
    ours = record["scores"].get(base, {}).get("score_us")
    for name, row in record["scores"].items():
        score = row["score_us"]
        shown = f"{score:10.2f}" if score else f"{'-':>10}"
        share = f"{100 * floor / score:.0f}%" if score and floor else "-"
        print(f"  {name:{width}}{shown}{ratio(score, ours):>8}{share:>10}{row['cases_out_of_tolerance']:>13}")
    print("\n" + "\n".join(f"  {name:{width}}{item['what']}" for name, item in contestants.items()))
    facts = record["environment"]
    print(f"  {facts['gpu']}, driver {facts['driver']}, CUDA {facts['cuda']}, torch {facts['torch']}, triton "
          f"{facts['triton']}; {record['samples']} cold samples each, in turn")
    print("  wrong: elements out of tolerance of an fp64 reference (o 1e-3 + 1e-2 |b| as bf16, lse 1e-5 + 1e-5 |b|)")


def check_masks():
    golden = case_tools.golden_cases()
    suites = sorted(path.stem for path in case_tools.SUITES.glob("*.json"))
    for suite in suites:
        cases = case_tools.load_suite(suite)
        same = sum(case_tools.check_golden(case, case_tools.draw_mask(case), golden) is True for case in cases)
        print(f"{suite}: {same} of {len(cases)} masks are the recorded ones, bit for bit")


def choose_cases(options):
    cases = case_tools.load_suite(options.suite)
    if not options.cases:
        return cases
    wanted = options.cases.split(",")
    unknown = sorted(set(wanted) - {case.case_id for case in cases})
    if unknown:
        raise ValueError(f"--cases: {options.suite} has no {', '.join(unknown)}; it has "
                         f"{', '.join(case.case_id for case in cases)}")
    return [case for case in cases if case.case_id in wanted]


def choose_contestants(options):
    from peers import contestants

    ours = [contestants.package(folder) for folder in options.package]
    if len({item.name for item in ours}) != len(ours):
        raise ValueError("--package: two folders have the same name; rename one, the table tells them apart by it")
    peers = contestants.peers()
    chosen = [name for name in options.peers.split(",") if name]
    unknown = sorted(set(chosen) - set(peers))
    if unknown:
        raise ValueError(f"--peers: no {', '.join(unknown)}; there are {', '.join(peers)}")
    if not ours and not chosen:
        raise ValueError("nothing to compare; give --package or --peers")
    return ours + [peers[name] for name in chosen]


def require_gpu():
    try:
        import torch
        import triton  # noqa: F401  (the flush needs it)
    except ImportError as error:
        raise NoDevice(f"{error}; install PyTorch with CUDA, which brings Triton") from None
    if not torch.cuda.is_available():
        raise NoDevice("torch sees no CUDA GPU")
    major, minor = torch.cuda.get_device_capability(0)
    if major < 9:
        raise NoDevice(f"GPU 0 has compute capability {major}.{minor}; the kernels and the floor are for Hopper (9.0)")


def compare(options, cases, contestants):
    import torch

    from peers import measure, triton_kernels

    torch.backends.cuda.matmul.allow_tf32 = False
    facts = environment()
    timer = measure.ColdTimer(triton_kernels.Flush(facts["l2_bytes"]))
    golden = case_tools.golden_cases()
    record = {"suite": options.suite, "samples": options.samples, "seed": options.seed, "environment": facts,
              "contestants": {item.name: {"what": item.what, "ours": item.ours} for item in contestants}, "cases": []}
    dropped = {}
    for case in cases:
        mask = case_tools.draw_mask(case)
        recorded = case_tools.check_golden(case, mask, golden)
        progress(f"{case.case_id}: {'mask as recorded' if recorded else 'no mask is recorded for this case'}")
        record["cases"].append(run_case(case, mask, contestants, timer, options, dropped))
        record["scores"], record["floor_score_us"] = scores(record["cases"], record["contestants"])
        if options.json:  # after each case, so that an interrupted run leaves what it measured
            Path(options.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        torch.cuda.empty_cache()
    print_table(record)
    ours = [name for name, item in record["contestants"].items() if item["ours"]]
    bad = [name for name in ours if record["scores"][name]["cases_out_of_tolerance"] or
           any("failed" in result["contestants"][name] for result in record["cases"])]
    return EXIT_FAILED if bad else 0


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", action="append", default=[], metavar="DIR",
                        help="a directory made by `attune export`; may be repeated; ratios are to the first")
    parser.add_argument("--suite", default="quick", help="name under configs/suites, or a .json file (quick)")
    parser.add_argument("--cases", default="", help="comma-separated case_ids (all)")
    parser.add_argument("--peers", default=PEERS, help=f"comma-separated, or empty ({PEERS})")
    parser.add_argument("--samples", type=int, default=200, help="cold samples of each kernel and case (200)")
    parser.add_argument("--peer-seconds", type=float, default=60, help="limit to compile and check one on a case (60)")
    parser.add_argument("--seed", type=int, default=1, help="of Q, K and V (1)")
    parser.add_argument("--json", metavar="FILE", help="also write everything, all samples included")
    parser.add_argument("--check-masks", action="store_true", help="only check masks against tests/golden/masks.json")
    options = parser.parse_args(arguments)
    if options.samples < 2 or options.peer_seconds <= 0:
        parser.error("--samples must be at least 2 and --peer-seconds above 0")
    return options


def main():
    options = parse(sys.argv[1:])
    if options.check_masks:
        check_masks()
        return 0
    try:
        cases = choose_cases(options)
        require_gpu()
        contestants = choose_contestants(options)
    except ValueError as error:
        progress(f"compare_peers: {error}")
        return EXIT_BAD_INPUT
    except NoDevice as error:
        progress(f"compare_peers: {error}")
        return EXIT_ENVIRONMENT
    return compare(options, cases, contestants)


if __name__ == "__main__":
    sys.exit(main())
