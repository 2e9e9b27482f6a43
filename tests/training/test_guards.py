"""Skipped updates are counted and end a run, spikes are named, a step that never ends is given up with its stacks."""

import subprocess
import sys
import time

import numpy as np
import pytest

from octomed_jax.errors import StopAndLook
from octomed_jax.training.guards import LossGuard, Watchdog, slowest


def test_skips_are_counted_and_too_many_in_a_row_end_the_run(capfd):
    guard = LossGuard(most_skipped=2, deviations=0)
    for step, in_row in enumerate((0, 1, 2, 0, 1), 1):
        guard.look(step, float("nan") if in_row else 1.0, in_row)
    assert not guard.quiet()
    assert guard.quiet()  # asked again, nothing more has happened
    assert "step 2 is skipped" in capfd.readouterr().err
    with pytest.raises(StopAndLook, match="3 updates in a row were not finite, up to step 9"):
        guard.look(9, float("inf"), 3)


def test_only_a_loss_that_stands_out_is_a_spike():
    rng = np.random.default_rng(0)
    guard = LossGuard(most_skipped=5, deviations=8.0)
    usual = [guard.look(step, 2 - step / 1000 + 0.05 * rng.normal(), 0) for step in range(300)]
    assert not any(usual)
    assert guard.quiet()
    assert guard.look(301, 3.5, 0)
    assert not guard.look(302, 1.7, 0)
    assert not guard.quiet()
    flat = LossGuard(5, 8.0)
    assert not any(flat.look(step, 1.0, 0) for step in range(50))
    assert not flat.look(51, 1.0005, 0)  # rounding around a constant is none


def test_what_stands_out_does_not_depend_on_where_a_run_was_cut_off():
    """The lines of the steps before stand for the steps; those that were skipped are in neither."""
    losses = [2.0 + 0.01 * (step % 7) for step in range(40)]
    entries, skipped, whole = [], 0, LossGuard(5, 8.0)
    for step, loss in enumerate(losses):
        bad = step in (3, 25)
        skipped += bad
        whole.look(step, 1e9 if bad else loss, int(bad))
        entries.append({"step": step, "loss": 1e9 if bad else loss, "skipped": skipped})
    cut_off, new = LossGuard(5, 8.0), LossGuard(5, 8.0)
    cut_off.remember(entries)
    assert [guard.look(41, 3.5, 0) for guard in (whole, cut_off, new)] == [True, True, False]
    assert whole._losses == cut_off._losses


def test_losses_of_small_batches_may_lean_to_the_right():
    rng = np.random.default_rng(0)
    guard = LossGuard(most_skipped=5, deviations=8.0)
    losses = 0.12 * np.exp(0.4 * rng.normal(size=1000))
    assert losses.max() > 3 * 0.12
    assert not any(guard.look(step, loss, 0) for step, loss in enumerate(losses))
    assert guard.look(1001, 0.12 * np.exp(0.4 * 12), 0)


def test_few_losses_say_nothing():
    guard = LossGuard(5, 3.0)
    assert not any(guard.look(step, loss, 0) for step, loss in enumerate((1, 1, 1, 100)))


HANG = """
import threading, time
from pathlib import Path
from octomed_jax.training.guards import Watchdog

def stuck_in_a_collective():
    time.sleep(60)

with Watchdog(Path({folder!r}), 3, 0.5, {first}) as watchdog:
    for _ in range(3):
        time.sleep(0.2)
        watchdog.step_ended()
    stuck_in_a_collective()
"""


@pytest.mark.parametrize("first", [0.9, 30])
def test_a_step_that_never_ends_exits_with_42_and_leaves_the_stacks(tmp_path, first):
    """A real process that really hangs."""
    start = time.monotonic()
    command = [sys.executable, "-c", HANG.format(folder=str(tmp_path), first=first)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert time.monotonic() - start < 40
    assert ended.returncode == 42
    assert "no step ended in 0 s" in ended.stderr or "no step ended in 1 s" in ended.stderr
    assert "stuck_in_a_collective" in (tmp_path / "stacks-3.txt").read_text()
    assert "stuck_in_a_collective" in ended.stderr


def test_a_run_that_steps_in_time_is_left_alone(tmp_path):
    with Watchdog(tmp_path, 0, 0.3, 0.3) as watchdog:
        for _ in range(6):
            time.sleep(0.1)
            watchdog.step_ended()
    time.sleep(0.5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        ({"a": 0.1, "b": 0.1, "c": 2.0}, "c"),
        ({"a": 0.1, "b": 0.11, "c": 0.12}, None),
        ({"a": 0.001, "b": 0.001, "c": 0.01}, None),
        ({"a": 5.0}, None),
        ({"a": 0.1, "b": 0.5}, "b"),
    ],
)
def test_the_host_that_keeps_the_others_waiting_is_named(seconds, name):
    assert slowest(seconds) == name
