"""Running a sweep with a stand-in for octomed: what is shared, fails, is tried again, and being asked to end."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sweep_config import POINTS, calls, fake_octomed, write_config

from octomed_jax.cli import sweep_run
from octomed_jax.cli.main import main
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.processes import LocalRunner
from octomed_jax.sweeps.rows import read_sweep
from octomed_jax.sweeps.run import How, run_sweep
from octomed_jax.sweeps.stages import Given

TWO_RATES = 'def sweep(add):\n    for rate in (1.0, 2.0):\n        add(**{"train.peak_learning_rate": rate})\n'
ALL = ("questions", "distill", "verify", "shard", "train", "export", "eval")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place: Path, points: str = POINTS, output: str = "out", **how) -> dict:
    fast = {"poll_seconds": 0.005, "again_seconds": 0.0} | how
    return run_sweep(
        expand(write_config(place, points)), output, How(**fast), LocalRunner(place / output, fake_octomed())
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_stage_is_done_once_for_all_points_that_ask_for_it(place):
    records = run(place)
    assert [record["state"] for record in records.values()] == ["done"] * 3
    counts = Counter(calls(place))
    assert counts == {"questions": 1, "distill": 1, "verify": 1, "shard": 3, "train": 3, "export": 3, "eval": 3}
    one, two, _ = [record["stages"] for record in records.values()]
    assert [stage for stage in ALL if one[stage] == two[stage]] == ["questions", "distill", "verify"]
    assert all((place / "out" / folder / "manifest.json").is_file() for folder in one.values())
    point, record = next(iter(records.items()))
    assert json.loads((place / f"out/runs/{point}/run.json").read_text()) == record
    assert record["marks"] == [{"x": 1.0, "step": 20, "export": one["export"], "eval": one["eval"]}]


def test_a_training_with_a_work_folder_of_its_own_is_told_in_full_and_read_there(place, monkeypatch):
    elsewhere = LocalRunner(Path("homes/one"), fake_octomed())
    records = run(place, runners={"train": elsewhere})
    trained = {Path(record["stages"]["train"]) for record in records.values()}
    assert {folder.parent for folder in trained} == {place / "homes/one/stages"}
    assert not list(place.glob("out/stages/train-*"))
    monkeypatch.chdir("/")
    rows = read_sweep(place / "out").rows
    assert [row.tokens_trained for row in rows] == [20 * 9] * 3


def test_a_finished_sweep_runs_nothing_again(place):
    run(place)
    before, called = files(place / "out"), len(calls(place))
    run(place, at_once=2)
    assert len(calls(place)) == called
    assert files(place / "out") == before


def test_at_most_so_many_at_once_and_two_make_the_same(place):
    run(place, output="one")
    (place / "slow").write_text("0.01")
    run(place, output="two", at_once=2)
    both = [{name: data for name, data in files(place / out).items() if "runs/" in name} for out in ("one", "two")]
    assert both[0] == both[1]
    assert len(both[0]) == 3
    assert not (place / "clashes").exists()


def test_a_failed_stage_fails_the_points_that_need_it_and_is_tried_again_next_time(place, capfd):
    (place / "fail-train").write_text("43 peak_learning_rate=2.0")
    first, second = run(place, TWO_RATES).values()
    assert (first["state"], second["state"]) == ("done", "failed")
    assert (second["stage"], second["exit_code"], second["marks"]) == ("train", 43, [])
    assert "failed with exit code 43, and with it 1 run: octomed: train does not work" in capfd.readouterr().err
    (place / "fail-train").unlink()
    assert [record["state"] for record in run(place, TWO_RATES).values()] == ["done", "done"]
    assert Counter(calls(place)) == {**dict.fromkeys(ALL, 1), "train": 3, "export": 2, "eval": 2}


def test_a_shared_stage_that_fails_fails_all_of_its_points(place):
    (place / "fail-distill").write_text("1")
    records = run(place)
    assert {(record["state"], record["stage"]) for record in records.values()} == {("failed", "distill")}
    assert calls(place) == ["questions", "distill"]


def test_try_again_is_tried_a_few_times(place, capfd):
    (place / "fail-verify").write_text("42")
    records = run(place, TWO_RATES)
    assert [record["exit_code"] for record in records.values()] == [42, 42]
    assert calls(place).count("verify") == 4
    assert "try again (3 of 4 tries)" in capfd.readouterr().err


def test_a_stage_that_leaves_no_finished_folder_is_no_success(place, capfd):
    (place / "fail-questions").write_text("0")
    assert {record["stage"] for record in run(place).values()} == {"questions"}
    assert "left no finished folder" in capfd.readouterr().err


def test_stages_that_were_made_elsewhere_are_not_run(place):
    given = {"shard": Given("elsewhere/shards", "1234")}
    records = run(place, TWO_RATES, given=given)
    assert Counter(calls(place)) == {"questions": 1, "train": 2, "export": 2, "eval": 2}
    stages = next(iter(records.values()))["stages"]
    assert stages["shard"] == "elsewhere/shards"
    assert "distill" not in stages


def test_marks_are_exported_and_measured_at_equal_parts(place):
    points = 'def sweep(add):\n    add(**{"checkpoint.parts": 3, "train.epochs": 3.0, "train.steps": 0})\n'
    (record,) = run(place, points).values()
    assert [(mark["x"], mark["step"]) for mark in record["marks"]] == [(1.0, 7), (2.0, 13), (3.0, 20)]
    assert len({mark["eval"] for mark in record["marks"]}) == 3
    assert Counter(calls(place))["export"] == 3


def test_the_baseline_measures_the_student_before_training(place):
    points = 'def sweep(add):\n    add(stages=("questions", "distill", "verify", "shard", "baseline"))\n'
    (record,) = run(place, points).values()
    assert calls(place)[-1] == "baseline"
    assert record["stages"]["baseline"].startswith("stages/baseline-")


def test_a_point_whose_stages_cannot_be_run_starts_nothing(place):
    with pytest.raises(UserError, match="has 'eval' without 'export'"):
        run(place, 'def sweep(add):\n    add()\n    add(stages=("questions", "eval"))\n')
    assert not (place / "out").exists()


def test_no_stage_at_a_time_is_refused(place):
    with pytest.raises(UserError, match="--at-once=0"):
        run(place, at_once=0)


DRIVER = """
import sys
from pathlib import Path
from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.processes import LocalRunner
from octomed_jax.sweeps.rows import read_sweep
from octomed_jax.sweeps.run import How, run_sweep
run_sweep(expand(sys.argv[1]), "out", How(poll_seconds=0.01), LocalRunner(Path("out"), sys.argv[2:]))
"""


def start(place: Path) -> subprocess.Popen[str]:
    """Start a sweep in a process of its own; return when its first stage runs."""
    command = [sys.executable, "-c", DRIVER, write_config(place), *fake_octomed()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for _ in range(400):
        if calls(place):
            return process
        time.sleep(0.05)
    raise AssertionError("the first stage did not start")


def test_asked_to_end_it_passes_that_on_and_goes_on_the_next_time(place):
    (place / "slow").write_text("60")
    process = start(place)
    with pytest.raises(TryAgain, match="still works there"):
        run(place)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert "asked to end: told 1 stages to save and end" in errors
    (place / "slow").unlink()
    assert {record["state"] for record in run(place).values()} == {"done"}
    assert not (place / "clashes").exists()
    assert calls(place).count("questions") == 2


def test_what_outlives_a_killed_sweep_is_waited_for(place):
    (place / "slow").write_text("1")
    process = start(place)
    process.kill()
    process.wait(timeout=10)
    (place / "slow").unlink()
    assert {record["state"] for record in run(place).values()} == {"done"}
    assert not (place / "clashes").exists()


@pytest.fixture
def command(place, monkeypatch):
    """The command line, with the stand-in."""

    def run_here(sweep, output, how):
        how = dataclasses.replace(how, poll_seconds=0.005, again_seconds=0.0)
        return run_sweep(sweep, output, how, LocalRunner(output, fake_octomed()))

    monkeypatch.setattr(sweep_run, "run_sweep", run_here)
    return lambda *words: main(["sweep", "run", f"--config={write_config(place)}", "--output=out", *words])


def test_the_command_says_where_the_results_are(command, capsys):
    assert command() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 runs: 3 done; results: out/results.html"
    assert command("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["state"] for one in told["runs"]] == ["done"] * 3


@pytest.mark.parametrize(("code", "ends"), [(43, 1), (2, 1), (42, 42)])
def test_the_exit_code_says_whether_trying_again_can_help(code, ends, command, place, capsys):
    (place / "fail-verify").write_text(str(code))
    assert command() == ends
    assert f"(verify, exit {code})" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config.seed=1"], "takes no overrides"),
        (["--shards=nowhere"], "nowhere does not exist"),
        (["--stopping=median"], "needs --rungs"),
        (["--rungs=5"], "--rungs belongs to --stopping"),
        (["--stopping=median", "--rungs=a"], "not of the form STEP,STEP"),
        (["--stopping=median", "--rungs=5,20"], "ends at step 20"),
        (["--stopping=median", "--rungs=5", "--stopping-metric=held_out_loss"], "does not measure it"),
    ],
)
def test_mistakes_exit_2_and_start_nothing(words, message, command, place, capsys):
    assert command(*words) == 2
    assert message in capsys.readouterr().err
    assert not (place / "out").exists()
