"""Early stopping while a sweep runs, with a stand-in for octomed whose loss is the learning rate and a little more."""

import json

import pytest
from sweep_config import calls, fake_octomed, write_config

from octomed_jax.cli.main import main
from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.processes import LocalRunner
from octomed_jax.sweeps.run import How, run_sweep
from octomed_jax.sweeps.stopping import Rule

RATES = (3.0, 1.0, 2.0, 6.0, 0.5, 5.0)


def points(rates=RATES) -> str:
    return f'def sweep(add):\n    for rate in {rates}:\n        add(**{{"train.peak_learning_rate": rate}})\n'


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place, kind: str, output: str = "out", at_once: int = 1, rates=RATES) -> list[dict]:
    rule = Rule(kind=kind, metric="loss", rungs=(5, 10))
    how = How(rule=rule, at_once=at_once, poll_seconds=0.005, again_seconds=0.0)
    sweep = expand(write_config(place, points(rates)))
    return list(run_sweep(sweep, output, how, LocalRunner(place / output, fake_octomed())).values())


def test_runs_that_fall_behind_the_median_are_stopped_at_their_rung(place):
    records = run(place, "median")
    assert [record["state"] for record in records] == ["done", "done", "done", "stopped", "done", "stopped"]
    assert [record.get("rung") for record in records] == [None, None, None, 5, None, 5]
    assert "export" not in records[3]["stages"]
    assert records[3]["marks"] == []
    lines = (place / "out/decisions.jsonl").read_text().splitlines()
    assert len(lines) == 6 + 4
    trained = [line.split()[2:] for line in (place / "calls").read_text().splitlines() if line.startswith("train")]
    assert trained.count([]) == 4


def test_the_best_third_goes_on_at_each_rung_of_halving(place):
    records = run(place, "halving", at_once=2)
    assert [record["state"] for record in records].count("done") == 1
    assert records[4]["state"] == "done"
    assert sorted(record["rung"] for record in records if record["state"] == "stopped") == [5, 5, 5, 5, 10]


@pytest.mark.parametrize("kind", ["median", "halving"])
def test_decisions_do_not_depend_on_how_many_run_at_once(kind, place):
    run(place, kind, "one")
    (place / "slow").write_text("0.01")
    run(place, kind, "three", at_once=3)
    assert (place / "one/decisions.jsonl").read_bytes() == (place / "three/decisions.jsonl").read_bytes()


def test_nobody_waits_for_a_run_that_failed(place):
    (place / "fail-train").write_text("43 peak_learning_rate=2.0")
    records = run(place, "halving")
    assert [record["state"] for record in records].count("failed") == 1
    assert [record["state"] for record in records].count("done") == 1


def test_nothing_is_decided_or_trained_twice(place):
    run(place, "median")
    before, called = (place / "out/decisions.jsonl").read_bytes(), len(calls(place))
    run(place, "median")
    assert (place / "out/decisions.jsonl").read_bytes() == before
    assert len(calls(place)) == called


def test_replay_makes_the_decisions_again_and_names_those_that_differ(place, capsys):
    run(place, "median")
    assert main(["sweep", "status", "out", "--replay"]) == 0
    assert (
        "10 decisions in out/decisions.jsonl: the same when made again from the metric files" in capsys.readouterr().out
    )
    first = json.loads(next((place / "out").glob("runs/*/run.json")).read_text())
    metrics = place / "out" / first["stages"]["train"] / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"loss": ', '"loss": 9'))
    assert main(["sweep", "status", "out", "--replay", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert first["id"] in told["differences"][0]


def test_replay_of_a_sweep_without_early_stopping_is_refused(place, capsys):
    sweep = expand(write_config(place, points((1.0,))))
    run_sweep(sweep, "out", How(poll_seconds=0.005), LocalRunner(place / "out", fake_octomed()))
    assert main(["sweep", "status", "out", "--replay"]) == 2
    assert "stops no run early" in capsys.readouterr().err
