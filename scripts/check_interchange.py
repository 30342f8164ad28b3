#!/usr/bin/env python3
"""Check that Kernel Tuner takes what `attune export` wrote for it: its tune_cache searches the cache file, and the T4 results
follow its schema. Needs kernel_tuner.

    scripts/check_interchange.py NAME.kernel-tuner.json NAME.t4.json
"""

import argparse
import json
import sys
from importlib import resources

from needs import needs

with needs("kernel_tuner"):
    import jsonschema
    import kernel_tuner


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", metavar="NAME.kernel-tuner.json")
    parser.add_argument("t4", metavar="NAME.t4.json")
    options = parser.parse_args()
    with open(options.cache) as file:
        entries = json.load(file)["cache"].values()
    results, _ = kernel_tuner.tune_cache(options.cache, strategy="brute_force", quiet=True, verbose=False)
    timed = sorted(entry["time"] for entry in entries if isinstance(entry["time"], float))
    seen = sorted(result["time"] for result in results if isinstance(result["time"], float))
    if seen != timed:
        sys.exit(f"Kernel Tuner saw {len(seen)} times of {len(timed)}")
    schema = resources.files("kernel_tuner") / "schema" / "T4" / "1.0.0" / "results-schema.json"
    with open(options.t4) as file:
        jsonschema.validate(json.load(file), json.loads(schema.read_text()))
    print(f"accepted: {len(timed)} times")


if __name__ == "__main__":
    main()
