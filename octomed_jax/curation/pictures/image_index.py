"""Which of many images may be the same, and which are: all pairs of two sets of pictures, or of one.

Each picture gives six *views* of 64 whole numbers (the lowest frequencies, leveled): of the whole image, of it without
3.5 % at each border, and without 2.5 % at two borders that meet in a corner. Two images may be the same where one of
seven pairs of their views is alike: between them lies every crop of up to 5 % but for a rest that the views bear. Being
alike is a product of two matrices, which takes as long as counting the bits that two hashes differ in, and tells
medical images apart far better. Sums of products of such numbers are exact in 32-bit floats, so that it is the same on
every machine and however the work is divided. What may be the same is then compared by ``image_match``.

Memory: 960 bytes for each picture of the index (576 of them the picture), and about 60 MB besides. Both may be files
that are mapped: they are read a block at a time, in the order in which they lie.

Legend: N, M pictures, Q bytes of a picture, V views, E numbers of a view.
"""

import dataclasses

import numpy as np
from jaxtyping import Float64, Int8, Int64

from octomed_jax.curation.pictures.image_hashes import FREQUENCIES, FREQUENCY, PICTURE_BYTES, SIDE, cosines
from octomed_jax.curation.pictures.image_match import LEAST_SCORE, same_image

NUMBERS = 64
LEAST_ALIKE = 0.885  # cosine of two views from which two images are compared
_LENGTH = 256.0  # of a view, so that its numbers fit in 8 bits
# Shares of the image that each view leaves out: left, top, right, bottom.
_CROPS = {
    "whole": (0.0, 0.0, 0.0, 0.0),
    "inner": (0.035, 0.035, 0.035, 0.035),
    "left top": (0.025, 0.025, 0.0, 0.0),
    "right bottom": (0.0, 0.0, 0.025, 0.025),
    "left bottom": (0.025, 0.0, 0.0, 0.025),
    "right top": (0.0, 0.025, 0.025, 0.0),
}
VIEWS = len(_CROPS)
_COMPARED = (
    ("whole", "whole"),
    ("whole", "inner"),
    ("inner", "whole"),
    ("left top", "right bottom"),
    ("right bottom", "left top"),
    ("left bottom", "right top"),
    ("right top", "left bottom"),
)
_ROWS, _COLUMNS = 1024, 4096  # of a block, so that it stays in the processor's cache
_TOGETHER = 2048  # pictures whose views are made at a time


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of images that are the same, in order of ``left``, then ``right``.

    Attributes:
        left, right: places of the two.
        score: of ``same_image``.
        compared: how many pairs looked alike and were compared.
    """

    left: Int64[np.ndarray, "N"]
    right: Int64[np.ndarray, "N"]
    score: Float64[np.ndarray, "N"]
    compared: int


class ImageIndex:
    """Pictures that others are looked up in.

    Args:
        pictures: what each image shows.
        views: of the pictures, by ``stacked_views``; left out: they are made.
    """

    def __init__(self, pictures: Int8[np.ndarray, "M Q"], views: Int8[np.ndarray, "M V E"] | None = None):
        if pictures.ndim != 2 or pictures.shape[1] != PICTURE_BYTES or pictures.dtype != np.int8:
            raise ValueError(
                f"pictures of shape {pictures.shape} and type {pictures.dtype}; they take (N, {PICTURE_BYTES}) of int8"
            )
        self.pictures = pictures
        self._views = _by_name(stacked_views(pictures) if views is None else views)

    def pairs_with(self, pictures: Int8[np.ndarray, "N Q"]) -> Pairs:
        """Return the pairs of other pictures (left) and those of the index (right).

        What is found for a picture does not depend on the others: work can be divided by calling this for parts.
        """
        return _pairs(pictures, self.pictures, views_of(pictures), self._views, first=None)

    def pairs_within(self, start: int = 0, stop: int | None = None) -> Pairs:
        """Return the pairs of two pictures of the index, the earlier one on the left.

        Args:
            start, stop: left ones of this range only, so that work can be divided.
        """
        rows = slice(start, len(self.pictures) if stop is None else stop)
        views = {name: view[rows] for name, view in self._views.items()}
        return _pairs(self.pictures[rows], self.pictures, views, self._views, first=start)


def views_of(pictures: Int8[np.ndarray, "N Q"]) -> dict[str, Int8[np.ndarray, "N E"]]:
    """Return the views of pictures by name; all zero for a picture of one shade."""
    return _by_name(stacked_views(pictures))


def stacked_views(pictures: Int8[np.ndarray, "N Q"]) -> Int8[np.ndarray, "N V E"]:
    """Return the views of pictures as one array, to be kept."""
    views = np.empty((len(pictures), VIEWS, NUMBERS), np.int8)
    for start in range(0, len(pictures), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        values = pictures[part].reshape(-1, FREQUENCIES, FREQUENCIES) / np.maximum(FREQUENCY, 1.0)
        for number, crop in enumerate(_CROPS.values()):
            views[part, number] = _view(values, crop)
    return views


def _by_name(views: Int8[np.ndarray, "N V E"]) -> dict[str, Int8[np.ndarray, "N E"]]:
    return {name: views[:, number] for number, name in enumerate(_CROPS)}


def _view(values: np.ndarray, crop: tuple[float, float, float, float]) -> np.ndarray:
    left, top, right, bottom = crop
    seen = _cropping(top, bottom) @ values @ _cropping(left, right).T
    lowest = seen.reshape(len(seen), -1)[:, _LOWEST] * np.sqrt(FREQUENCY.ravel()[_LOWEST])
    lowest /= np.maximum(np.sqrt((lowest**2).sum(-1, keepdims=True)), 1e-9)
    level = lowest / np.sqrt(lowest**2 + 1 / NUMBERS)  # no single one decides
    level *= _LENGTH / np.maximum(np.sqrt((level**2).sum(-1, keepdims=True)), 1e-9)
    return np.rint(level).clip(-127, 127).astype(np.int8)


def _cropping(before: float, after: float) -> np.ndarray:
    """Return what makes the frequencies of a part along one axis out of those of the whole."""
    at = (np.arange(SIDE) + 0.5) / SIDE
    return cosines(at).T @ cosines(before + at * (1 - before - after))


LEAST_PRODUCT = round(LEAST_ALIKE * _LENGTH**2)


def _pairs(
    left: np.ndarray,
    right: np.ndarray,
    left_views: dict[str, np.ndarray],
    right_views: dict[str, np.ndarray],
    first: int | None,
) -> Pairs:
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    compared = 0
    room = np.empty(_ROWS * _COLUMNS, np.float32)
    for top in range(0, len(left), _ROWS):
        rows = slice(top, top + _ROWS)
        mine = {name: view[rows].astype(np.float32) for name, view in left_views.items()}
        # Of pairs within one set, those to the right of the diagonal.
        begin = 0 if first is None else (first + top) // _COLUMNS * _COLUMNS
        for start in range(begin, len(right), _COLUMNS):
            columns = slice(start, start + _COLUMNS)
            theirs = {name: view[columns].astype(np.float32) for name, view in right_views.items()}
            row, column = _candidates(mine, theirs, room)
            row, column = row + top, column + start
            if first is not None:
                later = column > row + first
                row, column = row[later], column[later]
            if not len(row):
                continue
            compared += len(row)
            score = same_image(left[row], right[column])
            same = score >= LEAST_SCORE
            found.append((row[same] + (first or 0), column[same], score[same]))
    if not found:
        none = np.zeros(0, np.int64)
        return Pairs(none, none, np.zeros(0), compared)
    rows_, columns_, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((columns_, rows_))
    return Pairs(rows_[order], columns_[order], scores[order], compared)


def _candidates(
    mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray], room: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of a block that look alike in one of the pairs of views, each once, in order."""
    places = []
    rows, columns = len(mine["whole"]), len(theirs["whole"])
    products = room[: rows * columns].reshape(rows, columns)
    for one, other in _COMPARED:
        np.matmul(mine[one], theirs[other].T, out=products)
        if products.max() >= LEAST_PRODUCT:
            places.append(np.flatnonzero(products.ravel() >= LEAST_PRODUCT))
    if not places:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.divmod(np.unique(np.concatenate(places)), columns)


_LOWEST = np.argsort((FREQUENCY**2 + 1e-3 * np.arange(FREQUENCIES)).ravel(), kind="stable")[1 : NUMBERS + 1]
