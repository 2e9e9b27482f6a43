"""Early stopping in a folder: values at rungs, a log that holds each decision once, and making them all again."""

import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys

import pytest

from octomed_jax import storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.sweeps.decisions import add_decisions, read_curve, read_decisions, replay
from octomed_jax.sweeps.stopping import Rule, decide

ORDER = ["a", "b", "c", "d", "e", "f"]
RULE = Rule("halving", "held_out_loss", rungs=(4, 8), factor=2)


def write_metrics(folder, steps, every=2, value=lambda step: 10.0 / step):
    lines = []
    for step in range(1, steps + 1):
        look = {"held_out_loss": value(step)} if step % every == 0 else {}
        lines.append(json.dumps({"step": step, "loss": float(step), **look}) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(lines))


@pytest.fixture
def sweep(tmp_path):
    """A sweep that has come to its end, with what it logged: f failed before the first rung."""
    storage.write_json(
        tmp_path / "sweep.json", {"points": [{"id": one} for one in ORDER], "stopping": dataclasses.asdict(RULE)}
    )
    last = {"a": 20, "b": 8, "c": 4, "d": 4, "e": 4, "f": 3}
    for place, point in enumerate(ORDER):
        folder = tmp_path / "stages" / f"train-{point}"
        write_metrics(folder, last[point], value=lambda step, place=place: place + 10.0 / step)
        state = {20: "done", 3: "failed"}.get(last[point], "stopped")
        record = {"id": point, "state": state, "stages": {"train": f"stages/train-{point}"}}
        storage.write_json(tmp_path / "runs" / point / "run.json", record)
    add_decisions(tmp_path, RULE, ORDER, curves_of(tmp_path), gone=ORDER)
    return tmp_path


def curves_of(root):
    return {point: read_curve(root / "stages" / f"train-{point}", RULE) for point in ORDER}


def test_the_value_at_a_rung_is_that_of_the_last_look(tmp_path):
    write_metrics(tmp_path, 30, every=7, value=float)
    assert read_curve(tmp_path, Rule("median", "held_out_loss", rungs=(20, 28, 40))) == {20: 14.0, 28: 28.0}
    [value] = read_curve(tmp_path, Rule("median", "held_out_loss", rungs=(6,))).values()
    assert math.isnan(value)  # it has come there, and measured nothing
    write_metrics(tmp_path, 7, every=7, value=lambda _: math.nan)
    assert math.isnan(read_curve(tmp_path, Rule("median", "held_out_loss", rungs=(7,)))[7])


def test_the_training_loss_at_a_rung_is_the_mean_of_the_last_twenty_steps(tmp_path):
    write_metrics(tmp_path, 50)
    assert read_curve(tmp_path, Rule("median", "loss", rungs=(10, 45, 51))) == {10: 5.5, 45: 35.5}
    path = tmp_path / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[44]["loss"] = None  # a step that was skipped
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_curve(tmp_path, Rule("median", "loss", rungs=(45,))) == {45: sum(range(26, 45)) / 19}
    path.write_text("".join(json.dumps(line | {"loss": None}) + "\n" for line in lines))
    assert math.isnan(read_curve(tmp_path, Rule("median", "loss", rungs=(45,)))[45])
    assert read_curve(tmp_path / "not-begun", RULE) == {}


def test_a_line_that_is_torn_has_not_come(tmp_path):
    write_metrics(tmp_path, 8)
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text()[:-3])
    assert list(read_curve(tmp_path, RULE)) == [4]


def test_the_log_is_the_same_however_it_grew(sweep, tmp_path_factory):
    whole = (sweep / "decisions.jsonl").read_bytes()
    curves, other = curves_of(sweep), tmp_path_factory.mktemp("other")
    assert add_decisions(other, RULE, ORDER, {point: {} for point in ORDER}, gone="f") == []
    assert not (other / "decisions.jsonl").exists()
    first = {point: {rung: value for rung, value in curves[point].items() if rung == 4} for point in ORDER}
    assert len(add_decisions(other, RULE, ORDER, first, gone="f")) == 5
    written = (other / "decisions.jsonl").stat().st_mtime_ns
    assert len(add_decisions(other, RULE, ORDER, first, gone="f")) == 5
    assert (other / "decisions.jsonl").stat().st_mtime_ns == written  # nothing new, nothing written
    add_decisions(other, RULE, ORDER, curves, gone=ORDER)
    assert (other / "decisions.jsonl").read_bytes() == whole
    assert read_decisions(other) == decide(RULE, ORDER, curves, ORDER)


