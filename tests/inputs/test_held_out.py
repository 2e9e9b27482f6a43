"""Held-out records are never trained on, and all of a record's responses go together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.errors import UserError
from tests.inputs.holding import hold_out
from tests.inputs.test_plan import random_index


@given(st.integers(0, 99), st.integers(0, 3))
def test_records_fall_whole_on_one_side(records, seed):
    index = random_index()
    index.record[:] = np.arange(300) // 3
    learned, held = hold_out(index, records, seed)
    assert set(learned.record) | set(held.record) == set(range(100))
    assert not set(learned.record) & set(held.record)
    assert len(set(held.record)) == records
    assert len(learned) + len(held) == 300
    again = hold_out(index, records, seed)[1]
    np.testing.assert_array_equal(again.record, held.record)
    for name in ("tokens", "cells", "frame_pairs"):  # columns stay together
        np.testing.assert_array_equal(getattr(held, name), getattr(index, name)[np.isin(index.record, held.record)])


def test_another_seed_holds_out_others():
    index = random_index()
    assert set(hold_out(index, 30, 0)[1].record) != set(hold_out(index, 30, 1)[1].record)


@pytest.mark.parametrize("records", [-1, 300, 1000])
def test_nothing_left_to_train_on_is_refused(records):
    with pytest.raises(UserError, match=f"held_out.records={records} must be from 0 to less than the 300 records"):
        hold_out(random_index(), records, 0)
