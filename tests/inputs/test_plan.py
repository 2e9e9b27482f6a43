"""The plan of rows: every example once an epoch, nothing over its room, the same plan for the same seed."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.inputs.plan import ExampleIndex, RowPlan, best_fit, fit_evenly
from octomed_jax.inputs.rows import Bucket

BUCKETS = (Bucket("text", 64, 0), Bucket("image", 64, 6))


def index(tokens: list[int], cells: list[int]) -> ExampleIndex:
    n = len(tokens)
    return ExampleIndex(
        record=np.arange(n, dtype=np.int32),
        response=np.zeros(n, np.int32),
        tokens=np.array(tokens, np.int32),
        patches=np.array(cells, np.int32) * 4,
        cells=np.array(cells, np.int32),
        images=np.array([-(-c // 2) for c in cells], np.int32),
        source=np.arange(n, dtype=np.int32) % 2,
        sources=("a", "b"),
        render_key="key",
    )


sizes = st.lists(st.tuples(st.integers(1, 80), st.integers(0, 8)), min_size=1, max_size=200)


@given(sizes, st.integers(1, 20), st.integers(0, 5))
@settings(max_examples=60)
def test_every_example_that_fits_comes_once_an_epoch(items, examples_per_step, seed):
    tokens, cells = [list(column) for column in zip(*items, strict=True)]
    plan = RowPlan(index(tokens, cells), BUCKETS, examples_per_step, seed)
    fits = {i for i, (t, s) in enumerate(items) if t <= 64 and s <= 6}
    assert sum(plan.left_out.values()) == len(items) - len(fits)
    if not fits:
        assert plan.examples == 0
        return
    for epoch in range(2):
        start = sum(plan.steps_of_epoch(e) for e in range(epoch))
        seen = []
        for step in range(start, start + plan.steps_of_epoch(epoch)):
            planned = plan.step(step)
            assert planned.epoch == epoch
            for bucket in plan.buckets:
                rows = planned.rows[bucket.name]
                assert len(rows) <= plan.rows_per_step[bucket.name]
                for row in rows:
                    assert sum(tokens[i] for i in row) <= bucket.tokens
                    assert sum(cells[i] for i in row) <= bucket.cells
                    assert all((cells[i] > 0) == (bucket.cells > 0) for i in row)
                    seen += row
        assert sorted(seen) == sorted(fits)


def test_the_plan_is_a_function_of_index_and_seed():
    rng = np.random.default_rng(0)
    tokens, cells = rng.integers(5, 60, 300).tolist(), rng.integers(0, 3, 300).tolist()
    first, second = [RowPlan(index(tokens, cells), BUCKETS, 8, 3) for _ in range(2)]
    other = RowPlan(index(tokens, cells), BUCKETS, 8, 4)
    late = second.step(70)  # asking out of order changes nothing
    assert [first.step(s) for s in range(71)][70] == late
    assert first.hash == second.hash != other.hash
    assert first.step(0) != other.step(0)
    assert first.step(0).rows != first.step(first.steps_of_epoch(0)).rows  # another epoch, another order


def test_best_fit_fills_rows():
    rng = np.random.default_rng(1)
    tokens = np.minimum(rng.lognormal(6.6, 0.6, 4000).astype(np.int32), 8192)
    rows = best_fit(np.arange(4000), tokens, 8192)
    assert sorted(number for row in rows for number in row) == list(range(4000))
    assert tokens.sum() / (len(rows) * 8192) > 0.97


def test_fit_evenly_fills_both_kinds_of_room():
    rng = np.random.default_rng(1)
    cells = rng.choice([64, 196, 324], 4000, p=[0.2, 0.3, 0.5])
    tokens = cells + np.minimum(rng.lognormal(6.6, 0.6, 4000).astype(np.int32), 7000)
    room = Bucket("image", 8192, int(8192 * cells.sum() / tokens.sum() / 16) * 16)
    rows = fit_evenly(np.arange(4000), tokens, cells, room)
    assert sorted(number for row in rows for number in row) == list(range(4000))
    for row in rows:
        assert tokens[list(row)].sum() <= room.tokens
        assert cells[list(row)].sum() <= room.cells
    assert tokens.sum() / (len(rows) * room.tokens) > 0.93
    assert cells.sum() / (len(rows) * room.cells) > 0.93
