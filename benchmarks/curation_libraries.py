"""Our curation beside the libraries that might do it: datasketch, polars, DuckDB, rapidfuzz, imagehash.

    uv venv --python 3.11 .venv-peers/libraries
    uv pip install --python .venv-peers/libraries datasketch==2.0.0 polars==2.1.0 duckdb==2.0.0 rapidfuzz==3.14.6 \\
      imagehash==4.3.2 pyarrow
    .venv/bin/python benchmarks/curation_libraries.py --peers .venv-peers \\
      --output benchmarks/results/curation_libraries.json

Tasks, each on the same file for all sides:

- overlaps: questions that share 16 words with an evaluation question (curation_questions.py plants them). polars and
  DuckDB: words exploded, a hash of each run, a semi-join; no run is compared word for word.
- near: near-duplicates. datasketch: MinHashLSH with as many bands and rows as ours, with its own SHA-1, and with the
  cheapest words and hash that there are; candidates are not compared word for word.
- exact: questions of the same words and options in any order. polars, DuckDB: normal form by expressions, group-by.
- groups: the first row of each group, of pairs of 64-bit numbers: what is left of exact without the texts.
- pairs: near-duplicates and what looks like one, given as pairs: are they alike? rapidfuzz: three scores. ``wrong``:
  pairs on the wrong side of the threshold that serves it best; ours is a guard of numbers and the Jaccard similarity.
- images: a hash of images of 512 x 512 pixels. imagehash: pHash. Ours is of another definition, so there are no bits
  to compare; curation_images.py says what each finds.

Each side is a process on one core; seconds are of the processor, without imports. Sides take turns, and ratios are of
one turn: the median is given with the least and the greatest. ``memory``: peak of the process.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bare_package import ROOT  # first: it makes the project importable
from curation import about, by_kind, rounded, written
from curation_folder import KINDS
from curation_ours import opened, run, texts_of
from curation_questions import BROKEN, CLEAN, DUPLICATES, LOOKALIKES, OVERLAPS
from tool_run import run_tool

from octomed_jax.curation.pictures.image_hashes import hash_image
from octomed_jax.curation.texts.exact import exact_keys, first_of_each
from octomed_jax.curation.texts.guards import number_guard
from octomed_jax.curation.texts.minhash import BANDS
from octomed_jax.curation.texts.near_duplicates import near_duplicates
from octomed_jax.curation.texts.question_texts import question_texts

HERE = Path(__file__).resolve().parent
MOST_SECONDS = 600.0
OURS = "ours"
# task -> library to its tasks there
PEERS = {
    "overlaps": {"polars": "overlaps", "duckdb": "overlaps"},
    "near": {"datasketch": "near", "datasketch, words split at spaces, crc32": "near_bare"},
    "exact": {"polars": "exact", "duckdb": "exact"},
    "groups": {"polars": "groups", "duckdb": "groups"},
    "pairs": {
        "rapidfuzz, ratio": "pairs",
        "rapidfuzz, token_sort_ratio": "pairs_sorted",
        "rapidfuzz, token_set_ratio": "pairs_set",
    },
    "images": {"imagehash": "images"},
}
RIGHT = {"overlaps": OVERLAPS, "near": DUPLICATES, "exact": DUPLICATES[:1]}
EVALUATION = 2000


def overlaps(source: Path, evaluation: Path, output: Path) -> np.ndarray:
    return run("decontaminate", source, evaluation, output)["overlaps"]


def near(source: Path, evaluation: Path, output: Path) -> np.ndarray:
    found = run("deduplicate", source, evaluation, output)
    return np.union1d(found["exact"], found["near"])


def exact(source: Path, _: Path, __: Path) -> np.ndarray:
    batches = opened(source).iter_batches(1000, columns=["question", "options"], use_threads=False)
    first = first_of_each(np.concatenate([exact_keys(texts_of(batch)) for batch in batches]))
    return np.flatnonzero(first != np.arange(len(first)))


def groups(source: Path, _: Path, __: Path) -> np.ndarray:
    table = pq.read_table(source, use_threads=False)
    return first_of_each(np.stack([table[name].to_numpy() for name in ("high", "low")], axis=1))


def pairs(source: Path, _: Path, __: Path) -> np.ndarray:
    """Return the likeness of each pair; 0 where a number is another."""
    table = pq.read_table(source, use_threads=False)
    none = pa.array([[]] * (2 * len(table)), pa.list_(pa.string()))
    texts = question_texts(pa.concat_arrays([table[side].combine_chunks() for side in ("one", "other")]), none)
    count = len(table)
    guard = number_guard(texts)
    keys = np.tile(np.arange(1, count + 1, dtype=np.uint64), 2)
    keys[np.flatnonzero(guard[:count] != guard[count:])] = 0
    rows = pa.concat_tables([table.select([side]).rename_columns(["text"]) for side in ("one", "other")])

    def read(places: np.ndarray) -> Any:
        return question_texts(rows["text"].take(pa.array(places)), none.slice(0, len(places)))

    found = near_duplicates(2 * count, lambda band: keys if band == 0 else np.zeros_like(keys), read, 1e-9)
    likeness = np.zeros(count)
    likeness[found.pairs[:, 0]] = found.similarities
    return likeness


def images(source: Path, _: Path, __: Path) -> np.ndarray:
    hashes = [hash_image(path.read_bytes()).picture for path in sorted(source.iterdir())]
    return np.frombuffer(b"".join(hashes), np.int8)


TASKS: dict[str, Callable[[Path, Path, Path], np.ndarray]] = {
    "overlaps": overlaps,
    "near": near,
    "exact": exact,
    "groups": groups,
    "pairs": pairs,
    "images": images,
}


def do(task: str, source: Path, evaluation: Path, output: Path) -> None:
    """Do a task of ours; write what is found, and print what it took."""
    begin = time.process_time()
    found = TASKS[task](source, evaluation, output)
    seconds = time.process_time() - begin
    np.save(output, found)
    print(Path("/proc/self/status").read_text())
    print(json.dumps({"seconds": seconds}))


def make_inputs(folder: Path, rows: int, numbers: int, pictures: int) -> tuple[dict[str, Path], np.ndarray, list[str]]:
    """Write the inputs; return them by task, what is planted in each question, and of each pair its kind."""
    kinds, of = written(folder / "texts", rows, EVALUATION, max(rows // 1800, 10), max(rows // 400, 10), 0)
    source = folder / "texts" / "questions" / "questions.parquet"
    table = pq.read_table(source, columns=["question", "options"])
    wanted = [row for row, kind in enumerate(kinds.tolist()) if KINDS[kind] in (*DUPLICATES, *LOOKALIKES)]
    texts = [
        " ".join((question, *options))
        for question, options in zip(table["question"].to_pylist(), table["options"].to_pylist(), strict=True)
    ]
    told = [KINDS[kinds[row]] for row in wanted]
    pq.write_table(
        pa.table({"one": [texts[of[row]] for row in wanted], "other": [texts[row] for row in wanted]}),
        folder / "pairs.parquet",
    )
    drawn = np.random.default_rng(0).integers(0, numbers * 3 // 4, numbers).astype(np.uint64)
    drawn *= np.uint64(0x9E3779B97F4A7C15)
    pq.write_table(pa.table({"high": drawn, "low": drawn ^ np.uint64(12345)}), folder / "groups.parquet")
    write_images(folder / "images", pictures)
    inputs = dict.fromkeys(("overlaps", "near", "exact"), source)
    inputs |= {name: folder / f"{name}.parquet" for name in ("pairs", "groups")} | {"images": folder / "images"}
    return inputs, kinds, told


def write_images(folder: Path, count: int) -> None:
    import medical_images

    from octomed_jax.images.decode import encode_png

    folder.mkdir()
    found = medical_images.pictures(brain_step=8, most_frames=1)
    for number, one in enumerate(found[:count]):
        image = one.image.resize((512, 512))
        if number % 2:
            (folder / f"{number:04d}.png").write_bytes(encode_png(image))
        else:
            image.convert("RGB").save(folder / f"{number:04d}.jpg", quality=90)


def measured(command: list[str], log: Path) -> dict[str, float]:
    run_tool(command, Path(ROOT), log, MOST_SECONDS)
    text = log.read_text()
    peak = int(re.findall(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)[-1])
    return {"seconds": json.loads(text.strip().splitlines()[-1])["seconds"], "memory_mb": peak * 1024 / 1e6}


def beside(task: str, source: Path, folder: Path, peers: Path | None, rounds: int) -> dict[str, Any]:
    """Return what each side took in some turns, with what it found the last time."""
    evaluation, output = folder / "texts" / "questions" / "heldout.parquet", folder / "found.npy"
    script = HERE / "peers" / "curation_libraries.py"
    sides = {OURS: [sys.executable, __file__, "--task", task, str(source), str(evaluation), str(output)]}
    for name, theirs in PEERS[task].items() if peers else ():
        library, python = name.partition(",")[0], peers / "libraries" / "bin" / "python"
        sides[name] = [str(python), str(script), library, theirs, str(source), str(evaluation), str(output)]
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    found = {}
    for _ in range(rounds):
        for name, command in sides.items():
            turns[name].append(measured(command, folder / "log"))
            found[name] = np.load(output)
    figures: dict[str, Any] = {}
    for name, some in turns.items():
        seconds = [one["seconds"] for one in some]
        figures[name] = {
            "seconds": statistics.median(seconds),
            "seconds_of_each_turn": seconds,
            "memory_mb": max(one["memory_mb"] for one in some),
        }
        if name != OURS:
            ratios = [one / ours["seconds"] for one, ours in zip(seconds, turns[OURS], strict=True)]
            figures[name]["seconds_for_one_of_ours"] = {
                "median": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)
            }  # fmt: skip
            figures[name]["memory_for_one_of_ours"] = figures[name]["memory_mb"] / figures[OURS]["memory_mb"]
    return {"figures": figures, "found": found}


def judged(task: str, found: np.ndarray, kinds: np.ndarray, told: list[str]) -> dict[str, Any]:
    """Return how right a side is."""
    if task in RIGHT:
        counts, planted = by_kind(kinds, np.unique(found).astype(np.int64)), by_kind(kinds)
        right = RIGHT[task]
        # Copies that differ more than in case are no matter of exact; those that exact finds are none of its mistakes.
        alike = (*LOOKALIKES, BROKEN) if task == "near" else (BROKEN,) if task == "overlaps" else ()
        return {
            "found": {kind: f"{counts[kind]} of {planted[kind]}" for kind in right},
            "clean_removed": counts[CLEAN],
            "lookalikes_removed": {kind: f"{counts[kind]} of {planted[kind]}" for kind in alike},
        }
    if task == "pairs":
        # Of another answer they are the same texts: no score of texts can tell those apart.
        asked = np.array([kind != "other answer" for kind in told])
        alike = np.array([kind in DUPLICATES for kind in told])[asked]
        scores = found[asked]
        wrong = [int(((scores >= level) != alike).sum()) for level in np.unique(scores)]
        return {"pairs": int(asked.sum()), "wrong": min(wrong), "threshold": float(np.unique(scores)[np.argmin(wrong)])}
    return {}


def versions_of(peers: Path) -> dict[str, str]:
    """Return the versions of the libraries."""
    ask = "import importlib.metadata as m, json; print(json.dumps({p: m.version(p) for p in %r}))"
    packages = ("datasketch", "polars", "duckdb", "rapidfuzz", "imagehash", "numpy", "pillow", "pyarrow")
    python = peers / "libraries" / "bin" / "python"
    return json.loads(
        subprocess.run([python, "-c", ask % (packages,)], capture_output=True, text=True, check=True).stdout
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments; left out: only ours is measured")
    parser.add_argument("--only", choices=list(TASKS), action="append", help="some of the tasks")
    parser.add_argument("--rows", type=int, default=60_000, help="questions")
    parser.add_argument("--numbers", type=int, default=4_000_000, help="keys of the task groups")
    parser.add_argument("--images", type=int, default=200, help="images")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--task", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    if options.task:
        do(options.task[0], *map(Path, options.task[1:]))
        return
    peers, options.peers = options.peers and options.peers.absolute(), None  # about() looks for datatrove there
    figures = about(options)
    figures["command"] = " ".join(["benchmarks/curation_libraries.py", *sys.argv[1:]])
    if peers:
        figures["versions"]["libraries"] = versions_of(peers)
    figures |= {"rows": options.rows, "numbers": options.numbers, "images": options.images, "bands": BANDS}
    figures["tasks"] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        inputs, kinds, pair_kinds = make_inputs(folder, options.rows, options.numbers, options.images)
        for task in options.only or TASKS:
            result = beside(task, inputs[task], folder, peers, options.rounds)
            for name, side in result["figures"].items():
                side |= judged(task, result["found"][name], kinds, pair_kinds)
                print(task, name, json.dumps(rounded(side)), flush=True)
            if task == "groups":
                same = [bool(np.array_equal(one, result["found"][OURS])) for one in result["found"].values()]
                assert all(same), "the groups are not the same"
            figures["tasks"][task] = result["figures"]
    if options.output:
        options.output.write_text(json.dumps(rounded(figures), indent=1) + "\n")
        print(f"figures: {options.output}")


if __name__ == "__main__":
    main()
