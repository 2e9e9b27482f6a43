"""``octomed sweep status``: counts, what runs and what it said last, what failed and why, and shared folders."""

import fcntl
import json
import os

import pytest
from sweep_config import POINTS, fake_octomed, write_config

from octomed_jax.cli.main import main
from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.processes import LocalRunner
from octomed_jax.sweeps.run import How, run_sweep

TWO_RATES = 'def sweep(add):\n    for rate in (1.0, 2.0):\n        add(**{"train.peak_learning_rate": rate})\n'


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place, points):
    how = How(poll_seconds=0.005, again_seconds=0.0)
    return run_sweep(expand(write_config(place, points)), "out", how, LocalRunner(place / "out", fake_octomed()))


def status(capsys) -> dict:
    assert main(["sweep", "status", "out", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_finished_sweep_and_what_its_runs_share(place, capsys):
    run(place, POINTS)
    told = status(capsys)
    assert told["counts"] == {"pending": 0, "running": 0, "done": 3, "failed": 0, "stopped": 0}
    assert {key.split("-")[0]: number for key, number in told["shared"].items()} == {
        "questions": 3,
        "distill": 3,
        "verify": 3,
    }
    assert main(["sweep", "status", "out"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 runs: 3 done; out"


def test_a_failed_run_names_its_stage_code_reason_and_log(place, capsys):
    (place / "fail-train").write_text("43 peak_learning_rate=2.0")
    run(place, TWO_RATES)
    _, failed = status(capsys)["runs"]
    assert (failed["state"], failed["stage"], failed["exit_code"]) == ("failed", "train", 43)
    assert failed["line"] == "octomed: train does not work"
    assert (place / failed["log"]).is_file()
    assert main(["sweep", "status", "out"]) == 0
    assert "in train, exit code 43: octomed: train does not work" in capsys.readouterr().out


def test_a_run_is_running_where_the_lock_of_its_stage_is_held(place, capsys):
    records = run(place, TWO_RATES)
    point, record = list(records.items())[1]
    key = record["stages"]["train"].removeprefix("stages/")
    (place / f"out/runs/{point}/run.json").unlink()
    (place / f"out/status/{key}.json").unlink()
    assert status(capsys)["runs"][1] == {"id": point, "state": "pending", "stage": "train"}
    held = os.open(place / "out/locks" / key, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        told = status(capsys)["runs"][1]
    finally:
        os.close(held)
    assert (told["state"], told["stage"], told["line"]) == ("running", "train", "train: working")


def test_status_changes_nothing(place, capsys):
    run(place, TWO_RATES)
    before = {path: path.stat().st_mtime_ns for path in (place / "out").rglob("*")}
    status(capsys)
    assert {path: path.stat().st_mtime_ns for path in (place / "out").rglob("*")} == before


def test_a_folder_without_a_sweep_and_a_damaged_one(place, capsys):
    assert main(["sweep", "status", "nowhere"]) == 2
    assert "nowhere holds no sweep" in capsys.readouterr().err
    records = run(place, TWO_RATES)
    (place / f"out/runs/{next(iter(records))}/run.json").write_text("{")
    assert main(["sweep", "status", "out"]) == 43
    assert "run.json is not valid JSON" in capsys.readouterr().err
