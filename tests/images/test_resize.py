"""Sizes of resized images against the rule that older versions of transformers had."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.images.resize import smart_resize

FACTOR, LEAST = 28, 3136


def older_rule(height: int, width: int, most: int) -> tuple[int, int] | None:
    """Return what transformers 4.49 to 4.52 resize to, or None where they refuse."""
    if min(height, width) < FACTOR or max(height, width) > 200 * min(height, width):
        return None
    size = round(height / FACTOR) * FACTOR, round(width / FACTOR) * FACTOR
    if math.prod(size) > most:
        shrink = math.sqrt(height * width / most)
        return tuple(math.floor(side / shrink / FACTOR) * FACTOR for side in (height, width))
    if math.prod(size) < LEAST:
        grow = math.sqrt(LEAST / (height * width))
        return tuple(math.ceil(side * grow / FACTOR) * FACTOR for side in (height, width))
    return size


@given(st.integers(1, 6000), st.integers(1, 6000), st.sampled_from([12544, 262144, 1003520]))
@settings(max_examples=500)
def test_equals_the_older_rule_wherever_that_gives_an_image(height, width, most):
    if max(height, width) > 200 * min(height, width):
        return
    ours, theirs = smart_resize(height, width, FACTOR, LEAST, most), older_rule(height, width, most)
    if theirs and min(theirs):
        assert ours == theirs
    else:  # a side below 28 pixels, or one that the older rule shrinks to nothing
        assert min(ours) >= FACTOR


def test_the_differences_are_real():
    assert older_rule(20, 300, 262144) is None
    assert smart_resize(20, 300, FACTOR, LEAST, 262144) == (28, 308)
    assert older_rule(42, 2000, 12544) == (0, 756)
    assert smart_resize(42, 2000, FACTOR, LEAST, 12544) == (28, 756)
