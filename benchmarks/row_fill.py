"""How full rows are, in tokens and in patch and window slots, on a mix like the paper's (inputs/paper_mix.py).

    .venv/bin/python benchmarks/row_fill.py --output benchmarks/results/row_fill.json

Packs text examples and image examples apart, as training does, at several lengths of rows. Only numpy and Pillow.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from bare_package import ROOT  # first: it makes the project importable

from octomed_jax.inputs.packing import image_bucket, pack
from octomed_jax.inputs.paper_mix import SPEC, paper_mix
from octomed_jax.inputs.rows import Bucket


def fill(tokens: np.ndarray, cells: np.ndarray, patches: np.ndarray, bucket: Bucket) -> dict[str, float]:
    """Pack examples into rows of ``bucket`` and return how full those are."""
    fits = (tokens <= bucket.tokens) & (cells <= bucket.cells)
    start = time.perf_counter()
    packing = pack(np.flatnonzero(fits), tokens[fits], cells[fits], bucket)
    seconds = time.perf_counter() - start
    counts = np.diff(packing.starts)
    figures = {
        "cells": bucket.cells,
        "rows": len(packing),
        "left_out": int((~fits).sum()),
        "token_fill": float(tokens[fits].sum() / (len(packing) * bucket.tokens)),
        "examples_of_a_row": [float(counts.mean()), float(counts.std())],
        "examples_per_second": float(fits.sum() / seconds),
    }
    if bucket.cells:
        places = len(packing) * bucket.cells * SPEC.merge_size**2
        figures["patch_fill"] = float(patches[fits].sum() / places)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4096, 8192, 16384], help="tokens of a row")
    parser.add_argument("--examples", type=int, default=200_000)
    parser.add_argument("--output", help="write the figures here as JSON")
    arguments = parser.parse_args()
    index = paper_mix(arguments.examples)
    image = index.cells > 0
    cells = index.patches[image].sum() / SPEC.merge_size**2
    print(f"{image.sum()} examples with images, {cells / image.sum():.0f} merged cells each; ", end="")
    print(f"{cells / index.cells.sum():.1%} of what they reserve; {(~image).sum()} without")
    results = {}
    for length in arguments.tokens:
        buckets = Bucket("text", length, 0), image_bucket(index.tokens[image], index.cells[image], length, SPEC)
        results[length] = {}
        for bucket, chosen in zip(buckets, (~image, image), strict=True):
            columns = [column[chosen] for column in (index.tokens, index.cells, index.patches)]
            line = results[length][bucket.name] = fill(*columns, bucket)
            print(
                f"{bucket.name} rows of {length} tokens and {bucket.cells} cells: tokens {line['token_fill']:.1%}, "
                f"patches and window slots {line.get('patch_fill', 1):.1%}, {line['left_out']} left out, "
                f"{line['examples_of_a_row'][0]:.1f} +- {line['examples_of_a_row'][1]:.1f} examples a row, "
                f"{line['examples_per_second']:,.0f} examples/s"
            )
    if arguments.output:
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        figures = {"command": " ".join(["benchmarks/row_fill.py", *sys.argv[1:]]), "commit": commit, "rows": results}
        Path(arguments.output).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
