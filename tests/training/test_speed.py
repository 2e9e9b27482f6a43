"""Rates by hand, pauses left out, and goodput of a run that was started twice."""

import json

import pytest

from octomed_jax.training.speed import STARTS, StepClock, goodput, rates, write_start


def test_pauses_are_no_part_of_a_step():
    times = iter([0.0, 2.0, 2.0, 7.0, 8.0, 9.0])  # begin; step; pause from, to; step; step
    clock = StepClock(lambda: next(times))
    assert clock.step_ended() == 2
    with clock.pause("checkpoints"):
        pass
    assert clock.step_ended() == 1
    assert clock.step_ended() == 1
    assert clock.pauses == {"checkpoints": 5}


def test_rates_by_hand():
    held = {"tokens": 1000, "images": 4}
    assert rates(2.0, held, flops=6e12, devices=3, peak=4e12) == {
        "step_seconds": 2.0,
        "tokens_per_second": 500,
        "images_per_second": 2,
        "mfu": 0.25,
    }
    assert rates(2.0, held, 6e12, 3, None)["mfu"] is None


def test_goodput_counts_each_step_once_without_stalls_and_compilation(tmp_path):
    write_start(tmp_path, 1000.0)
    write_start(tmp_path, 1500.0)
    steps = [{"step_seconds": 10.0, "input_stall": 0.0}] * 9
    steps += [{"step_seconds": 300.0, "input_stall": 0.0}, {"step_seconds": 10.0, "input_stall": 0.5}]
    found = goodput(tmp_path, steps, 2000.0)
    assert found["seconds"] == 1000
    assert found["starts"] == 2
    assert found["goodput"] == pytest.approx((9 * 10 + 20 + 5) / 1000)
    assert [json.loads(line)["started"] for line in (tmp_path / STARTS).read_text().splitlines()] == [1000, 1500]
