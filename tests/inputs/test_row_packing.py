"""Rows of whole examples: nothing over its room, and little room unused."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.packing import image_bucket, pack
from octomed_jax.inputs.rows import Bucket


def lengths(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.minimum(rng.lognormal(6.6, 0.6, count).astype(np.int32), 7000)


@given(st.integers(1, 20000), st.integers(0, 40), st.integers(1, 120), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_every_example_sits_once_and_no_row_is_overfull(length, room, count, seed):
    rng = np.random.default_rng(seed)
    tokens = np.maximum(1, (length * rng.random(count) ** 2).astype(np.int32))
    tokens[:2] = length  # one example may fill a row
    cells = rng.integers(1, room + 1, count) if room else np.zeros(count, int)
    numbers = 3 * np.arange(count) + 1
    packing = pack(numbers, tokens, cells, Bucket("any", length, room))
    rows = packing.rows()
    assert len(rows) == len(packing)
    assert sorted(i for row in rows for i in row) == numbers.tolist()
    for row in rows:
        members = (np.array(row) - 1) // 3
        assert tokens[members].sum() <= length
        assert cells[members].sum() <= room


def test_shuffled_examples_take_the_seats_of_equals():
    rng = np.random.default_rng(0)
    tokens = lengths(rng, 3000) // 16 * 16
    packing = pack(np.arange(3000), tokens, np.zeros(3000, int), Bucket("text", 8192, 0))
    shuffled = packing.shuffled(np.random.default_rng(1))
    assert sorted(shuffled) == list(range(3000))
    assert (shuffled != packing.examples).mean() > 0.9
    assert (tokens[shuffled] == tokens[packing.examples]).all()


def test_text_rows_are_full_and_hold_like_numbers_of_examples():
    tokens = lengths(np.random.default_rng(1), 20000)
    rows = pack(np.arange(20000), tokens, np.zeros(20000, int), Bucket("text", 8192, 0)).rows()
    counts = np.array([len(row) for row in rows])
    assert tokens.sum() / (len(rows) * 8192) > 0.98
    assert counts.std() < 0.25 * counts.mean()


def test_image_rows_are_full_in_both_kinds_of_room():
    rng = np.random.default_rng(1)
    cells = rng.choice([64, 208, 336], 20000, p=[0.2, 0.3, 0.5])
    tokens = cells + lengths(rng, 20000)
    room = image_bucket(tokens, cells, 8192, PatchSpec())
    rows = pack(np.arange(20000), tokens, cells, room).rows()
    assert tokens.sum() / (len(rows) * room.tokens) > 0.97
    assert cells.sum() / (len(rows) * room.cells) > 0.93


def test_rows_of_both_are_as_full_where_only_some_have_images():
    rng = np.random.default_rng(1)
    cells = rng.choice([0, 64, 208, 336], 20000, p=[0.55, 0.1, 0.15, 0.2])
    tokens = cells + lengths(rng, 20000)
    room = image_bucket(tokens, cells, 8192, PatchSpec(), "mixed")
    rows = pack(np.arange(20000), tokens, cells, room).rows()
    assert tokens.sum() / (len(rows) * room.tokens) > 0.97
    assert cells.sum() / (len(rows) * room.cells) > 0.74


def test_an_image_bucket_holds_what_its_examples_bring():
    mixed = image_bucket(np.array([100, 300]), np.array([16, 48]), 8192, PatchSpec())
    assert mixed.cells % 32 == 0  # whole windows of 16 cells, and 128 patches
    assert 1.03 * 8192 * 0.16 <= mixed.cells < 1.03 * 8192 * 0.16 + 32
    lone = image_bucket(np.array([100, 8000]), np.array([1000, 16]), 200, PatchSpec())
    assert lone.cells >= 1000
