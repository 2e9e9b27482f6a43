"""Curation beside datatrove: what is planted and found, documents a second per core, and peak memory.

    uv venv --python 3.11 .venv-peers/datatrove
    uv pip install --python .venv-peers/datatrove 'datatrove[io]==0.10.1' regex spacy tokenizers 'xxhash<4'
    .venv/bin/python benchmarks/curation.py --peers .venv-peers --output benchmarks/results/curation.json

Texts: 1.8 million synthetic questions (curation_questions.py) of 20 to 150 words with four options each, and 10,000
evaluation questions. Planted are
1,000 overlaps of each of eight kinds and 1,000 that 16 words must not find; 2,000 duplicates of each of four kinds,
and 2,000 of each of three that only look like one. Every planted one must be found and no other row
removed, else the run fails. Ours runs on all of them, and in the same run ours and datatrove on a smaller set of the
same make, sized so that datatrove takes about a minute: 16 words for both; 24 bands of six and a check of each
candidate for ours, 14 of eight without a check for datatrove, as they come.

datatrove is run as it comes, with spaCy's tokenizer for English, and with words simply split at spaces in its place,
which is faster than any tokenizer can be. Both sides read Parquet, in one process on one core; datatrove gets question
and options as one text. Documents a second are of seconds of the processor, as the machine may have other work.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from bare_package import ROOT  # first: it makes the project importable
from curation_questions import BROKEN, CLEAN, DUPLICATES, LOOKALIKES, OVERLAPS, Questions, columns
from tool_run import ToolRun, run_tool

from octomed_jax.curation.texts.ngrams import build_index
from octomed_jax.curation.texts.question_texts import question_texts
from octomed_jax.traces.lake import ROW_GROUP

HERE = Path(__file__).resolve().parent
SEED = 1
MOST_SECONDS = 3600.0
STEPS = {"decontaminate": OVERLAPS, "deduplicate": DUPLICATES, "both": OVERLAPS + DUPLICATES}
TOKENIZERS = {"datatrove": "spacy", "datatrove, words split at spaces": "split"}
PARTS = ("text",)
KINDS = (CLEAN, *OVERLAPS, BROKEN, *DUPLICATES, *LOOKALIKES)


def write(folder: Path, rows: int, evaluation: int, planted: int, copies: int) -> None:
    """Write questions as our side and as datatrove reads them."""
    made = Questions(SEED, rows, evaluation, planted, copies)
    folder.mkdir()
    for name, blocks in (("evaluation", [made.evaluation]), ("questions", made.blocks())):
        (folder / f"{name}-text").mkdir()
        ours = theirs = None
        count = 0
        for items in blocks:
            table = pa.table(columns(items))
            texts = [" ".join((item.question, *item.options)) for item in items]
            ids = [str(count + at) for at in range(len(items))]
            count += len(items)
            plain = pa.table({"text": texts, "id": ids})
            if ours is None or theirs is None:
                ours = pq.ParquetWriter(folder / f"{name}.parquet", table.schema, compression="zstd")
                theirs = pq.ParquetWriter(folder / f"{name}-text" / "0.parquet", plain.schema, compression="zstd")
            ours.write_table(table, row_group_size=ROW_GROUP)
            theirs.write_table(plain, row_group_size=ROW_GROUP)
        if ours is not None and theirs is not None:
            ours.close()
            theirs.close()


def written(folder: Path, *counts: int) -> np.ndarray:
    """Write questions in a process of their own; return what is planted in each row, as its place in KINDS."""
    subprocess.run([sys.executable, __file__, "--write", str(folder), *map(str, counts)], check=True)
    with pq.ParquetFile(folder / "questions.parquet") as file:
        groups = (file.read_row_group(group, ["kind"])["kind"] for group in range(file.num_row_groups))
        return np.concatenate([pc.index_in(group, pa.array(KINDS)).to_numpy() for group in groups]).astype(np.int8)


def by_kind(kinds: np.ndarray, rows: np.ndarray | None = None) -> Counter[str]:
    """Return how many of these rows, or of all, are of each kind."""
    counts = np.bincount(kinds if rows is None else kinds[rows], minlength=len(KINDS))
    return Counter({kind: count for kind, count in zip(KINDS, counts.tolist(), strict=True) if count})


def figures_of(ran: ToolRun, rows: int, log: Path) -> dict[str, float]:
    """Return what a run took; its peak of memory it says itself: the system's word begins with that of its parent."""
    peak = re.findall(r"^VmHWM:\s+(\d+) kB", log.read_text(), re.MULTILINE)[-1]
    return {
        "seconds": ran.end - ran.start,
        "cpu_seconds": ran.cpu_seconds,
        "documents_a_second_per_core": rows / ran.cpu_seconds,
        "peak_mb": int(peak) * 1024 / 1e6,
    }


def ours(step: str, folder: Path, kinds: np.ndarray) -> dict[str, Any]:
    """Measure a step of ours, and hold what it removes to what was planted."""
    output = folder / "ours.npz"
    paths = (folder / "questions.parquet", folder / "evaluation.parquet", output)
    command = [sys.executable, str(HERE / "curation_ours.py"), step, *map(str, paths)]
    ran = run_tool(command, Path(ROOT), folder / "log", MOST_SECONDS)
    found = dict(np.load(output))
    removed = np.unique(np.concatenate([found[way] for way in ("overlaps", "exact", "near") if way in found]))
    right = np.flatnonzero(np.isin(kinds, [KINDS.index(kind) for kind in STEPS[step]]))
    missed, clean = np.setdiff1d(right, removed), np.setdiff1d(removed, right)
    if len(missed) or len(clean):
        raise SystemExit(f"{step}: not found {by_kind(kinds, missed)}, removed but clean {by_kind(kinds, clean)}")
    read, decided = found["seconds"].tolist()
    more = {"seconds_of_features": read, "seconds_of_decisions": decided}
    if "compared" in found:
        more["candidates_compared"] = int(found["compared"])
    return (
        figures_of(ran, len(kinds), folder / "log") | more | {"removed": len(removed), "found": 1.0, "clean_removed": 0}
    )


