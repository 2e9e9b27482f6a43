"""Rotary positions: three axes for text (M-RoPE), rows and columns for the vision tower.

Angles, cosines and sines are float32. Source: transformers 4.57.1, modeling_qwen2_5_vl.

Legend: B batch, L tokens, H heads, D values of a head, F = D // 2 frequencies.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def rotary_frequencies(size: int, theta: float) -> Float[np.ndarray, "F"]:
    """Return ``1 / theta ** (i / size)`` for even ``i`` below ``size``, each step rounded to float32 once.

    On the host, because the last bit counts: XLA's float32 power is one unit off in a third of the places, and at
    position 500 that turns a head by 3e-5 radians, which is most of what separates us from the reference.
    """
    exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    powers = (np.float64(theta) ** exponents.astype(np.float64)).astype(np.float32)
    return np.float32(1) / powers


def mrope_angles(
    position_ids_B3L: Int[Array, "B 3 L"], head_dim: int, theta: float, section: tuple[int, int, int]
) -> Float[Array, "B L F"]:
    """Return angles: contiguous blocks of frequencies take their position from the time, row and column axis."""
    axis_F = np.repeat(np.arange(3), section)
    positions_BFL = position_ids_B3L.astype(jnp.float32)[:, axis_F]
    return positions_BFL.swapaxes(1, 2) * rotary_frequencies(head_dim, theta)


def vision_angles(positions: Int[Array, "... 2"], head_dim: int, theta: float = 10000.0) -> Float[Array, "... F"]:
    """Return angles of patches: a quarter of the head's values for the row, a quarter for the column."""
    half = head_dim // 2
    angles = positions.astype(jnp.float32)[..., None] * rotary_frequencies(half, theta)
    return angles.reshape(*positions.shape[:-1], half)


def rotate(
    x: Float[Array, "... H D"], cos: Float[Array, "... D"], sin: Float[Array, "... D"]
) -> Float[Array, "... H D"]:
    """Rotate half against half: the pair of value i is value i + D // 2."""
    first, second = jnp.split(x, 2, axis=-1)
    turned = jnp.concatenate([-second, first], axis=-1)
    return x * cos[..., None, :] + turned * sin[..., None, :]


def cos_sin(angles: Float[Array, "... F"]) -> tuple[Float[Array, "... D"], Float[Array, "... D"]]:
    """Return cosine and sine for all D values; the halves share their angles."""
    both = jnp.concatenate([angles, angles], axis=-1)
    return jnp.cos(both), jnp.sin(both)
