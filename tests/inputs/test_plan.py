"""The plan of rows: every example once an epoch, nothing over its room, the same plan for the same seed."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.inputs.plan import SUMMED, ExampleIndex, RowPlan
from octomed_jax.inputs.rows import Bucket

BUCKETS = (Bucket("text", 64, 0), Bucket("image", 64, 6))
TOGETHER = (Bucket("mixed", 64, 6),)


def index(tokens: list[int], cells: list[int]) -> ExampleIndex:
    n = len(tokens)
    return ExampleIndex(
        record=np.arange(n, dtype=np.int32),
        response=np.zeros(n, np.int32),
        tokens=np.array(tokens, np.int32),
        patches=np.array(cells, np.int32) * 4,
        cells=np.array(cells, np.int32),
        images=np.array([-(-c // 2) for c in cells], np.int32),
        window_pairs=np.array(cells, np.int64) * 16,
        frame_pairs=np.array(cells, np.int64) ** 2 * 16,
        source=np.arange(n, dtype=np.int32) % 2,
        benchmark=np.arange(n, dtype=np.int32) % 2,
        sources=("a", "b"),
        benchmarks=("a1", "b1"),
        render_key="key",
    )


def random_index(examples: int = 300) -> ExampleIndex:
    rng = np.random.default_rng(0)
    return index(rng.integers(5, 60, examples).tolist(), rng.integers(0, 3, examples).tolist())


def epoch_rows(plan: RowPlan, epoch: int) -> list[tuple[int, ...]]:
    steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
    return [row for step in steps for rows in plan.step(step).rows.values() for row in rows]


sizes = st.lists(st.tuples(st.integers(1, 80), st.integers(0, 8)), min_size=1, max_size=200)


@given(sizes, st.integers(1, 20), st.integers(0, 5), st.sampled_from([BUCKETS, TOGETHER, BUCKETS[:1]]))
@settings(max_examples=100)
def test_every_example_that_fits_comes_once_an_epoch(items, examples_per_step, seed, buckets):
    tokens, cells = [list(column) for column in zip(*items, strict=True)]
    plan = RowPlan(index(tokens, cells), buckets, examples_per_step, seed)
    room = buckets[-1].cells
    fits = {i for i, (t, s) in enumerate(items) if t <= 64 and s <= room}
    assert sum(plan.left_out.values()) == len(items) - len(fits)
    assert plan.examples == len(fits)
    for epoch in range(2):
        seen, used = [], dict.fromkeys(plan.rows_per_step, 0)
        for step in range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch):
            planned = plan.step(step)
            assert (planned.step, planned.epoch) == (step, epoch)
            assert planned.rows.keys() == plan.rows_per_step.keys()
            for bucket in plan.buckets:
                rows = planned.rows[bucket.name]
                assert len(rows) <= plan.rows_per_step[bucket.name]
                for row in rows:
                    assert sum(tokens[i] for i in row) <= bucket.tokens
                    assert sum(cells[i] for i in row) <= bucket.cells
                    assert bucket.name == "mixed" or all((cells[i] > 0) == (bucket.cells > 0) for i in row)
                    used[bucket.name] += sum(tokens[i] for i in row)
                    seen += row
        assert sorted(seen) == sorted(fits)
        slots = {b.name: plan.steps_per_epoch * plan.rows_per_step[b.name] * b.tokens for b in plan.buckets}
        assert plan.fill == pytest.approx({name: used[name] / slots[name] for name in slots})


@given(sizes, st.integers(1, 20), st.integers(0, 5), st.data())
@settings(max_examples=30, deadline=None)
def test_any_step_is_the_same_whatever_was_asked_before(items, examples_per_step, seed, data):
    tokens, cells = [list(column) for column in zip(*items, strict=True)]
    steady, hopping = [RowPlan(index(tokens, cells), BUCKETS, examples_per_step, seed) for _ in range(2)]
    asked = data.draw(st.lists(st.integers(0, 4 * steady.steps_per_epoch), max_size=6))
    expected = [steady.step(step) for step in range(4 * steady.steps_per_epoch + 1)]
    assert [hopping.step(step) for step in asked] == [expected[step] for step in asked]
    copy = pickle.loads(pickle.dumps(hopping.schedule))  # noqa: S301  as worker processes get it
    assert [copy.step(step) for step in asked] == [expected[step] for step in asked]


def test_the_plan_is_a_function_of_index_and_seed():
    first, second = [RowPlan(random_index(), BUCKETS, 8, 3) for _ in range(2)]
    other = RowPlan(random_index(), BUCKETS, 8, 4)
    assert first.hash == second.hash != other.hash
    assert [first.step(s) for s in range(80)] == [second.step(s) for s in range(80)]
    assert first.step(0) != other.step(0)


@pytest.mark.parametrize("column", ["tokens", "cells", "patches", "render_key"])
def test_another_index_has_another_hash(column):
    whole = random_index()
    value = "other" if column == "render_key" else getattr(whole, column) + (np.arange(len(whole)) == 7)
    changed = dataclasses.replace(whole, **{column: value})
    assert RowPlan(whole, BUCKETS, 8, 3).hash != RowPlan(changed, BUCKETS, 8, 3).hash


def test_epochs_differ_in_rows_and_in_their_order():
    plan = RowPlan(random_index(), BUCKETS, 8, 3)
    first, second = epoch_rows(plan, 0), epoch_rows(plan, 1)
    assert sorted(i for row in first for i in row) == sorted(i for row in second for i in row)
    together = [{frozenset(row) for row in rows} for rows in (first, second)]
    assert len(together[0] & together[1]) < len(first) / 2  # examples of a size change places
    assert [len(row) for row in first] != [len(row) for row in second]
    assert len(first) == len(second)


def test_only_two_epochs_are_held():
    plan = RowPlan(random_index(), BUCKETS, 8, 3)
    for epoch in range(5):
        plan.step(epoch * plan.steps_per_epoch)
    assert set(plan.schedule._epochs) == {3, 4}


def test_a_step_is_counted_over_all_its_rows():
    plan = RowPlan(random_index(), BUCKETS, 8, 3)
    numbers = [i for rows in plan.step(5).rows.values() for row in rows for i in row]
    counted = plan.count(5)
    assert counted.pop("examples") == len(numbers)
    assert counted.pop("token_pairs") == sum(int(size) ** 2 for size in plan.index.tokens[numbers]) / 2
    assert counted == {name: sum(getattr(plan.index, name)[numbers]) for name in SUMMED}
    assert counted["images"] != counted["patches"]


def test_steps_hold_about_the_examples_asked_for():
    plan = RowPlan(random_index(4000), BUCKETS, 40, 3)
    counts = np.array([plan.count(step)["examples"] for step in range(plan.steps_per_epoch)])
    assert 40 <= counts.mean() <= 42
    assert counts.std() < 4
