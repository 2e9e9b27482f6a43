"""The plan of rows: every example once an epoch, nothing over its room, the same plan for the same seed."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.inputs.plan import ExampleIndex, RowPlan, best_fit
from octomed_jax.inputs.rows import Bucket

BUCKETS = (Bucket("text", 64, 0), Bucket("image", 64, 6))


def index(tokens: list[int], slots: list[int]) -> ExampleIndex:
    n = len(tokens)
    return ExampleIndex(
        record=np.arange(n, dtype=np.int32),
        response=np.zeros(n, np.int32),
        tokens=np.array(tokens, np.int32),
        patches=np.array(slots, np.int32) * 16,
        slots=np.array(slots, np.int32),
        source=np.arange(n, dtype=np.int32) % 2,
        sources=("a", "b"),
        render_key="key",
    )


sizes = st.lists(st.tuples(st.integers(1, 80), st.integers(0, 8)), min_size=1, max_size=200)


@given(sizes, st.integers(1, 20), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_example_that_fits_comes_once_an_epoch(items, examples_per_step, seed):
    tokens, slots = [list(column) for column in zip(*items, strict=True)]
    plan = RowPlan(index(tokens, slots), BUCKETS, examples_per_step, seed)
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
                    assert sum(slots[i] for i in row) <= bucket.slots
                    assert all((slots[i] > 0) == (bucket.slots > 0) for i in row)
                    seen += row
        assert sorted(seen) == sorted(fits)


def test_the_plan_is_a_function_of_index_and_seed():
    rng = np.random.default_rng(0)
    tokens, slots = rng.integers(5, 60, 300).tolist(), rng.integers(0, 3, 300).tolist()
    first, second = [RowPlan(index(tokens, slots), BUCKETS, 8, 3) for _ in range(2)]
    other = RowPlan(index(tokens, slots), BUCKETS, 8, 4)
    late = second.step(70)  # asking out of order changes nothing
    assert [first.step(s) for s in range(71)][70] == late
    assert first.hash == second.hash != other.hash
    assert first.step(0) != other.step(0)
    assert first.step(0).rows != first.step(first.steps_of_epoch(0)).rows  # another epoch, another order


def test_best_fit_fills_rows():
    rng = np.random.default_rng(1)
    tokens = np.minimum(rng.lognormal(6.6, 0.6, 4000).astype(np.int32), 8192)
    rows = best_fit(np.arange(4000), tokens, np.zeros(4000, np.int32), Bucket("text", 8192, 0))
    assert tokens.sum() / (len(rows) * 8192) > 0.97
