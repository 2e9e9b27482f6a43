"""Whether two pictures show the same image: they are laid over each other, and compared where both show something.

Between the two may lie another compression, size, brightness or contrast, and a crop: scale and shift along either
axis are found by least squares (Lucas and Kanade 1981), coarse to fine. The score is the correlation of what is left
after broad shades are taken away, over what both show; broad shades are alike in all images of one kind.

Legend: N pairs of pictures, C frequencies, G places on a side of the grid that is compared.
"""

import numpy as np
from jaxtyping import Float64, Int8

from octomed_jax.curation.pictures.image_hashes import FREQUENCIES, FREQUENCY, PICTURE_BYTES, SCALE

# Same image from here on. Slices of one brain that are 3 mm apart stay below it, see docs/curation-images.md.
LEAST_SCORE = 0.989
_STARTS = (0.0, 0.07, -0.07)  # zooms that the search begins with: the best after the coarsest steps is followed
# (frequencies, grid, steps) of the search; before the last, the hopeless are given up.
_COARSEST = (6, 10, 2)
_COARSE = (12, 18, 3)
_FINE = (24, 32, 4)
_HOPE = 0.8  # of the plain correlation after the coarse steps
_GRID = 36
_BROAD = 0.05  # of the image's side: shades broader than this are taken away
_RIM = 0.03  # of the image's side: what is next to a border depends on what was cut off there
_SOFT = 0.5  # share of the highest frequency at which the Gaussian has its standard deviation
_FURTHEST = 0.13  # most that scale and shift may differ
_TOGETHER = 256  # pairs at a time: about 60 MB