def theirs(step: str, words: str, folder: Path, kinds: np.ndarray, peers: Path) -> dict[str, Any]:
    """Measure a step of datatrove, and count what it removes."""
    output = folder / "theirs"
    paths = (folder / "questions-text", folder / "evaluation-text", output)
    python, script = peers / "datatrove" / "bin" / "python", HERE / "peers" / "curation_datatrove.py"
    command = [str(python), str(script), step, words, *map(str, paths)]
    ran = run_tool(command, Path(ROOT), folder / "log", MOST_SECONDS)
    removed = set()
    for path in (output / "removed").glob("*"):
        removed |= {int(json.loads(line)["id"]) for line in path.read_text().splitlines()}
    shutil.rmtree(output)
    counts, planted = by_kind(kinds, np.array(sorted(removed), dtype=np.int64)), by_kind(kinds)
    return figures_of(ran, len(kinds), folder / "log") | {
        "removed": len(removed),
        "found": sum(counts[kind] for kind in STEPS[step]) / sum(planted[kind] for kind in STEPS[step]),
        "clean_removed": counts[CLEAN],
        "lookalikes_removed": sum(counts[kind] for kind in (*LOOKALIKES, BROKEN)),
    }


def index_bytes(folder: Path) -> dict[str, float]:
    """Return the size of the index of the evaluation questions."""
    table = pq.read_table(folder / "evaluation.parquet")
    index = build_index([question_texts(table["question"], table["options"])])
    arrays = (index.keys, index.places, index.bits)
    texts = (index.texts.parts.data, index.texts.parts.words)
    runs = len(index.keys)
    return {
        "runs_of_words": runs,
        "bytes_a_run": sum(array.nbytes for array in arrays) / runs,
        "bytes_a_run_with_texts": sum(array.nbytes for array in (*arrays, *texts)) / runs,
    }


def text_figures(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measure the curation of texts."""
    figures: dict[str, Any] = {}
    sizes = {"all": (options.rows, STEPS)}
    if options.peers:
        sizes["beside datatrove"] = (options.peer_rows, ("decontaminate", "deduplicate"))
    for name, (rows, steps) in sizes.items():
        # Of each kind as many as ten rows in 18,000, or what the evaluation questions suffice for.
        planted, copies = min(max(rows // 1800, 10), options.evaluation // 10), max(rows // 900, 10)
        folder = scratch / name.replace(" ", "-")
        kinds = written(folder, rows, options.evaluation, planted, copies)
        about = {"rows": rows, "evaluation_questions": options.evaluation, "planted": dict(by_kind(kinds))}
        figures[name] = about | {"index": index_bytes(folder)}
        for step in steps:
            figures[name][step] = {"ours": ours(step, folder, kinds)}
            print(name, step, json.dumps(rounded(figures[name][step]["ours"])), flush=True)
            for peer, words in TOKENIZERS.items() if name != "all" else ():
                sides = figures[name][step]
                sides[peer] = theirs(step, words, folder, kinds, options.peers)
                speed = [sides[side]["documents_a_second_per_core"] for side in ("ours", peer)]
                sides[peer]["ours_is_faster"] = speed[0] / speed[1]
                sides[peer]["ours_takes_of_its_memory"] = sides["ours"]["peak_mb"] / sides[peer]["peak_mb"]
                print(name, step, peer, json.dumps(rounded(sides[peer])), flush=True)
        shutil.rmtree(folder)
    return figures


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures were measured on."""
    versions = {"python": platform.python_version(), "numpy": np.__version__, "pyarrow": pa.__version__}
    if options.peers:
        ask = "import importlib.metadata as m, json; print(json.dumps({p: m.version(p) for p in %r}))"
        python, packages = options.peers / "datatrove" / "bin" / "python", ("datatrove", "spacy", "numpy", "pyarrow")
        told = subprocess.run([python, "-c", ask % (packages,)], capture_output=True, text=True, check=True).stdout
        versions["datatrove's environment"] = json.loads(told)
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "command": " ".join(["benchmarks/curation.py", *sys.argv[1:]]),
        "commit": commit or None,
        "device": f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} cores",
        "versions": versions,
    }


def rounded(figures: Any) -> Any:
    """Return figures with three decimals."""
    if isinstance(figures, dict):
        return {name: rounded(value) for name, value in figures.items()}
    return round(figures, 3) if isinstance(figures, float) else figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--rows", type=int, default=1_800_000, help="questions for ours")
    parser.add_argument("--evaluation", type=int, default=10_000, help="evaluation questions")
    parser.add_argument("--peer-rows", type=int, default=20_000, help="questions for ours and datatrove, side by side")
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments; left out: only ours is measured")
    parser.add_argument("--folder", type=Path, help="where the questions are written (4 GB; they go again)")
    parser.add_argument("--write", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    if options.write:
        write(Path(options.write[0]), *map(int, options.write[1:]))
        return
    options.peers = options.peers and options.peers.absolute()
    figures = about(options)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        for part in [options.only] if options.only else PARTS:
            figures[part] = {"text": text_figures}[part](options, Path(scratch))
    if options.output:
        options.output.write_text(json.dumps(rounded(figures), indent=1) + "\n")
        print(f"figures: {options.output}")


if __name__ == "__main__":
    main()
