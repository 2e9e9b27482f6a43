"""Training shards beside Parquet and WebDataset on the same rows: writing, reading in order, reading by place.

    pip install --target peers --no-deps webdataset==1.0.2 braceexpand==0.1.7
    .venv/bin/python benchmarks/shards.py --peers peers --output benchmarks/results/shards.json

- formats: questions with a real image each (slices of two brains, as PNG) and 16 responses of the paper's length. All
  three sides write the same rows and give the same records back, texts, numbers and images; that is looked at before
  anything is counted. Ours: the shards and their reader. Parquet: pyarrow as it comes, row groups of 100; a row is read
  with its row group, as no less can be. WebDataset: its own writer and reader, files of a sample by their endings;
  it cannot read one here and one there, so that is done as well as a tar file allows, with a table of where its files
  begin. Ours writes the checksum of each file besides. Rates are records a second of the processor (one process), the
  median of several turns taken one after the other; the files are in memory when they are read. Bytes: of the files,
  and of the images of the rows.
- stage: the lake of these rows, and of as many more, made into shards by the stage itself: seconds, and the peak of
  memory of a process that does all of it.
- index: an index of so many rows, written, and read again in a process of its own.
"""

import argparse
import dataclasses
import functools
import io
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import medical_images
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bare_package import ROOT  # first: it makes the project importable
from ml_collections import ConfigDict
from PIL import Image

from octomed_jax import manifests
from octomed_jax.images.decode import encode_png
from octomed_jax.inputs.index_files import COLUMNS, load_index, write_index
from octomed_jax.inputs.paper_mix import paper_mix
from octomed_jax.schema import QUESTION_SCHEMA, Question, Record, Verdict, question_from_row, question_to_row
from octomed_jax.storage import sha256_bytes, sha256_file
from octomed_jax.traces.grouped import lake_row, write_lake
from octomed_jax.traces.shards import ShardReader
from octomed_jax.traces.stage import shard, shard_records

PARTS = ("formats", "stage", "index")
PIXELS = 512  # of a side of an image
RESPONSES, WORDS = 16, 520  # of a question, of a response: about 840 tokens
ROW_GROUP = 100
TAR_BYTES = 256 * 2**20
SCHEMA = pa.schema(
    [
        *QUESTION_SCHEMA,
        ("responses", pa.list_(pa.string())),
        ("option_orders", pa.list_(pa.list_(pa.int8()))),
        ("samples", pa.list_(pa.int64())),
    ]
)


@functools.cache
def records(count: int) -> list[Record]:
    """Return records, sorted by id: a slice each, and responses of words drawn at random."""
    return list(_records(count))


def _records(count: int) -> Iterator[Record]:
    rng = np.random.default_rng(0)
    syllables = [
        a + b for a in ("lo", "me", "ti", "ra", "no", "se", "da", "ku") for b in ("ra", "l", "sis", "n", "tis")
    ]
    words = ["".join(rng.choice(syllables, rng.integers(1, 4)).tolist()) for _ in range(4000)]
    pictures = medical_images.brain_pictures(3 * 2 * 112 / count)  # two brains, three planes, some 112 mm each
    for number, picture in zip(range(count), pictures, strict=False):
        image = encode_png(picture.image.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC))
        question = Question(
            id=f"slice:{number:06d}",
            source="brain",
            benchmark="plane",
            split="train",
            task="mcq",
            question="Which plane does this slice of a brain lie in?",
            answer=picture.group,
            options=("axial", "coronal", "sagittal"),
            images=(image,),
            image_hashes=(sha256_bytes(image),),
            licence="CC0-1.0",
        )
        drawn = rng.integers(len(words), size=(RESPONSES, WORDS)).tolist()
        texts = tuple(" ".join(words[place] for place in text) for text in drawn)
        orders = tuple(tuple(rng.permutation(3).tolist()) for _ in range(RESPONSES))
        yield Record(question, texts, orders, tuple(range(RESPONSES)))


