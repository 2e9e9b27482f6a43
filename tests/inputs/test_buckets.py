"""Prompts that are computed together have one shape, and none is forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.errors import UserError
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.buckets import LENGTHS, prompt_batches, prompt_bucket

SPEC = PatchSpec(max_pixels=262144)
sizes = st.lists(st.tuples(st.integers(1, 3000), st.sampled_from((0, 1, 16, 17, 300))), max_size=60)


@given(sizes, st.integers(1, 9), st.sampled_from((1, 64, 128)))
def test_every_prompt_is_in_one_batch_of_its_bucket(sizes, most, unit):
    batches = list(prompt_batches(sizes, most, SPEC, unit))
    assert sorted(number for _, numbers in batches for number in numbers) == list(range(len(sizes)))
    for bucket, numbers in batches:
        assert 1 <= len(numbers) <= most
        assert all(prompt_bucket(*sizes[number], SPEC, unit) == bucket for number in numbers)
        assert bucket.tokens % unit == 0
        assert all(sizes[number][0] <= bucket.tokens and sizes[number][1] <= bucket.cells for number in numbers)
        assert all((sizes[number][1] == 0) == (bucket.cells == 0) for number in numbers)  # text pays for no images
    short = [bucket for bucket, numbers in batches if len(numbers) < most]
    assert len(short) == len(set(short))  # one batch of a bucket is not full
    order = [(bucket.cells, bucket.tokens) for bucket, _ in batches]
    assert order == sorted(order)


def test_a_prompt_longer_than_all_is_refused():
    with pytest.raises(UserError, match=f"a prompt of {LENGTHS[-1] + 1} tokens is longer"):
        list(prompt_batches([(3, 0), (LENGTHS[-1] + 1, 0)], 4, SPEC))
