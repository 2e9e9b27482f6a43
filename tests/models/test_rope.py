"""Rotary frequencies: the last bit counts, because a long position multiplies it."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from octomed_jax.models.ops.rope import rotary_frequencies

# text of the published sizes and of the golden student, vision tower of the published sizes and of the demo
SHAPES = [(128, 1e6), (16, 1e6), (40, 1e4), (8, 1e4)]


@pytest.mark.parametrize(("size", "theta"), SHAPES)
def test_each_step_is_rounded_once(size: int, theta: float) -> None:
    """By brute force in decimals: no float32 neighbour of the power, or of its inverse, is nearer."""
    exponents = (np.arange(0, size, 2) / size).astype(np.float32)
    with localcontext(prec=60):
        for exponent, frequency in zip(exponents, rotary_frequencies(size, theta), strict=True):
            power = nearest(Decimal(theta) ** Decimal(float(exponent)))
            assert frequency == nearest(1 / Decimal(float(power)))


@pytest.mark.parametrize(("size", "theta"), SHAPES)
def test_equal_to_the_reference(size: int, theta: float) -> None:
    """torch's own power is not always rounded right: one place of 64 at the published text size, by one unit."""
    torch = pytest.importorskip("torch")
    ours = rotary_frequencies(size, theta)
    theirs = (1.0 / theta ** (torch.arange(0, size, 2, dtype=torch.int64).float() / size)).numpy()
    assert np.abs(ours.view(np.int32) - theirs.view(np.int32)).max() <= 1
    assert np.count_nonzero(ours != theirs) <= 1


def nearest(value: Decimal) -> np.float32:
    """Return the float32 nearest to a decimal."""
    guess = np.float32(float(value))
    around = (np.nextafter(guess, np.float32(0)), guess, np.nextafter(guess, np.float32(np.inf)))
    return min(around, key=lambda candidate: abs(Decimal(float(candidate)) - value))
