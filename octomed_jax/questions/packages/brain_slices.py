"""Slices of a brain volume as 8-bit images: where they are cut, how they are varied, and what lies under a pixel.

Shapes: S side of the image in pixels. Points are millimetres in MNI space, RAS. Images follow the radiological
convention: the patient's left is on the right of axial and coronal images; sagittal ones look to the left.
"""

import dataclasses
import functools

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from octomed_jax.images.volumes import Volume

PLANES = ("axial", "coronal", "sagittal")
# plane -> direction of image columns, of image rows, and of the axis it is cut along
AXES = {
    "axial": np.array([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], np.float64),
    "coronal": np.array([[-1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float64),
    "sagittal": np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], np.float64),
}
# Cuts (mm along that axis) that show enough brain to be told apart.
RANGES = {"axial": (-30.0, 62.0), "coronal": (-82.0, 50.0), "sagittal": (-56.0, 56.0)}
CENTER = np.array([0.0, -18.0, 10.0])
FIELD_OF_VIEW = 205.0  # mm
MARGIN, FARTHEST = 8, 2.5  # pixels that a ring's middle keeps from the rim; mm from it to what it marks


@dataclasses.dataclass(frozen=True)
class Slice:
    """A rendered slice.

    Attributes:
        gray: (S, S) uint8.
        points: (S, S, 3) MNI millimetres under each pixel.
    """

    gray: np.ndarray
    points: np.ndarray


def cut(
    volume: Volume, plane: str, at: np.ndarray, side: int, rng: np.random.Generator, strength: float = 1.0
) -> Slice:
    """Cut and vary a slice through the point ``at`` (3,).

    Args:
        volume: intensities, 0 to 255.
        plane: one of PLANES.
        at: a point (mm) the plane passes through.
        side: pixels of a side.
        rng: what the variation is drawn from.
        strength: 1 for training; 0 draws nothing and cuts straight.
    """
    axes = _tilted(AXES[plane], rng, strength)
    points = _grid(axes, at, side, rng, strength)
    if strength > 0:
        points = points + _elastic(side, rng, strength)
    coordinates = volume.voxels(points)
    values = map_coordinates(volume.array, np.moveaxis(coordinates, -1, 0), output=np.float32, order=1, mode="constant")
    return Slice(_intensities(values, rng, strength), points)


def _tilted(axes: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    if strength == 0:
        return axes
    yaw, pitch, roll = np.deg2rad(rng.normal(0.0, 6.0, 3)) * strength
    turn_z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    turn_y = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    return axes @ (turn_z @ turn_y @ turn_x).T


def _grid(axes: np.ndarray, at: np.ndarray, side: int, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Return (S, S, 3) points of a plane through ``at``, with the middle of the brain near the image's middle."""
    millimetres = FIELD_OF_VIEW / side
    scale, shift, shear = np.ones(2), np.zeros(2), 0.0
    if strength > 0:
        scale = 1.0 + rng.uniform(-0.13, 0.13) * strength + rng.uniform(-0.06, 0.06, 2) * strength
        shift = rng.uniform(-9.0, 9.0, 2) * strength
        shear = rng.uniform(-0.06, 0.06) * strength
    # The middle of the brain, moved along the normal onto the plane through ``at``.
    normal = axes[2]
    origin = CENTER + normal * float((at - CENTER) @ normal)
    offsets = (np.arange(side) - (side - 1) / 2) * millimetres
    across = offsets[None, :] * scale[0] + offsets[:, None] * shear + shift[0]
    down = offsets[:, None] * scale[1] + shift[1] + 0.0 * offsets[None, :]
    return origin + across[..., None] * axes[0] + down[..., None] * axes[1]


def _elastic(side: int, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Return smooth displacements (S, S, 3) in mm."""
    coarse = rng.normal(0.0, 2.6 * strength, (7, 7, 3))
    return _enlarge(coarse, side)


def _enlarge(coarse: np.ndarray, side: int) -> np.ndarray:
    """Return (S, S, ...) smoothly interpolated values of a coarse (N, N, ...) grid."""
    weights = _spline_weights(side, coarse.shape[0])
    rows = np.tensordot(weights, coarse, axes=(1, 0))
    return np.moveaxis(np.tensordot(weights, rows, axes=(1, 1)), 0, 1)


@functools.cache
def _spline_weights(side: int, knots: int) -> np.ndarray:
    """Return (S, N) weights of quadratic splines: what scipy's zoom does along one axis, worked out once."""
    return zoom(np.eye(knots), (side / knots, 1), order=2, mode="nearest", grid_mode=True)


def _intensities(values: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Return (S, S) uint8 of (S, S) intensities, with gain, gamma, a bias field, blur and noise."""
    bright = np.percentile(values, 99.0)
    values = (values / max(float(bright), 1.0)).clip(0.0, 1.25)
    if strength > 0:
        values = values ** float(np.exp(rng.normal(0.0, 0.25 * strength)))
        field = _enlarge(rng.normal(0.0, 0.14 * strength, (4, 4)), values.shape[0])
        values = values * np.exp(field) * (1.0 + rng.uniform(-0.2, 0.2) * strength)
        if rng.random() < 0.6:
            values = gaussian_filter(values, rng.uniform(0.3, 1.1) * strength)
        values = values + rng.normal(0.0, 1.0, values.shape) * rng.uniform(0.0, 0.05) * strength
    return (values * 215.0).clip(0, 255).round().astype(np.uint8)


def labels_under(atlas: Volume, points: np.ndarray) -> np.ndarray:
    """Return the atlas label under each point (..., 3); 0 outside."""
    index = np.rint(atlas.voxels(points)).astype(np.int64)
    inside = ((index >= 0) & (index < np.array(atlas.array.shape))).all(-1)
    index = np.where(inside[..., None], index, 0)
    return np.where(inside, atlas.array[index[..., 0], index[..., 1], index[..., 2]], 0)


def nearest_pixel(points: np.ndarray, at: np.ndarray) -> tuple[int, int, float]:
    """Return row, column and distance (mm) of the pixel that lies nearest to the point ``at`` (3,)."""
    distances = np.linalg.norm(points - at, axis=-1)
    row, column = np.unravel_index(int(distances.argmin()), distances.shape)
    return int(row), int(column), float(distances[row, column])


def ring_at(shown: Slice, at: np.ndarray) -> tuple[int, int] | None:
    """Return row and column of the pixel to mark for the point ``at`` (3,), None where a ring would not show it."""
    row, column, distance = nearest_pixel(shown.points, at)
    side = len(shown.gray)
    inside = MARGIN <= row < side - MARGIN and MARGIN <= column < side - MARGIN
    return (row, column) if inside and distance < FARTHEST else None


def with_marker(gray: np.ndarray, row: int, column: int) -> Image.Image:
    """Return an RGB image with a red ring around a pixel; what is marked stays visible inside it."""
    image = Image.fromarray(gray).convert("RGB")
    draw = ImageDraw.Draw(image)
    for radius, colour in ((7, (0, 0, 0)), (6, (255, 40, 40)), (5, (255, 40, 40))):
        draw.ellipse((column - radius, row - radius, column + radius, row + radius), outline=colour)
    return image
