"""The curate stage on synthetic questions, and datatrove beside it: what is planted and found, seconds, peak memory.

    uv venv --python 3.11 .venv-peers/datatrove
    uv pip install --python .venv-peers/datatrove 'datatrove[io]==0.10.1' regex spacy tokenizers 'xxhash<4'
    .venv/bin/python benchmarks/curation.py --peers .venv-peers --output benchmarks/results/curation.json

**stage**: the whole of ``curate()``, from a folder of questions to a folder of questions, in as many processes as there
are cores, with the steps decontaminate and deduplicate: 1.8 million synthetic questions of 20 to 150 words with four
options each, 200,000 of them with an image, and 10,000 held-out questions (curation_folder.py). Planted are 1,000
overlaps of each of eight kinds and 1,000 that 16 words must not find, 1,000 images of held-out questions as the same
file, the same pixels and recompressed, and 1,000 flipped, which must stay; 2,000 duplicates of each of five kinds, one
of them with an image, and 2,000 of each of four that only look like one. Every planted one must go, for what it was
planted as, and no other row, else the run fails.

**beside datatrove**: the same stage with one step at a time, in one process on one core, and datatrove's blocks on the
same questions, without images, of which there are so few that datatrove takes about a minute: 16 words for both; 24
bands of six and a check of each candidate for ours, 14 of eight without a check for datatrove, as they come. datatrove
is run with spaCy's tokenizer for English, and with words simply split at spaces in its place, which is faster than any
tokenizer can be; it gets question and options as one text. Both read and write files. Documents a second are of seconds
of the processor, as the machine may have other work; both have the seconds in which Python starts in them.
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
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bare_package import ROOT  # first: it makes the project importable
from curation_folder import IMAGE_COPIES, IMAGE_OVERLAPS, KINDS
from curation_questions import BROKEN, CLEAN, DUPLICATES, LOOKALIKES, OVERLAPS
from tool_run import ToolRun, below, run_tool

from octomed_jax.curation.texts.ngrams import build_index
from octomed_jax.curation.texts.question_texts import QuestionTexts, question_texts

Figures = dict[str, Any]
HERE = Path(__file__).resolve().parent
MOST_SECONDS = 1500.0  # of one tool
# What each step must take out, and nothing else. The stage counts those of another answer apart, and takes them too.
STEPS = {
    "decontaminate": (*OVERLAPS, *IMAGE_OVERLAPS),
    "deduplicate": (*DUPLICATES, "other answer", *IMAGE_COPIES),
}
TOKENIZERS = {"datatrove": "spacy", "datatrove, words split at spaces": "split"}
STATUS = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)


def written(folder: Path, *counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Write questions in a process of their own; return what is planted in each row, and of what it is."""
    subprocess.run([sys.executable, str(HERE / "curation_folder.py"), str(folder), *map(str, counts)], check=True)
    return np.load(folder / "kinds.npy"), np.load(folder / "of.npy")


def by_kind(kinds: np.ndarray, rows: np.ndarray | None = None) -> Counter[str]:
    """Return how many of these rows, or of all, are of each kind."""
    counts = np.bincount(kinds if rows is None else kinds[rows], minlength=len(KINDS))
    return Counter({kind: count for kind, count in zip(KINDS, counts.tolist(), strict=True) if count})


class Peaks:
    """The most memory, pages of files that it has mapped among it, of a process and of the largest below it."""

    def __init__(self) -> None:
        self.driver = self.worker = 0

    def look(self, root: int) -> None:
        """Look at them once."""
        for process in below(root):
            try:
                size = int(STATUS.findall(Path(f"/proc/{process}/status").read_text())[0]) * 1024
            except (OSError, IndexError):
                continue  # it ended while we looked
            if process == root:
                self.driver = max(self.driver, size)
            else:
                self.worker = max(self.worker, size)


def figures_of(ran: ToolRun, rows: int, log: Path, workers: int = 1) -> dict[str, float]:
    """Return what a run took.

    A process alone says itself what its peak of memory was: the system's word begins with that of its parent.
    """
    said = int(re.findall(r"^VmHWM:\s+(\d+) kB", log.read_text(), re.MULTILINE)[-1]) * 1024
    return {
        "seconds": ran.end - ran.start,
        "cpu_seconds": ran.cpu_seconds,
        "documents_a_second_per_core": rows / ran.cpu_seconds,
        "peak_mb": (said if workers == 1 else ran.peak_bytes) / 1e6,
    }


