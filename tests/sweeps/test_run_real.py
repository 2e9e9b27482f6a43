"""A real sweep, killed with ``kill -9`` at ten random moments and continued: its results are an undisturbed one's."""

import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = 10
# Three points of the demo's smallest size: two sets of shards, of which one is trained on with two seeds.
CONFIG = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from configs.demo import get_config as demo

def get_config():
    config = demo("tiny")
    del config.questions.icd10, config.questions.dicom, config.questions.medmcqa_sample
    config.train.steps = 4
    config.checkpoint.parts = 2
    return config

def sweep(add):
    for kept, seed in ((1, 0), (2, 0), (2, 1)):
        add(**{{"traces.per_question": kept, "train.seed": seed}})
"""
# How many folders they make of each stage: exports and evaluations are of two marks a point.
SHARED = {"questions": 1, "distill": 1, "verify": 1, "shard": 2, "train": 3, "export": 6, "eval": 6}
pytestmark = pytest.mark.integration


def start(folder: Path, output: str) -> subprocess.Popen:
    """Start the command, or go on with what one that was killed has left."""
    words = ["sweep", "run", "--config=tiny_traces.py", f"--output={output}", "--at-once=2"]
    with (folder / f"{output}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "octomed_jax.cli.main", *words],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def finish(folder: Path, output: str) -> None:
    """Run a sweep to its end."""
    code = start(folder, output).wait(timeout=600)
    assert code == 0, (folder / f"{output}.log").read_text()[-3000:]


def results(root: Path) -> dict[str, str]:
    """Return what a sweep came to, without how long it took."""
    rows = list(csv.reader((root / "results.csv").open()))
    assert rows[0][-1] == "train_seconds"
    told = {str(path.relative_to(root)): path.read_text() for path in root.glob("runs/*/run.json")}
    told |= {name: (root / name).read_text() for name in ("sweep.json", "results.md")}
    decisions = root / "decisions.jsonl"
    told["decisions.jsonl"] = decisions.read_text() if decisions.exists() else ""
    return told | {"results.csv": "\n".join(",".join(row[:-1]) for row in rows)}


def stages(root: Path) -> Counter:
    """Return how many folders each stage has; what is half done has another name or no manifest."""
    return Counter(path.parent.name.partition("-")[0] for path in root.glob("stages/*/manifest.json"))


def wait_for(root: Path, count: int, process: subprocess.Popen, seconds: float = 300.0) -> None:
    """Wait until so many stages are finished, and the sweep works on the next ones."""
    limit = time.monotonic() + seconds
    while stages(root).total() < count or not (root / "sweep.json").exists():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < limit, f"{stages(root).total()} of {count} stages in {seconds:.0f} s"
        time.sleep(0.05)


@pytest.mark.timeout(900)
def test_killed_at_random_moments_its_results_are_an_undisturbed_ones(tmp_path):
    (tmp_path / "tiny_traces.py").write_text(CONFIG)
    finish(tmp_path, "undisturbed")
    assert stages(tmp_path / "undisturbed") == SHARED
    chance = random.Random(14)
    for kill in range(KILLS):
        # Spread over its course, and at a random moment of whatever it does then.
        process = start(tmp_path, "killed")
        wait_for(tmp_path / "killed", kill * sum(SHARED.values()) // KILLS, process)
        time.sleep(chance.uniform(0.0, 1.5))
        process.kill()
        assert process.wait(timeout=10) == -signal.SIGKILL, f"it came to its end after {kill} kills"
    finish(tmp_path, "killed")
    assert results(tmp_path / "killed") == results(tmp_path / "undisturbed")
    assert stages(tmp_path / "killed") == SHARED
    assert len(list((tmp_path / "killed/stages").iterdir())) == sum(SHARED.values())
    logs = [path for root in ("undisturbed", "killed") for path in (tmp_path / root / "logs").glob("*.log")]
    assert len(logs) == 2 * sum(SHARED.values())
    assert not [path for path in logs if re.search("made with other settings", path.read_text())]