def same_image(left: Int8[np.ndarray, "N Q"], right: Int8[np.ndarray, "N Q"]) -> Float64[np.ndarray, "N"]:
    """Return a score for each pair of pictures: 1 for the same, from LEAST_SCORE on the same image.

    Each score depends on its own pair only. The same pair the other way round has nearly the same score. A picture of
    one shade matches nothing.

    Args:
        left, right: pictures as rows of PICTURE_BYTES bytes.

    Raises:
        ValueError: other shapes.
    """
    if left.shape != right.shape or left.shape[1:] != (PICTURE_BYTES,):
        raise ValueError(f"pictures of shapes {left.shape} and {right.shape}; both take (N, {PICTURE_BYTES})")
    scores = np.zeros(len(left))
    for start in range(0, len(left), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        scores[part] = _scores(_frequencies(left[part]), _frequencies(right[part]))
    return scores


def _frequencies(pictures: np.ndarray) -> np.ndarray:
    """Return the transforms (N, C, C) of pictures, all of the same contrast."""
    values = pictures.reshape(-1, FREQUENCIES, FREQUENCIES) / np.maximum(FREQUENCY, 1.0)
    return values / np.maximum(np.sqrt(_sum(values**2))[:, None, None], 1e-9)


def _scores(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    scores = np.zeros(len(left))
    warp, best = np.zeros((len(left), 4)), np.full(len(left), -1.0)
    for zoom in _STARTS:
        found = _fit(left, right, np.tile([zoom, 0.0, zoom, 0.0], (len(left), 1)), *_COARSEST)
        rough = _rough(left, right, found, _COARSEST)
        better = rough > best
        warp[better], best[better] = found[better], rough[better]
    warp = _fit(left, right, warp, *_COARSE)
    hopeful = np.flatnonzero(_rough(left, right, warp, _COARSE) > _HOPE)
    if not len(hopeful):
        return scores
    left, right = left[hopeful], right[hopeful]
    warp = _fit(left, right, warp[hopeful], *_FINE)
    mine, theirs, seen = _laid_over(left, right, warp, FREQUENCIES, _GRID)
    weight = _BLUR @ seen @ _BLUR + 1e-9
    mine, theirs = (shades - (_BLUR @ (shades * seen) @ _BLUR) / weight for shades in (mine, theirs))
    scores[hopeful] = _correlation(mine, theirs, seen)
    return scores


def _fit(left: np.ndarray, right: np.ndarray, warp: np.ndarray, frequencies: int, grid: int, steps: int) -> np.ndarray:
    """Return the warps (N, 4) after some steps: scale less 1 and shift across, the same downwards."""
    at = (np.arange(grid) + 0.5) / grid
    count = len(left)
    still = np.ones(count)
    basis = _basis(at[None], frequencies)[0]
    mine = basis @ _softened(left, frequencies, still, still) @ basis.transpose(0, 2, 1)
    ridge = 1e-6 * np.eye(6)
    for _ in range(steps):
        soft = _softened(right, frequencies, 1 + warp[:, 2], 1 + warp[:, 0])
        across, down = _places(at, warp)
        seen = (_inside(down)[:, :, None] & _inside(across)[:, None, :]).astype(np.float64)
        (wave_x, slope_x), (wave_y, slope_y) = _basis(across, frequencies), _basis(down, frequencies)
        rows = soft @ wave_x.transpose(0, 2, 1)
        theirs = wave_y @ rows
        by_x = wave_y @ (soft @ slope_x.transpose(0, 2, 1))
        by_y = slope_y @ rows
        # What the values change by: scale and shift of each axis, contrast, brightness.
        changes = np.stack((by_x * (at - 0.5), by_x, by_y * (at - 0.5)[:, None], by_y, theirs, np.ones_like(theirs)), 1)
        changes = (changes * seen[:, None]).reshape(count, 6, -1)
        normal = changes @ changes.transpose(0, 2, 1)
        normal += ridge * np.trace(normal, axis1=1, axis2=2)[:, None, None]
        found = np.linalg.solve(normal, changes @ (mine * seen).reshape(count, -1, 1))[..., 0]
        contrast = np.where(np.abs(found[:, 4:5]) < 0.2, 0.2, found[:, 4:5])
        step = np.clip(found[:, :4] / contrast, -0.05, 0.05)
        warp = np.clip(warp + step, -_FURTHEST, _FURTHEST)
    return warp


def _rough(left: np.ndarray, right: np.ndarray, warp: np.ndarray, search: tuple[int, int, int]) -> np.ndarray:
    frequencies, grid, _ = search
    return _correlation(*_laid_over(left, right, warp, frequencies, grid))


def _laid_over(
    left: np.ndarray, right: np.ndarray, warp: np.ndarray, frequencies: int, grid: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both images on one grid (N, G, G), and 1 where both can be compared."""
    at = (np.arange(grid) + 0.5) / grid
    across, down = _places(at, warp)
    # Both as soft as the coarser one.
    scale_x, scale_y = 1 + warp[:, 0], 1 + warp[:, 2]
    basis = _basis(at[None], frequencies)[0]
    soft = _softened(left, frequencies, np.maximum(1, 1 / scale_y), np.maximum(1, 1 / scale_x))
    mine = basis @ soft @ basis.transpose(0, 2, 1)
    soft = _softened(right, frequencies, np.maximum(1, scale_y), np.maximum(1, scale_x))
    theirs = _basis(down, frequencies)[0] @ soft @ _basis(across, frequencies)[0].transpose(0, 2, 1)
    columns, rows = (_inside(places, _RIM) & _inside(at, _RIM) for places in (across, down))
    return mine, theirs, (rows[:, :, None] & columns[:, None, :]).astype(np.float64)


def _places(at: np.ndarray, warp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the grid's columns and rows lie in the right image, (N, G) each."""
    across, down = (0.5 + (at - 0.5) * (1 + warp[:, i : i + 1]) + warp[:, i + 1 : i + 2] for i in (0, 2))
    return across, down


def _inside(places: np.ndarray, rim: float = 0.0) -> np.ndarray:
    return (places > rim) & (places < 1 - rim)


def _basis(places: np.ndarray, frequencies: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines (N, G, frequencies) at places (N, G), and their slopes."""
    turns = np.pi * np.arange(frequencies)
    angle = places[..., None] * turns
    return np.cos(angle) * SCALE[:frequencies], np.sin(angle) * (-turns * SCALE[:frequencies])


def _softened(values: np.ndarray, frequencies: int, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return the lowest frequencies, the higher ones weaker: by what they will be once the image is scaled."""
    width = _SOFT * frequencies
    rows, columns = (np.exp(-0.5 * (np.arange(frequencies) * by[:, None] / width) ** 2) for by in (down, across))
    return values[:, :frequencies, :frequencies] * rows[:, :, None] * columns[:, None, :]


def _sum(values: np.ndarray) -> np.ndarray:
    """Return sums (N,) of (N, ...): each is added up in the same order, whatever N is."""
    return np.ascontiguousarray(values).reshape(len(values), -1).sum(-1)


def _correlation(left: np.ndarray, right: np.ndarray, seen: np.ndarray) -> np.ndarray:
    count = np.maximum(_sum(seen), 1.0)
    left, right = ((shades - (_sum(shades * seen) / count)[:, None, None]) * seen for shades in (left, right))
    return _sum(left * right) / np.sqrt(_sum(left**2) * _sum(right**2) + 1e-18)


_STEPS = np.arange(_GRID)
_BLUR = np.exp(-0.5 * ((_STEPS[:, None] - _STEPS) / (_BROAD * _GRID)) ** 2)
