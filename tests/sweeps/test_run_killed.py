"""``kill -9`` of a sweep at random moments, ten times: what it ends with is what an undisturbed one ends with."""

import csv
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_config import calls, fake_octomed, write_config

from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.processes import LocalRunner
from octomed_jax.sweeps.results import write_results
from octomed_jax.sweeps.run import How, run_sweep
from octomed_jax.sweeps.stopping import Rule

KILLS = 10
POINTS = """
def sweep(add):
    for rate in (3.0, 1.0, 2.0, 6.0, 0.5, 5.0):
        add(**{"train.peak_learning_rate": rate, "checkpoint.parts": 2})
"""
RULE = Rule(kind="median", metric="loss", rungs=(5, 10))
# The stand-in makes the stages, so that ten kills take seconds; the real ones are in test_run_real.py.
DRIVER = """
import sys
from pathlib import Path
from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.processes import LocalRunner
from octomed_jax.sweeps.run import How, run_sweep
from octomed_jax.sweeps.stopping import Rule
rule = Rule(kind="median", metric="loss", rungs=(5, 10))
how = How(at_once=2, rule=rule, poll_seconds=0.005, again_seconds=0.0)
print("begun", flush=True)
run_sweep(expand(sys.argv[1]), "out", how, LocalRunner(Path("out"), sys.argv[2:]))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(folder: Path) -> dict[str, bytes]:
    """Return what a sweep is judged by: how its points ended, what was decided, and the tables of its results."""
    write_results(folder)
    names = ("runs/*/run.json", "decisions.jsonl", "sweep.json", "status/*.json", "stages/*/results.json", "results.md")
    found = {str(path.relative_to(folder)): path.read_bytes() for name in names for path in sorted(folder.glob(name))}
    header, *rows = csv.reader((folder / "results.csv").open())
    assert header[-1] == "train_seconds"  # the one that is another on another machine
    return found | {"results.csv": repr([row[:-1] for row in (header, *rows)]).encode()}


def test_killed_ten_times_it_ends_as_if_undisturbed(place):
    spec = write_config(place, POINTS)
    (place / "fail-export").write_text("43 checkpoints/20")
    how = How(rule=RULE, poll_seconds=0.005, again_seconds=0.0)
    run_sweep(expand(spec), "undisturbed", how, LocalRunner(place / "undisturbed", fake_octomed()))
    once = len(calls(place))
    (place / "calls").unlink()
    (place / "slow").write_text("0.03")
    chance = random.Random(14)
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, spec, *fake_octomed()],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        time.sleep(chance.uniform(0.0, 0.4))
        killed += process.poll() is None
        process.kill()
        process.wait(timeout=10)
        process.stdout.close()
    assert killed > KILLS // 2
    how = How(rule=RULE, at_once=2, poll_seconds=0.005, again_seconds=0.0)
    run_sweep(expand(spec), "out", how, LocalRunner(place / "out", fake_octomed()))
    assert told(place / "out") == told(place / "undisturbed")
    states = {json.loads(path.read_text())["state"] for path in (place / "out").glob("runs/*/run.json")}
    assert states == {"failed", "stopped"}  # one stage fails on purpose, for every run that comes to its end
    assert not (place / "clashes").exists()
    # A kill costs the stages that ran then, which are asked once more; what failed is tried again by each start.
    repeated = [stage for stage in calls(place) if stage != "export"]
    assert len(repeated) <= once + 2 * KILLS
