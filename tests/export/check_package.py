"""Runs a CPU package as a user would, on numpy arrays: usage check_package.py FOLDER. Any failed check is an error."""

import hashlib
import importlib.util
import json
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np



def load(folder):
    spec = importlib.util.spec_from_file_location("block_sparse_attn", folder / "block_sparse_attn.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


folder = Path(sys.argv[1])
package = load(folder)
manifest = json.loads((folder / "manifest.json").read_text())


def to_bf16(values):
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def make_case(batch, heads, blocks, window, first_blocks, seed):
    """Inputs and plain attention's answer; query block i lists the first blocks and its window."""
    rng = np.random.default_rng(seed)
    t_max = 128 * blocks
    q, k, v = (to_bf16(rng.standard_normal((batch, heads, t_max, 128))) for _ in range(3))
    seq_lens = rng.integers(t_max // 2 + 1, t_max + 1, size=batch).astype(np.int32)
    rows = [[sorted({*range(min(first_blocks, i + 1)), *range(max(0, i - window + 1), i + 1)}) for i in range(-(-int(n) // 128))]
            for n in seq_lens]
    row_ptr = np.zeros((batch, heads, blocks + 1), np.int32)
    col_idx = np.zeros((batch, heads, max(sum(map(len, listed)) for listed in rows)), np.int32)
    o = np.zeros((batch, heads, t_max, 128))
    lse = np.full((batch, heads, t_max), -np.inf)
    for b, listed in enumerate(rows):
        ends = np.cumsum([0] + [len(listed[i]) if i < len(listed) else 0 for i in range(blocks)])
        columns = [block for blocks_of_row in listed for block in blocks_of_row]
        for h in range(heads):
            row_ptr[b, h], col_idx[b, h, :len(columns)] = ends, columns
            for i, blocks_of_row in enumerate(listed):
                keys = np.concatenate([np.arange(128 * block, 128 * block + 128) for block in blocks_of_row])
                queries = np.arange(128 * i, min(128 * i + 128, seq_lens[b]))
                scores = from_bf16(q[b, h, queries]).astype(float) @ from_bf16(k[b, h, keys]).astype(float).T / np.sqrt(128)
                scores[(keys[None, :] > queries[:, None]) | (keys[None, :] >= seq_lens[b])] = -np.inf
                top = scores.max(axis=1, keepdims=True)
                weights = np.exp(scores - top)
                total = weights.sum(axis=1, keepdims=True)
                o[b, h, queries] = weights @ from_bf16(v[b, h, keys]).astype(float) / total
                lse[b, h, queries] = (top + np.log(total))[:, 0]
    return (q, k, v, row_ptr, col_idx, seq_lens), o, lse


def check(arguments, o, lse, **options):
    got_o, got_lse = package.block_sparse_attn_fwd(*arguments, **options)
    assert got_o.dtype == np.uint16 and got_o.shape == o.shape and got_lse.dtype == np.float32
    np.testing.assert_allclose(from_bf16(got_o), from_bf16(to_bf16(o)), atol=1e-3, rtol=1e-2)
    np.testing.assert_allclose(got_lse, lse, atol=1e-5, rtol=1e-5)
    assert (from_bf16(got_o)[np.isneginf(lse)] == 0).all()


def refused(message, *arguments, **options):
    try:
        package.block_sparse_attn_fwd(*arguments, **options)
    except ValueError as error:
        assert message in str(error), (message, str(error))
        return
    raise AssertionError(f"accepted what it must refuse: {message}")


window = make_case(2, 2, 3, 1, 0, 1)
mixed = make_case(1, 3, 6, 2, 1, 2)
for _ in range(2):
    for case in (window, mixed):
        check(*case)
for variant in manifest["variants"]:
    for family in package.FAMILIES:
        check(*mixed, variant=variant["name"])
        check(*window, family=family)
assert package.family_of(*window[0][3:5]) == "sliding_window"
assert package.family_of(*mixed[0][3:5]) == "sliding_window_global"

workers = [threading.Thread(target=check, args=case) for case in (window, mixed) * 3]
errors = []
threading.excepthook = lambda failure: errors.append(failure.exc_value)
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
assert not errors, errors

q, k, v, row_ptr, col_idx, seq_lens = window[0]
refused("q is float32; it must be uint16", q.astype(np.float32), k, v, row_ptr, col_idx, seq_lens)
refused("row_ptr is int64; it must be int32", q, k, v, row_ptr.astype(np.int64), col_idx, seq_lens)
refused("k is not contiguous", q, k.transpose(0, 1, 3, 2), v, row_ptr, col_idx, seq_lens)
refused("k has shape (1, 2, 384, 128); with this q it must be (2, 2, 384, 128)", q, k[:1], v, row_ptr, col_idx, seq_lens)
refused("t_max a multiple of 128", q[:, :, :100].copy(), k, v, row_ptr, col_idx, seq_lens)
refused("seq_lens has shape (1,)", q, k, v, row_ptr, col_idx, seq_lens[:1])
refused("col_idx has shape", q, k, v, row_ptr, col_idx[0], seq_lens)
refused("v is a list", q, k, [1], row_ptr, col_idx, seq_lens)
refused("no variant 'other'", *window[0], variant="other")
refused("family 'other'", *window[0], family="other")


# Limits and ranges as they stand in the manifest: fp16 variants have the one, people narrow the other by hand.
def load_edited(edit):
    changed = json.loads(json.dumps(manifest))
    edit(changed["variants"])
    copy = Path(scratch.name) / str(len(list(Path(scratch.name).iterdir())))
    shutil.copytree(folder, copy)
    (copy / "manifest.json").write_text(json.dumps(changed))
    return load(copy)


scratch = tempfile.TemporaryDirectory()
original = package
large = make_case(1, 2, 3, 1, 0, 3)
large[0][2][0, 0, 5, 7] = to_bf16(np.float32(100.0))[()]
package = load_edited(lambda variants: [entry["domain"].update(v_abs_max=8.0) for entry in variants])
check(*window)
refused("|v| reaches 100.0, and variant 'general'", *large[0])
package.block_sparse_attn_fwd(*large[0], v_abs_max=8.0)  # the caller knows better
refused("|v| reaches 9.0", *window[0], v_abs_max=9.0)
large[0][2][0, 0, 5, 7] = 0x7FC0
refused("|v| reaches nan", *large[0])
if len(manifest["variants"]) > 1:
    special = manifest["variants"][1]
    package = load_edited(lambda variants: variants[1]["domain"].update(v_abs_max=1.0))
    check(*window, family=special["families"][0])  # too large for that one: the general variant takes it
    refused("|v| reaches", *window[0], variant=special["name"])
    package = load_edited(lambda variants: variants[1].update(families=[], min_t_max=384, max_t_max=384))
    chosen = [package._choose_variant(None, None, 1, 3, t_max).name for t_max in (256, 384, 768)]
    assert chosen == ["general", special["name"], "general"], chosen
    check(*window)
package = original

names = [entry["name"] for entry in package.VARIANT_MANIFEST]
assert len(set(names)) == len(names) and names, names
for family in package.FAMILIES:  # the harness wants exactly one match
    matches = [entry for entry in package.VARIANT_MANIFEST if not entry["families"] or family in entry["families"]]
    assert len(matches) == 1, (family, matches)
for variant in manifest["variants"]:
    for part in ("source", "binary"):
        data = (folder / variant[part]["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == variant[part]["sha256"], variant[part]
for name, digest in manifest["files"].items():
    assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name

binary = folder / manifest["variants"][0]["binary"]["file"]
changed = binary.read_bytes() + b" "
binary.unlink()  # it is mapped into this process
binary.write_bytes(changed)
package._loaded.clear()
try:
    package.setup()
except RuntimeError as error:
    assert "is not the file manifest.json describes" in str(error)
else:
    raise AssertionError("a changed binary was loaded")
