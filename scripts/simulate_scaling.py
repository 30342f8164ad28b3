#!/usr/bin/env python3
"""How long a sweep takes on 1 to 1,000 GPUs, simulated from the costs a real sweep has recorded.

Every simulated candidate costs what a recorded iteration, drawn at random, has cost: `compile_s` on one of a shard's
compile workers, then `device_s` on its GPU. Candidates fall to shards at random, as `--shard` deals them by hash; the
slowest shard ends the array. The join job follows: merging, which costs a constant time an iteration, and confirming
winners one after the other. Not simulated: waiting in Slurm's queue, file systems, and what a strategy learns.

    scripts/simulate_scaling.py [--db results/h200/attune.db] [--candidates 300000] [--cores 16]
"""

import argparse
import heapq
import pathlib
import random
import sqlite3
import statistics

ROOT = pathlib.Path(__file__).resolve().parent.parent
GPUS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def recorded_costs(database, study):
    """(compile_s, device_s) of every iteration compiled and run, and those of the re-timed ones among them."""
    try:
        connection = sqlite3.connect(f"{pathlib.Path(database).resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        rows = connection.execute(
            "SELECT compile_s, device_s, pairs IS NOT NULL FROM iterations WHERE ? IN (study, '') AND compile_s > 0 "
            "AND device_s > 0", (study,)
        ).fetchall()
    except sqlite3.Error as error:
        raise SystemExit(f"simulate_scaling: {database} cannot be read as a record of attune: {error}") from None
    if not rows:
        raise SystemExit(f"simulate_scaling: {database} holds no measured iteration{f' of {study}' if study else ''}")
    costs = [(compile_s, device_s) for compile_s, device_s, _ in rows]
    return costs, [cost for cost, row in zip(costs, rows) if row[2]] or costs


def shard_times(costs, count, workers, draw):
    """Seconds until `count` candidates have gone through the compile workers and the GPU, and the GPU's share of them."""
    free_at = [0.0] * workers
    compiled_at = []
    for _ in range(count):
        compile_s, device_s = draw.choice(costs)
        ready = free_at[0] + compile_s
        heapq.heapreplace(free_at, ready)
        compiled_at.append((ready, device_s))
    end = busy_s = 0.0
    for ready, device_s in sorted(compiled_at):
        end = max(end, ready) + device_s
        busy_s += device_s
    return end, busy_s


def simulate(gpus, costs, retimed, options):
    draw = random.Random(f"{options.seed}/{gpus}")
    sizes = [1] * gpus  # every shard times the baseline itself
    for _ in range(options.candidates):
        sizes[draw.randrange(gpus)] += 1
    workers = max(1, options.cores - 2)  # as `attune tune`: a core for the coordinator, one for the device worker
    shards = [shard_times(costs, size, workers, draw) for size in sizes]
    array_s = options.start_s + max(end for end, _ in shards)
    # A winner is an experiment of its own process. It compiles nothing new where the cache is shared; count it anyway.
    each_s = options.start_s + statistics.mean(sum(cost) for cost in retimed)
    confirm_s = min(gpus, options.confirm) * each_s
    return array_s, sum(sizes) * options.merge_ms / 1000, confirm_s, sum(busy for _, busy in shards) / (gpus * array_s)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", default=ROOT / "results/h200/attune.db", help="database whose costs are drawn (%(default)s)")
    parser.add_argument("--study", default="", help="only this study's iterations")
    parser.add_argument("--candidates", type=int, default=300_000, help="size of the space (%(default)s)")
    parser.add_argument("--cores", type=int, default=16, help="cores a shard has (%(default)s)")
    parser.add_argument("--start-s", type=float, default=2.0, help="start of a process until its first launch (%(default)s)")
    parser.add_argument("--merge-ms", type=float, default=0.1, help="merging one iteration (%(default)s)")
    parser.add_argument("--confirm", type=int, default=16, help="winners confirmed, as of submit (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    costs, retimed = recorded_costs(options.db, options.study)
    mean_compile_s, mean_device_s = (statistics.mean(column) for column in zip(*costs))
    print(f"recorded: {len(costs)} iterations, mean compile {mean_compile_s:.3f} s, mean device {mean_device_s:.4f} s: "
          f"one GPU is busy when {mean_compile_s / mean_device_s:.0f} cores compile for it")
    print(f"simulated: {options.candidates} candidates, {options.cores} cores a GPU\n")
    print(f"{'GPUs':>5} {'array s':>9} {'merge s':>8} {'confirm s':>9} {'total s':>9} {'speed-up':>8} {'of ideal':>8} {'GPU busy':>8}")
    alone_s = None
    for gpus in GPUS:
        array_s, merge_s, confirm_s, busy = simulate(gpus, costs, retimed, options)
        # One process needs no join.
        total_s = array_s if gpus == 1 else array_s + merge_s + confirm_s
        alone_s = alone_s or total_s
        speed_up = alone_s / total_s
        joined = ("-", "-") if gpus == 1 else (f"{merge_s:.0f}", f"{confirm_s:.0f}")
        print(f"{gpus:>5} {array_s:>9.0f} {joined[0]:>8} {joined[1]:>9} {total_s:>9.0f} {speed_up:>8.1f} {speed_up / gpus:>8.0%} "
              f"{busy:>8.0%}")


if __name__ == "__main__":
    main()
