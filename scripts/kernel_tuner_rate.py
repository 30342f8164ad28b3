#!/usr/bin/env python3
"""Time Kernel Tuner on variants of mma_sync that a study of attune has measured, on this machine's GPU.

Kernel Tuner compiles and times the very source the study recorded, with its defaults (CuPy backend, 7 iterations, warm
cache, one variant after the other), on one case and without checking results. Needs kernel_tuner and CuPy.

    attune restore STUDY:1 --db FILE.db --to SOURCES
    scripts/kernel_tuner_rate.py FILE.db STUDY SOURCES --limit 24
"""

import argparse
import json
import math
import re
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from needs import needs

with needs("kernel_tuner", "cupy-cuda12x"):
    import kernel_tuner
    import numpy

BATCH, HEADS, T_MAX, WINDOW_BLOCKS = 1, 16, 4096, 4  # as quick-window-1, its sequence at full length
BLOCK, HEAD_DIM = 128, 128
SMALL_SHARED_BYTES = 49152  # Kernel Tuner's CuPy backend does not raise the limit of dynamic shared memory
POINTERS = [("const unsigned short*", name) for name in "qkv"] + [("unsigned short*", "o"), ("float*", "lse")] + [
    ("const int*", name) for name in ("row_ptr", "col_idx", "seq_lens")]
SIZES = ["batch", "heads", "t_max", "q_blocks", "max_nnz"]


def variants(db, study, limit):
    """Settings of the study's correct variants, as text by name, in the order measured."""
    query = "SELECT params FROM iterations WHERE study = ? AND outcome IN ('ok', 'pruned') ORDER BY iter"
    rows = [row[0] for row in sqlite3.connect(f"file:{db}?mode=ro", uri=True).execute(query, (study,))]
    settings = [dict(item.split("=") for item in row.split(",")) for row in dict.fromkeys(rows)]
    return [item for item in settings if shared_bytes(item) <= SMALL_SHARED_BYTES][:limit]


def shared_bytes(setting):
    return 256 * int(setting["tile_m"]) + 512 * int(setting["tile_n"]) * int(setting["num_stages"])


def tune_header(sources):
    """The generated header with every parameter left to a macro, and what derives from them as expressions."""
    template = json.loads((sources / "template.json").read_text())
    text = (sources / "attune_tune.h").read_text()
    values = {parameter["name"]: f"KT_{parameter['name']}" for parameter in template["parameters"]}
    values |= {derived["name"]: derived["value"] for derived in template["derived"]}
    for name, value in values.items():
        text, count = re.subn(rf"constexpr int {name} = [^;]*;", f"constexpr int {name} = {value};", text)
        assert count == 1, name
    return text


def kernel_source(sources):
    """The study's kernel with plain arguments in place of the by-value struct, which Kernel Tuner cannot pass."""
    text = (sources / "kernel.cu").read_text()
    arguments = ", ".join([f"{kind} arg_{name}" for kind, name in POINTERS] + [f"int arg_{name}" for name in SIZES] +
                          ["float arg_scale"])
    fill = "".join(f" args.{name} = arg_{name};" for name in [name for _, name in POINTERS] + SIZES + ["scale"])
    head = "block_sparse_attn_fwd(const __grid_constant__ AttnArgs args) {"
    assert head in text
    return text.replace(head, f"block_sparse_attn_fwd({arguments}) {{\n    AttnArgs args;{fill}")


def arguments():
    rng = numpy.random.default_rng(1)
    shape = (BATCH, HEADS, T_MAX, HEAD_DIM)

    def draw():
        return (rng.standard_normal(shape, dtype=numpy.float32).view(numpy.uint32) >> 16).astype(numpy.uint16)

    blocks = T_MAX // BLOCK
    rows = [list(range(max(0, i - WINDOW_BLOCKS + 1), i + 1)) for i in range(blocks)]
    starts = numpy.cumsum([0] + [len(row) for row in rows]).astype(numpy.int32)
    columns = numpy.array([block for row in rows for block in row], dtype=numpy.int32)
    per_head = BATCH * HEADS
    return [draw(), draw(), draw(), numpy.zeros(shape, numpy.uint16), numpy.zeros(shape[:3], numpy.float32),
            numpy.tile(starts, per_head), numpy.tile(columns, per_head), numpy.full(BATCH, T_MAX, numpy.int32),
            numpy.int32(BATCH), numpy.int32(HEADS), numpy.int32(T_MAX), numpy.int32(blocks), numpy.int32(len(columns)),
            numpy.float32(1 / math.sqrt(HEAD_DIM))]


def macro_value(sources, name, text):
    """What a macro says for a value: the number itself, or that of the word."""
    words = re.search(rf"\b{name}_{re.escape(text)} = (\d+)", (sources / "attune_tune.h").read_text())
    return int(words.group(1)) if words else int(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("db")
    parser.add_argument("study")
    parser.add_argument("sources", type=Path, help="folder that `attune restore` made")
    parser.add_argument("--limit", type=int, default=24)
    options = parser.parse_args()

    settings = []
    for setting in variants(options.db, options.study, options.limit):
        numbers = {f"KT_{name}": macro_value(options.sources, name, text) for name, text in setting.items()}
        settings.append(numbers | {"block_size_x": 32 * numbers["KT_num_warps"]})
    tune_params = {name: sorted({setting[name] for setting in settings}) for name in settings[0]}
    wanted = {tuple(setting[name] for name in tune_params) for setting in settings}

    # Not a lambda: Kernel Tuner rewrites those from their source, and takes another one near by for it.
    def is_wanted(setting):
        return tuple(setting[name] for name in tune_params) in wanted

    headers = Path(tempfile.mkdtemp())
    shutil.copytree(options.sources, headers, dirs_exist_ok=True)
    (headers / "attune_tune.h").write_text(tune_header(options.sources))
    started = time.perf_counter()
    results, environment = kernel_tuner.tune_kernel(
        "block_sparse_attn_fwd", kernel_source(options.sources), (BATCH * HEADS * T_MAX,), arguments(), tune_params,
        grid_div_x=["KT_tile_m"], lang="cupy", restrictions=is_wanted,
        smem_args={"size": lambda p: 256 * p["KT_tile_m"] + 512 * p["KT_tile_n"] * p["KT_num_stages"]},
        compiler_options=["-std=c++17", "-default-device", f"-I{headers}"], quiet=True)
    took_s = time.perf_counter() - started
    shutil.rmtree(headers)
    timed = [result["time"] for result in results if isinstance(result["time"], float)]
    compile_s = sum(result["compile_time"] for result in results) / 1000
    print(json.dumps({"tuner": "kernel_tuner", "device": environment.get("device_name"), "variants": len(results),
                      "timed": len(timed), "best_ms": min(timed, default=None), "seconds": round(took_s, 2),
                      "compile_seconds": round(compile_s, 2), "variants_per_hour": round(3600 * len(results) / took_s)}))


if __name__ == "__main__":
    main()
