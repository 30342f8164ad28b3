#!/usr/bin/env python3
"""Compare attune's search strategies with Kernel Tuner's on one recorded space.

Both sides search the same Kernel Tuner cache file without a device: attune by `attune replay`, Kernel Tuner in its
simulation mode. Counted are the distinct evaluations until a result within 1 % of the recorded best, and what those had
cost when they were recorded (compile and device seconds, one after the other); a run that never gets there counts as the
limit, and with all the seconds it spent.

    python3 -m venv /some/venv && /some/venv/bin/pip install kernel_tuner
    /some/venv/bin/python scripts/compare_kernel_tuner.py CACHE.json --seeds 100
"""

import argparse
import contextlib
import io
import json
import random
import signal
import statistics
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from needs import needs

# Not searches of a single objective, or in need of packages that Kernel Tuner does not bring.
LEFT_OUT = {"brute_force", "nsga2", "nsga3", "skopt", "pyatf_strategies"}


COSTS = ("compile_time", "verification_time", "benchmark_time")  # milliseconds, in cache files and in results


RUN_LIMIT_S = 300  # some strategies go on for ever once they find nothing new


def effort_to_near_best(results, near_ms, limit):
    """Evaluations and recorded seconds until the first time at or below near_ms; all of them when there is none."""
    seconds = 0.0
    for count, result in enumerate(results[:limit], start=1):
        seconds += sum(result.get(part) or 0.0 for part in COSTS) / 1000.0
        time_ms = result.get("time")
        if isinstance(time_ms, (int, float)) and time_ms <= near_ms:
            return count, seconds
    return limit, seconds


def give_up(*_):
    raise TimeoutError(f"no end after {RUN_LIMIT_S} s")


def run_kernel_tuner(task):
    """Effort of one seeded run of a Kernel Tuner strategy; an error's text when it cannot run."""
    signal.signal(signal.SIGALRM, give_up)
    cache, strategy, seed, limit, near_ms = task
    import kernel_tuner
    import numpy

    random.seed(seed)
    numpy.random.seed(seed)
    silence = io.StringIO()
    signal.alarm(RUN_LIMIT_S)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            warnings.simplefilter("ignore")
            results, _ = kernel_tuner.tune_cache(
                cache, strategy=strategy, strategy_options={"max_fevals": limit}, quiet=True, verbose=False)
    except Exception as error:  # whatever a strategy throws is that strategy's result
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return effort_to_near_best(results, near_ms, limit)


def kernel_tuner_efforts(pool, cache, strategies, seeds, limit, near_ms):
    for strategy in strategies:
        tasks = [(cache, strategy, seed, limit, near_ms) for seed in range(seeds)]
        efforts = []
        for result in pool.map(run_kernel_tuner, tasks):
            if isinstance(result, str):
                print(f"kernel_tuner {strategy}: {result}", file=sys.stderr)
                efforts = []
                break
            efforts.append(result)
        if efforts:
            yield f"kernel_tuner {strategy}", efforts


def attune_efforts(binary, cache, strategies, seeds, limit):
    for strategy in strategies:
        command = [binary, "replay", cache, "--strategy", strategy, "--runs", str(seeds), "--max-evaluations",
                   str(limit), "--until-near", "--format", "json"]
        # Its stderr is shown: it says why it fails, when it does.
        answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        counts = [count or limit for count in answer["evaluations_to_near_best"]]
        yield f"attune {strategy}", list(zip(counts, answer["elapsed_s"]))


def row(name, efforts, limit):
    counts, seconds = zip(*efforts)
    quartiles = statistics.quantiles(counts, n=4) if len(counts) > 1 else [counts[0]] * 3
    missed = sum(count >= limit for count in counts)
    return (f"{name:38s} {quartiles[1]:9.0f} {quartiles[0]:9.0f} {quartiles[2]:9.0f} "
            f"{statistics.fmean(counts):9.1f} {statistics.median(seconds):9.1f} {missed:9d}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", help="Kernel Tuner cache file, for example of `attune export --format kernel-tuner`")
    parser.add_argument("--attune", default=str(Path(__file__).resolve().parent.parent / "build" / "attune"))
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--max-evaluations", type=int, default=1000)
    parser.add_argument("--attune-strategies", default="auto,model,hill_climb,simulated_annealing,genetic,random,exhaustive")
    parser.add_argument("--kernel-tuner-strategies", default="", help="comma-separated; default: all that can run")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()

    with needs("kernel_tuner"):
        from kernel_tuner.interface import strategy_map
    try:
        cache = json.loads(Path(options.cache).read_text())["cache"].values()
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"{options.cache} is no Kernel Tuner cache file: {error}")
    best_ms = min(entry["time"] for entry in cache if isinstance(entry["time"], (int, float)))
    limit = min(options.max_evaluations, len(cache))
    theirs = [name for name in options.kernel_tuner_strategies.split(",") if name]
    theirs = theirs or [name for name in strategy_map if name not in LEFT_OUT]
    print(f"{options.cache}: {len(cache)} configurations, best {best_ms:.6g} ms, {options.seeds} seeds, at most {limit} "
          "evaluations")
    print(f"{'evaluations to within 1 % of the best':38s} {'median':>9s} {'quartile':>9s} {'quartile':>9s} "
          f"{'mean':>9s} {'seconds':>9s} {'missed':>9s}")
    for name, efforts in attune_efforts(options.attune, options.cache, options.attune_strategies.split(","),
                                        options.seeds, limit):
        print(row(name, efforts, limit), flush=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        for name, efforts in kernel_tuner_efforts(pool, options.cache, theirs, options.seeds, limit, best_ms * 1.01):
            print(row(name, efforts, limit), flush=True)


if __name__ == "__main__":
    main()
