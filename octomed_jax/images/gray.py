"""Measured values, which have no white of their own, to 8-bit gray."""

import numpy as np
from jaxtyping import Num, UInt8


def stretch(
    values: Num[np.ndarray, "..."], low: float = 0.5, high: float = 99.5, sample: Num[np.ndarray, "..."] | None = None
) -> UInt8[np.ndarray, "..."]:
    """Return values as gray: black is their ``low`` percentile, white the ``high`` one, what is no number is black.

    Args:
        values: of any number type.
        low, high: percentiles.
        sample: what the percentiles are taken of (default: all values).

    Raises:
        ValueError: no value is a finite number.
    """
    sample = values if sample is None else sample
    if sample.dtype.kind == "f":
        sample = sample[np.isfinite(sample)]
    if not sample.size:
        raise ValueError("it holds no number")
    bottom, top = np.percentile(sample, (low, high))
    return scale(values, float(bottom), float(top))


def scale(values: Num[np.ndarray, "..."], bottom: float, top: float) -> UInt8[np.ndarray, "..."]:
    """Return values as gray: ``bottom`` and what is below it is black, ``top`` and what is above it is white."""
    numbers = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    shades = (numbers - bottom) * (255.0 / max(top - bottom, 1e-6))
    return np.nan_to_num(shades, copy=False).clip(0, 255).round().astype(np.uint8)