def ours(steps: Sequence[str], folder: Path, kinds: np.ndarray, of: np.ndarray, workers: int, images: str) -> Figures:
    """Measure the stage with some steps, and hold what it takes out to what was planted."""
    output, peaks = folder / "curated", Peaks()
    words = (folder / "questions", output, workers, ",".join(steps), images)
    command = [sys.executable, str(HERE / "curation_stage.py"), *map(str, words)]
    ran = run_tool(command, Path(ROOT), folder / "log", MOST_SECONDS, peaks.look)
    gone = pq.read_table(output / "removed.parquet", columns=["id", "step", "match"])
    left = pq.read_metadata(output / "questions.parquet").num_rows
    shutil.rmtree(output)
    rows = np.array([int(name.rpartition(":")[2]) for name in gone["id"].to_pylist()], dtype=np.int64)
    for step in steps:
        removed = rows[np.flatnonzero(np.array(gone["step"].to_pylist(), dtype=object) == step)]
        right = np.flatnonzero(np.isin(kinds, [KINDS.index(kind) for kind in STEPS[step]]))
        missed, clean = np.setdiff1d(right, removed), np.setdiff1d(removed, right)
        if len(missed) or len(clean):
            raise SystemExit(f"{step}: not found {by_kind(kinds, missed)}, removed but clean {by_kind(kinds, clean)}")
    matches = [f"test:{of[row]:09d}" for row in rows.tolist()]
    shared = np.flatnonzero(np.array(gone["step"].to_pylist(), dtype=object) == "decontaminate").tolist()
    wrong = [row for row in shared if gone["match"][row].as_py() != matches[row]]
    if wrong or left != len(kinds) - len(rows):
        raise SystemExit(f"{left} rows are left; {len(wrong)} went for another held-out question than they are of")
    memory = {"driver_peak_mb": peaks.driver / 1e6, "worker_peak_mb": peaks.worker / 1e6} if workers > 1 else {}
    return {
        **figures_of(ran, len(kinds), folder / "log", workers),
        **memory,
        "seconds_of": json.loads((folder / "log").read_text().splitlines()[-1]),
        "removed": dict(by_kind(kinds, rows)),
        "found": 1.0,
        "clean_removed": 0,
    }


def theirs(step: str, words: str, folder: Path, kinds: np.ndarray, peers: Path) -> Figures:
    """Measure a step of datatrove, and count what it removes."""
    output = folder / "theirs"
    paths = (folder / "text", folder / "evaluation-text", output)
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
    """Return the size of the index of the held-out questions, and the most memory that building it takes."""

    def batches() -> Iterator[QuestionTexts]:
        with pq.ParquetFile(folder / "questions" / "heldout.parquet") as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, ["question", "options"])
                yield question_texts(table["question"], table["options"])

    tracemalloc.start()
    index = build_index(batches())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    arrays = (index.keys, index.places, index.bits)
    texts = (index.texts.parts.data, index.texts.parts.words)
    runs = len(index.keys)
    return {
        "runs_of_words": runs,
        "bytes_a_run": sum(array.nbytes for array in arrays) / runs,
        "bytes_a_run_with_texts": sum(array.nbytes for array in (*arrays, *texts)) / runs,
        "bytes_a_run_while_built": peak / runs,
    }


def planted(rows: int, evaluation: int) -> tuple[int, int]:
    """Return how many are planted of each kind: ten rows in 18,000, or what the evaluation questions suffice for."""
    return min(max(rows // 1800, 10), evaluation // 10), max(rows // 900, 10)


def stage_figures(options: argparse.Namespace, scratch: Path) -> Figures:
    """Measure the whole stage on all questions."""
    folder = scratch / "stage"
    kinds, of = written(folder, options.rows, options.evaluation, *planted(options.rows, options.evaluation),
                        options.images)  # fmt: skip
    told = {"rows": options.rows, "images": options.images, "evaluation_questions": options.evaluation}
    figures = told | {"workers": options.workers, "planted": dict(by_kind(kinds)), "index": index_bytes(folder)}
    figures["ours"] = ours(tuple(STEPS), folder, kinds, of, options.workers, "near" if options.images else "bytes")
    print("stage", json.dumps(rounded(figures["ours"])), flush=True)
    shutil.rmtree(folder)
    return figures


def peer_figures(options: argparse.Namespace, scratch: Path) -> Figures:
    """Measure each step of ours and of datatrove on the same questions, on one core."""
    folder = scratch / "peers"
    kinds, of = written(folder, options.peer_rows, options.evaluation, *planted(options.peer_rows, options.evaluation),
                        0)  # fmt: skip
    figures: Figures = {"rows": options.peer_rows, "evaluation_questions": options.evaluation}
    figures["planted"] = dict(by_kind(kinds))
    for step in STEPS:
        sides = figures[step] = {"ours": ours((step,), folder, kinds, of, 1, "bytes")}
        print(step, json.dumps(rounded(sides["ours"])), flush=True)
        for peer, words in TOKENIZERS.items():
            sides[peer] = theirs(step, words, folder, kinds, options.peers)
            speed = [sides[side]["documents_a_second_per_core"] for side in ("ours", peer)]
            sides[peer]["ours_is_faster"] = speed[0] / speed[1]
            sides[peer]["ours_takes_of_its_memory"] = sides["ours"]["peak_mb"] / sides[peer]["peak_mb"]
            print(step, peer, json.dumps(rounded(sides[peer])), flush=True)
    shutil.rmtree(folder)
    return figures


def about(options: argparse.Namespace) -> Figures:
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
    parser.add_argument("--rows", type=int, default=1_800_000, help="questions for the stage")
    parser.add_argument("--images", type=int, default=200_000, help="questions of them that have an image")
    parser.add_argument("--evaluation", type=int, default=10_000, help="held-out questions")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes of the stage")
    parser.add_argument("--peer-rows", type=int, default=20_000, help="questions for ours and datatrove, side by side")
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments; left out: only ours is measured")
    parser.add_argument("--folder", type=Path, help="where the questions are written (5 GB; they go again)")
    parser.add_argument("--output", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    options.peers = options.peers and options.peers.absolute()
    figures = about(options)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        figures["stage"] = stage_figures(options, Path(scratch))
        if options.peers:
            figures["beside datatrove"] = peer_figures(options, Path(scratch))
    if options.output:
        options.output.write_text(json.dumps(rounded(figures), indent=1) + "\n")
        print(f"figures: {options.output}")


if __name__ == "__main__":
    main()