def row_of(record: Record) -> dict[str, Any]:
    lists = {name: list(getattr(record, name)) for name in ("responses", "samples")}
    return {**question_to_row(record.question), **lists, "option_orders": [list(one) for one in record.option_orders]}


def record_of(row: dict[str, Any]) -> Record:
    orders = tuple(map(tuple, row["option_orders"]))
    return Record(question_from_row(row), tuple(row["responses"]), orders, tuple(row["samples"]))


class Ours:
    """The shards."""

    def write(self, rows: Sequence[Record], folder: Path) -> None:
        shard_records(rows, folder)

    def in_order(self, folder: Path) -> Iterator[Record]:
        return iter(ShardReader(folder))

    def by_place(self, folder: Path) -> Callable[[int], Record]:
        return ShardReader(folder).__getitem__


class Parquet:
    """pyarrow as it comes, with row groups of ROW_GROUP."""

    def write(self, rows: Sequence[Record], folder: Path) -> None:
        folder.mkdir()
        with pq.ParquetWriter(folder / "rows.parquet", SCHEMA) as writer:
            for first in range(0, len(rows), ROW_GROUP):
                group = [row_of(record) for record in rows[first : first + ROW_GROUP]]
                writer.write_table(pa.Table.from_pylist(group, SCHEMA))

    def in_order(self, folder: Path) -> Iterator[Record]:
        with pq.ParquetFile(folder / "rows.parquet") as file:
            for group in range(file.num_row_groups):
                yield from map(record_of, file.read_row_group(group).to_pylist())

    def by_place(self, folder: Path) -> Callable[[int], Record]:
        file = pq.ParquetFile(folder / "rows.parquet")

        def read(number: int) -> Record:
            table = file.read_row_group(number // ROW_GROUP, use_threads=False)
            return record_of(table.slice(number % ROW_GROUP, 1).to_pylist()[0])

        return read


class WebDataset:
    """Tar files by WebDataset's own writer and reader: an image a file, all else in a JSON file."""

    def write(self, rows: Sequence[Record], folder: Path) -> None:
        import webdataset

        folder.mkdir()
        with webdataset.ShardWriter(str(folder / "%05d.tar"), maxsize=TAR_BYTES, verbose=0, mtime=0) as writer:
            for record in rows:
                row = row_of(record)
                images = {f"{number}.png": image["bytes"] for number, image in enumerate(row.pop("image"))}
                writer.write({"__key__": row["id"].replace(":", "-"), **images, "json": json.dumps(row).encode()})

    def in_order(self, folder: Path) -> Iterator[Record]:
        import webdataset

        files = [str(path) for path in sorted(folder.glob("*.tar"))]
        for sample in webdataset.WebDataset(files, shardshuffle=False):
            yield self._record({name: data for name, data in sample.items() if not name.startswith("__")})

    def by_place(self, folder: Path) -> Callable[[int], Record]:
        places: dict[tuple[str, str], dict[str, tuple[io.BufferedReader, int, int]]] = {}
        for path in sorted(folder.glob("*.tar")):
            file = path.open("rb")
            with tarfile.open(path) as tar:
                for member in tar:
                    key, _, ending = member.name.partition(".")
                    places.setdefault((path.name, key), {})[ending] = (file, member.offset_data, member.size)
        samples = list(places.values())

        def read(number: int) -> Record:
            found = {}
            for ending, (file, place, size) in samples[number].items():
                file.seek(place)
                found[ending] = file.read(size)
            return self._record(found)

        return read

    def _record(self, files: dict[str, bytes]) -> Record:
        row = json.loads(files.pop("json"))
        return record_of({**row, "image": [{"bytes": files[name]} for name in sorted(files)]})


def formats(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write and read the same rows in each format, turn by turn."""
    rows = records(options.rows)
    sides: dict[str, Any] = {"ours": Ours(), "parquet": Parquet()}
    if options.peers:
        sys.path.append(str(options.peers))
        sides["webdataset"] = WebDataset()
    image_bytes = sum(len(image) for record in rows for image in record.question.images)
    figures: dict[str, Any] = {"rows": len(rows), "image_bytes": image_bytes, "responses_each": RESPONSES}
    figures["text_bytes"] = sum(len(text.encode()) for record in rows for text in record.responses)
    rates: dict[str, dict[str, list[float]]] = {name: {} for name in sides}
    places = np.random.default_rng(1).permutation(len(rows))[: options.reads].tolist()
    for turn in range(options.turns):
        for name, side in sides.items():
            made = folder / f"{name}-{turn}"
            take_turn(side, rows, places, made, rates[name])
            if not turn:
                assert list(side.in_order(made)) == rows, f"{name} gives other records back"
                figures[name] = {"bytes": sum(path.stat().st_size for path in made.rglob("*"))}
    for name in sides:
        figures[name]["bytes_of_image_bytes"] = figures[name]["bytes"] / image_bytes
        figures[name]["records_a_second"] = {what: statistics.median(all_) for what, all_ in rates[name].items()}
        for what, ours in rates["ours"].items():
            of = [one / other for one, other in zip(ours, rates[name][what], strict=True)]
            figures[name].setdefault("ours_of_this", {})[what] = {"median": statistics.median(of), "all": of}
    held = sum(len(image) for record in ShardReader(folder / "ours-0") for image in record.question.images)
    figures["ours"]["images_held_of_image_bytes"] = held / image_bytes
    checksum: dict[str, list[float]] = {}  # which the others do not write
    for turn in range(options.turns):
        [path] = (folder / f"ours-{turn}").glob("octomed-train*")
        noted(checksum, "sha256", len(rows), lambda path=path: sha256_file(path))
    of = [write / alone for write, alone in zip(rates["ours"]["write"], checksum["sha256"], strict=True)]
    figures["ours"]["checksum_of_write"] = statistics.median(of)
    return figures


def take_turn(
    side: Any, rows: Sequence[Record], places: Sequence[int], made: Path, rates: dict[str, list[float]]
) -> None:
    """Write the rows, and read them in order and by place; add the rates of the three."""
    noted(rates, "write", len(rows), lambda: side.write(rows, made))
    read = side.by_place(made)
    assert read(places[0]) == rows[places[0]]
    noted(rates, "read_in_order", len(rows), lambda: sum(1 for _ in side.in_order(made)))
    noted(rates, "read_by_place", len(places), lambda: sum(1 for place in places if read(place)))


def noted(rates: dict[str, list[float]], what: str, count: int, work: Callable[[], Any]) -> None:
    start = time.process_time()
    work()
    rates.setdefault(what, []).append(count / (time.process_time() - start))


def stage(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make shards of a lake, and of one that is three times as long."""
    some = records(options.rows)
    lakes = {}
    for times in (1, 3):
        lake = folder / f"traces-{times}"
        write_lake(lake, (lake_of(record, copy) for copy in range(times) for record in some))
        manifests.write_manifest(lake, manifests.Manifest(stage="verify", config={}, files=manifests.hash_files(lake)))
        words = ["--only=stage", f"--traces={lake}", f"--folder={folder}"]
        lakes[f"{times * len(some)} rows"] = told_by(words)
    return {"lakes": lakes}


def lake_of(record: Record, copy: int) -> dict[str, Any]:
    """Return a row of the lake, all of its attempts right."""
    question = dataclasses.replace(record.question, id=f"{copy}:{record.question.id}")
    attempt = {"question_id": question.id, "teacher": "t", "finish_reason": "stop", "request_hash": "h", "error": ""}
    attempt |= dict.fromkeys(("prompt_tokens", "completion_tokens", "group", "seed"), 1)
    judged: list[tuple[dict[str, Any], Verdict]] = [
        (
            {**attempt, "sample_index": sample, "response": response, "option_order": list(order)},
            Verdict("correct", "", "match"),
        )
        for sample, (response, order) in enumerate(zip(record.responses, record.option_orders, strict=True))
    ]
    return lake_row(question_to_row(question), judged, "1")


def stage_alone(traces: Path, folder: Path) -> dict[str, Any]:
    """Make the shards of a folder of traces in this process."""
    config = ConfigDict({"traces": {"per_question": RESPONSES}, "shard": {"bytes": TAR_BYTES}})
    before, start = peak_mb(), time.process_time()
    made = shard(config, traces, folder / f"{traces.name}-shards", workers=1)
    seconds = time.process_time() - start
    sizes = [one["bytes"] for one in made.extra["shards"].values()]
    return {
        "shards": len(sizes),
        "largest_shard_bytes": max(sizes),
        "lake_bytes": sum(path.stat().st_size for path in traces.rglob("*.parquet")),
        "records_a_second": made.counts["records"] / seconds,
        "peak_mb": peak_mb(),
        "before_mb": before,
    }


def index(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write an index of the paper's mix, and read it in a process of its own."""
    made = paper_mix(options.examples)
    start = time.perf_counter()
    write_index(folder, made)
    seconds = time.perf_counter() - start
    told = told_by(["--only=index", f"--index={folder}", f"--examples={options.examples}"])
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"examples": options.examples, "bytes": size, "write_seconds": seconds, **told}


def index_alone(folder: Path, examples: int) -> dict[str, Any]:
    """Load an index, and read every value of it, in this process."""
    start = time.perf_counter()
    found = load_index(folder)
    total = sum(int(getattr(found, name).sum()) for name in COLUMNS)
    seconds = time.perf_counter() - start
    assert len(found) == examples < total
    return {"load_seconds": seconds, "peak_mb": peak_mb()}


def told_by(words: Sequence[str]) -> dict[str, Any]:
    """Return what this script prints in a process of its own."""
    ran = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, check=True)
    return json.loads(ran.stdout)


def peak_mb() -> float:
    """Return this process's own peak; that of ``getrusage`` begins with its parent's."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures were measured on."""
    from importlib.metadata import version

    import array_record  # noqa: F401

    versions = {name: version(name) for name in ("array-record", "protobuf", "pyarrow", "numpy")}
    if options.peers:
        [found] = options.peers.glob("webdataset-*.dist-info")
        versions["webdataset"] = found.name.split("-")[1].removesuffix(".dist")
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "command": " ".join(["benchmarks/shards.py", *sys.argv[1:]]),
        "commit": commit or None,
        "device": f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), **versions},
    }