@pytest.mark.parametrize("cut", [1, 2, 40, 200])
def test_a_torn_last_line_is_made_again(sweep, cut):
    path = sweep / "decisions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    add_decisions(sweep, RULE, ORDER, curves_of(sweep), gone=ORDER)
    assert path.read_bytes() == whole


def test_killed_while_it_writes_it_has_the_same_log(sweep):
    """A process that writes the log anew all the time, killed at three moments: no line is lost or torn."""
    path = sweep / "decisions.jsonl"
    whole = path.read_bytes()
    program = (
        "import sys; from pathlib import Path; from tests.sweeps.test_decisions import *\n"
        "root = Path(sys.argv[1]); curves = curves_of(root); print('ready', flush=True)\n"
        "while True:\n"
        "    (root / 'decisions.jsonl').unlink()\n"
        "    add_decisions(root, RULE, ORDER, curves, gone=ORDER)\n"
    )
    for lines in (1, 2, 3):
        writer = subprocess.Popen([sys.executable, "-c", program, str(sweep)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout.readline() == "ready\n"
        for _ in range(50 * lines):
            with contextlib.suppress(FileNotFoundError):
                assert path.read_bytes() == whole
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        add_decisions(sweep, RULE, ORDER, curves_of(sweep), gone=ORDER)
        assert path.read_bytes() == whole


def test_a_log_that_is_none_is_named(sweep):
    path = sweep / "decisions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "{}\n")
    with pytest.raises(StopAndLook, match="line 2 is no decision"):
        read_decisions(sweep)
    path.write_text(lines[0] * 2)
    with pytest.raises(StopAndLook, match="two decisions on one run"):
        read_decisions(sweep)


def test_all_decisions_are_made_again_from_the_metric_files(sweep):
    assert [(one.point, one.rung) for one in read_decisions(sweep) if one.goes_on] == [("a", 4), ("b", 4), ("a", 8)]
    assert replay(sweep) == []


def test_a_difference_is_named_with_both_reasons(sweep):
    folder = sweep / "stages" / "train-b"
    write_metrics(folder, 8, value=lambda _: 0.5)
    differences = replay(sweep)
    assert any(
        line.startswith("b at step 8: logged: held_out_loss 2.25 at step 8, place 2 of 2; the best 1 go on: stopped; ")
        and line.endswith("made again: held_out_loss 0.5 at step 8, place 1 of 2; the best 1 go on: it does")
        for line in differences
    )
    assert [line.split(":")[0] for line in differences if " step 8" in line.split(":")[0]] == [
        "a at step 8",
        "b at step 8",
    ]
    path = sweep / "decisions.jsonl"
    write_metrics(folder, 8, value=lambda step: 1 + 10.0 / step)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    [line] = replay(sweep)
    assert line.startswith("b at step 8: logged: no decision; made again: ")


def test_of_a_sweep_that_goes_on_only_what_can_be_made_again_is_compared(sweep):
    (sweep / "runs" / "b" / "run.json").unlink()
    assert replay(sweep) == []
    assert replay(sweep, {"b": sweep / "stages" / "train-b"}) == []
    write_metrics(sweep / "stages" / "train-b", 8, value=lambda _: 100.0)
    assert len(replay(sweep, {"b": sweep / "stages" / "train-b"})) > 0


def test_without_a_rule_there_is_nothing_to_make_again(tmp_path):
    with pytest.raises(UserError, match="holds no sweep"):
        replay(tmp_path)
    storage.write_json(tmp_path / "sweep.json", {"points": [], "stopping": None})
    with pytest.raises(UserError, match="stops no run early"):
        replay(tmp_path)
