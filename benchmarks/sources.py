"""Building questions from published data sets: rows a second, and memory that does not grow with the rows.

    .venv/bin/python benchmarks/sources.py --folder=/large/disk --output=benchmarks/results/sources.json

Writes sets in their true formats and runs the real command on them: MedMCQA (Parquet, as the hub has it) of 18,000 and
of 180,000 rows, and PMC-VQA (CSV and a zip file of JPEG figures of 512 x 384) of 2,000 and of 20,000 images. Beside
each, in the same run and in a process of its own, the least that any such build must do (``bare``): the rows read and
written as Parquet of our schema, every image read and decoded, with no check, no id, no hash and no sorting.
"""

import argparse
import csv
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bare_package import ROOT  # first: it makes the project importable
from PIL import Image
from tool_run import run_tool

from octomed_jax.schema import QUESTION_SCHEMA

TEXT_ROWS, IMAGES = (18_000, 180_000), (2_000, 20_000)
TURNS, MOST_SECONDS = 3, 1800.0
WORDS = ("the", "patient", "has", "a", "fever", "and", "cough", "of", "unknown", "origin", "which", "drug", "first")
CHOICES = ("A", "B", "C", "D")


def text_rows(count: int) -> Iterator[dict[str, Any]]:
    """Yield rows of MedMCQA."""
    rng = np.random.default_rng(0)
    for number in range(count):
        options = {f"op{letter}": f"{rng.choice(WORDS)} {letter} {number}" for letter in "abcd"}
        stem, notes = " ".join(rng.choice(WORDS, 24)), " ".join(rng.choice(WORDS, 60))
        about = {"choice_type": "single", "exp": notes, "subject_name": "Medicine", "topic_name": None}
        yield {"id": f"{number:08x}-0000", "question": f"{stem} {number}?", **options, "cop": number % 4, **about}


def write_text(folder: Path, count: int) -> None:
    """Write MedMCQA as the hub has it."""
    (folder / "data").mkdir(parents=True)
    table = pa.Table.from_pylist(list(text_rows(count)))
    pq.write_table(table, folder / "data" / "train-00000-of-00001.parquet", row_group_size=1000)