def rounded(figures: Any) -> Any:
    """Return figures with three decimals."""
    if isinstance(figures, dict):
        return {name: rounded(value) for name, value in figures.items()}
    if isinstance(figures, list):
        return [rounded(value) for value in figures]
    return round(figures, 3) if isinstance(figures, float) else figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="one part; the others' figures in --output stay")
    parser.add_argument("--rows", type=int, default=2000, help="questions")
    parser.add_argument("--reads", type=int, default=500, help="records read one here and one there")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--examples", type=int, default=8_095_571, help="rows of the index; default: the paper's")
    parser.add_argument("--peers", type=Path, help="where webdataset was installed; left out: it is not measured")
    parser.add_argument("--folder", type=Path, help="where everything is written (6 GB; it goes again)")
    parser.add_argument("--traces", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--index", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    if options.traces:
        print(json.dumps(stage_alone(options.traces, options.folder)))
        return
    if options.index:
        print(json.dumps(index_alone(options.index, options.examples)))
        return
    figures: dict[str, Any] = {}
    if options.only and options.output and options.output.exists():
        figures = json.loads(options.output.read_text())
    for part in [options.only] if options.only else PARTS:
        with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
            found = {"formats": formats, "stage": stage, "index": index}[part](options, Path(scratch))
            figures[part] = {**about(options), **found}
        print(json.dumps({part: rounded(figures[part])}, indent=1), flush=True)
    if options.output:
        options.output.write_text(json.dumps(rounded(figures), indent=1) + "\n")


if __name__ == "__main__":
    main()
