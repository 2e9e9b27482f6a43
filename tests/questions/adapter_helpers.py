"""What the tests of adapters share: files as they are published, built through the real command."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.traces.lake import iterate_questions

TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # characters that are taken out of texts


def picture(seed=0, kind="PNG", size=(8, 8), mode="RGB"):
    """Return an encoded image."""
    file = io.BytesIO()
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()


def write_lines(path, rows):
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def write_parquet(path, rows, schema=None):
    """Write Parquet, as the datasets library publishes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def hub_image(data, path=None):
    """Return an image as Parquet files of the datasets library hold it."""
    return {"bytes": data, "path": path}


def build(name, source, output, *more):
    """Run the command; return its exit code."""
    return main(["questions", "build", f"--source={name}", f"--input={source}", f"--output={output}", *more])


def built(name, source, output, *more):
    """Build, and return (train questions, held-out questions, manifest)."""
    assert build(name, source, output, *more) == 0
    output = Path(output)
    found = [list(iterate_questions(output / file)) for file in ("questions.parquet", "heldout.parquet")]
    return *found, manifests.read_manifest(output, "questions")


def refused(capsys, name, source, output, *more):
    """Build, which must end with exit 2, one line and nothing written; return the line."""
    assert build(name, source, output, *more) == 2
    assert not Path(output).exists()
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("octomed: ")