def write_images(folder: Path, count: int) -> None:
    """Write PMC-VQA as its makers do: a table, and a zip file with the figures."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).resize((512, 384))
    with zipfile.ZipFile(folder / "images.zip", "w") as archive, (folder / "train.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Figure_path", "Question", "Answer", *(f"Choice {one}" for one in CHOICES), "Answer_label"])
        for number in range(count):
            data = io.BytesIO()
            figure = smooth.copy()
            figure.putpixel((number % 512, number // 512), (255, 0, 0))
            figure.save(data, format="JPEG", quality=90, comment=str(number).encode()[:0])
            archive.writestr(f"images/{number}.jpg", data.getvalue())
            texts = [f" {one}:finding {one} {number}" for one in CHOICES]
            table.writerow([f"{number}.jpg", f"What is seen in figure {number}?", f"finding A {number}", *texts, "A"])


def bare_text(source: Path, target: Path) -> None:
    """Read MedMCQA and write its rows as questions."""
    with (
        pq.ParquetWriter(target, QUESTION_SCHEMA, compression="zstd") as writer,
        pq.ParquetFile(source / "data" / "train-00000-of-00001.parquet") as file,
    ):
        for batch in file.iter_batches(500):
            rows = [
                {
                    "id": row["id"],
                    "question": row["question"],
                    "answer": row[f"op{'abcd'[row['cop']]}"],
                    "options": [row[f"op{letter}"] for letter in "abcd"],
                    "explanation": row["exp"],
                }
                for row in batch.to_pylist()
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=QUESTION_SCHEMA))


def bare_images(source: Path, target: Path) -> None:
    """Read PMC-VQA, decode every image, and write its rows as questions."""
    with (
        zipfile.ZipFile(source / "images.zip") as archive,
        (source / "train.csv").open(newline="") as file,
        pq.ParquetWriter(target, QUESTION_SCHEMA, compression="zstd") as writer,
    ):
        rows = []
        for row in csv.DictReader(file):
            data = archive.read(f"images/{row['Figure_path']}")
            with Image.open(io.BytesIO(data)) as image:
                image.load()
            options = [row[f"Choice {one}"] for one in CHOICES]
            rows.append({"id": row["Figure_path"], "question": row["Question"], "answer": row["Answer"],
                         "options": options, "image": [{"bytes": data, "path": None}]})  # fmt: skip
            if len(rows) == 500:
                writer.write_table(pa.Table.from_pylist(rows, schema=QUESTION_SCHEMA))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema=QUESTION_SCHEMA))


SETS = {"medmcqa": (write_text, bare_text, TEXT_ROWS), "pmc-vqa": (write_images, bare_images, IMAGES)}


def measured(command: list[str], rows: int, scratch: Path) -> dict[str, float]:
    """Run a command and return what it took."""
    ran = run_tool(command, ROOT, scratch / "log", MOST_SECONDS)
    seconds = ran.end - ran.start
    return {
        "rows_per_second": round(rows / seconds, 1),
        "cpu_seconds_per_thousand": round(1000 * ran.cpu_seconds / rows, 3),
        "peak_mb": round(ran.peak_bytes / 1e6, 1),
    }


def main() -> int:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None, help="where the sets are written (2 GB; they go again)")
    parser.add_argument("--output", type=Path, help="file for the figures")
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes, for a trial")
    parser.add_argument("--write", nargs=3, metavar=("SET", "SOURCE", "ROWS"), help=argparse.SUPPRESS)
    parser.add_argument("--bare", nargs=3, metavar=("SET", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        name, source, target = options.bare
        SETS[name][1](Path(source), Path(target))
        return 0
    if options.write:
        name, source, count = options.write
        SETS[name][0](Path(source), int(count))
        return 0
    figures: dict[str, Any] = {
        "command": "benchmarks/sources.py" + (f" --scale={options.scale:g}" if options.scale != 1 else ""),
        "device": f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
    }
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        for name, (_, _, sizes) in SETS.items():
            counts = [round(full * options.scale) for full in sizes]
            for rows in counts:
                source = Path(scratch) / f"{name}-{rows}"
                # In a process of its own: what this one holds would count as the peak of those that it starts.
                words = ["--write", name, str(source), str(rows)]
                subprocess.run([sys.executable, __file__, *words], check=True)
                figures[f"{name}, {rows} rows"] = _turns(name, source, rows, Path(scratch))
            small, large = (figures[f"{name}, {rows} rows"]["ours"]["peak_mb"] for rows in counts)
            figures[f"{name}, memory of ten times the rows"] = round(large / small, 3)
    text = json.dumps(figures, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")
    return 0


def _turns(name: str, source: Path, rows: int, scratch: Path) -> dict[str, Any]:
    """Run ours and the bare one in turn; of each the fastest counts, and the largest memory."""
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "bare": []}
    for turn in range(TURNS):
        out = scratch / f"{source.name}-out-{turn}"
        words = ["questions", "build", f"--source={name}", f"--input={source}", f"--output={out}", "--split=train"]
        runs["ours"].append(measured([sys.executable, "-m", "octomed_jax.cli.main", *words], rows, scratch))
        bare = [sys.executable, str(ROOT / "benchmarks" / "sources.py"), "--bare", name, str(source), f"{out}.parquet"]
        runs["bare"].append(measured(bare, rows, scratch))
    best = {
        side: {
            **max(found, key=lambda one: one["rows_per_second"]),
            "peak_mb": max(one["peak_mb"] for one in found),
        }
        for side, found in runs.items()
    }
    return {**best, "ratio": round(best["ours"]["rows_per_second"] / best["bare"]["rows_per_second"], 3)}


if __name__ == "__main__":
    sys.exit(main())
