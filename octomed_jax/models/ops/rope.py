"""Rotary positions: three axes for text (M-RoPE), rows and columns for the vision tower.

Angles, cosines and sines are float32. Source: transformers 4.57.1, modeling_qwen2_5_vl.

Legend: B batch, L tokens, H heads, D values of a head, F = D // 2 frequencies.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def mrope_angles(
    position_ids_B3L: Int[Array, "B 3 L"], head_dim: int, theta: float, section: tuple[int, int, int]
) -> Float[Array, "B L F"]:
    """Return angles: contiguous blocks of frequencies take their position from the time, row and column axis."""
    frequencies_F = 1.0 / theta ** (jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    axis_F = np.repeat(np.arange(3), section)
    positions_BFL = position_ids_B3L.astype(jnp.float32)[:, axis_F]
    return positions_BFL.swapaxes(1, 2) * frequencies_F


def vision_angles(positions: Int[Array, "... 2"], head_dim: int, theta: float = 10000.0) -> Float[Array, "... F"]:
    """Return angles of patches: a quarter of the head's values for the row, a quarter for the column."""
    half = head_dim // 2
    frequencies = 1.0 / theta ** (jnp.arange(0, half, 2, dtype=jnp.float32) / half)
    angles = positions.astype(jnp.float32)[..., None] * frequencies
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
