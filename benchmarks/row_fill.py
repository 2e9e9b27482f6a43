"""How full the rows of the image bucket are, in tokens and in patch and window slots, on a mix like the paper's.

    .venv/bin/python benchmarks/row_fill.py --output benchmarks/results/row_fill.json

The paper gives shares by body region, not image sizes. The mix here takes its shares (chest 45 %, eyes 19, abdomen 18,
skin 6, the rest 12) with the sizes that the public sources of each have, and a tail of small images (MedMNIST's 28 to
224 pixels); every image goes through smart_resize with the paper's cap of 262,144 pixels. Text takes the paper's mean
of 71 tokens asked and 840 answered, log-normal; one example in ten has two or three images. Only numpy and Pillow.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from octomed_jax.images.patches import PatchSpec  # noqa: E402
from octomed_jax.images.resize import smart_resize  # noqa: E402
from octomed_jax.inputs.plan import BLOCK, fit_evenly, image_bucket  # noqa: E402
from octomed_jax.inputs.windows import window_layout  # noqa: E402

SPEC = PatchSpec(max_pixels=262144)


def image_size(rng: np.random.Generator) -> tuple[int, int]:
    """Return height and width of an image of the mix."""
    kind = rng.choice(["chest", "eyes", "abdomen", "skin", "figure", "small"], p=[0.45, 0.18, 0.13, 0.06, 0.13, 0.05])
    if kind == "chest":  # radiographs, some 2,000 pixels, near square
        return round(2000 * float(np.exp(rng.normal(0, 0.15)))), 2000
    if kind == "eyes":  # fundus photographs 1:1, 2:3 and 3:4, and OCT
        return round(1500 * float(rng.choice([1.0, 0.667, 0.75, 0.646]))), 1500
    if kind == "abdomen":
        return 512, 512
    if kind == "skin":
        return int(rng.choice([450, 600, 480])), 600
    if kind == "figure":  # figures of papers
        width, aspect = float(np.exp(rng.normal(6.2, 0.45))), float(np.exp(rng.normal(0, 0.35)))
        return max(60, round(width / aspect)), max(60, round(width))
    side = int(rng.choice([28, 64, 128, 224]))
    return side, side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4096, 8192, 16384], help="tokens of a row")
    parser.add_argument("--output", help="write the figures here as JSON")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    tokens, cells, used = [], [], []
    for _ in range(BLOCK):
        layouts = []
        for _ in range(rng.choice([1, 2, 3], p=[0.9, 0.06, 0.04])):
            height, width = smart_resize(*image_size(rng), SPEC.factor, SPEC.min_pixels, SPEC.max_pixels)
            layouts.append(window_layout((height // SPEC.factor, width // SPEC.factor), SPEC))
        used.append(sum(len(layout.window) for layout in layouts))
        cells.append(sum(layout.cells for layout in layouts))
        tokens.append(used[-1] + min(6000, round(rng.lognormal(np.log(911) - 0.18, 0.6))))
    numbers, tokens, cells, used = np.arange(BLOCK), np.array(tokens), np.array(cells), np.array(used)
    print(f"{BLOCK} examples, {used.mean():.0f} merged cells each; {used.sum() / cells.sum():.1%} of what they reserve")
    results = {}
    for length in arguments.tokens:
        bucket = image_bucket(tokens, cells, length, SPEC)
        room = bucket.cells
        fits = (tokens <= length) & (cells <= room)
        start = time.perf_counter()
        rows = fit_evenly(numbers[fits], tokens[fits], cells[fits], bucket)
        seconds = time.perf_counter() - start
        results[length] = {
            "cells": room,
            "rows": len(rows),
            "left_out": int((~fits).sum()),
            "token_fill": float(tokens[fits].sum() / (len(rows) * length)),
            "patch_fill": float(used[fits].sum() / (len(rows) * room)),
            "examples_per_second": float(fits.sum() / seconds),
        }
        line = results[length]
        print(
            f"rows of {length} tokens and {room} cells: tokens {line['token_fill']:.1%}, patches and window slots "
            f"{line['patch_fill']:.1%}, {line['left_out']} left out, {line['examples_per_second']:,.0f} examples/s"
        )
    if arguments.output:
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        figures = {"command": " ".join(["benchmarks/row_fill.py", *sys.argv[1:]]), "commit": commit, "rows": results}
        Path(arguments.output).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
