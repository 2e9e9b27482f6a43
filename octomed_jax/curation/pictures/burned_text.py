"""Text that is burned into the pixels of an image, such as names and settings on ultrasound pictures and X-rays.

This finds what looks like lines of printed text, and paints over them. It is a heuristic that misses text, and no
de-identification: whoever must not pass on what is written in images has to look at them, or to leave them out.

A line is at least three glyphs side by side: parts of one shade, of nearly one height, on one ground line, with an even
ground around them, brighter or darker than it. Not seen: single letters such as the side marks of X-rays, handwriting,
text over anatomy or noise, text less than SMALLEST pixels high, running upwards or aslant, and letters that touch.
Figures in docs/curation-images.md.

Shapes: H, W of the image; boxes are (left, top, right, bottom) in pixels, the latter two exclusive.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

Box = tuple[int, int, int, int]
SMALLEST, TALLEST = 5, 0.06  # of a glyph: pixels; share of the image's longer side (but at least LEAST_TALLEST pixels)
LEAST_TALLEST = 24
CONTRAST = 48  # gray values between glyph and ground
EVEN = 24  # gray values between the darkest tenth and the brightest fifth of the ground around a glyph, at most
ALIKE = 0.6  # least ratio of the heights of two glyphs of a row
NEXT, FURTHER = 1.2, 4.0  # heights between glyphs of a word, and of a row
LETTERS = 3  # in a line, at least
WIDEST = 5.0  # of a part, in heights: letters of a word may touch
UNIFORM, SHARP, FLAT = 0.7, 0.5, 4.0  # see _glyph
SHADES = 12.0  # standard deviation between the glyphs of a line, at most


@dataclasses.dataclass(frozen=True, eq=False)
class _Glyph:
    left: int
    top: int
    right: int
    bottom: int
    shade: float
    ground: float
    solid: bool
    flat: bool

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def letters(self) -> int:
        """How many letters it may be: on flat ground some that touch are taken for one part."""
        return max(1, round(self.width / (0.75 * self.height))) if self.flat else 1


def find_text(pixels: UInt8[np.ndarray, "H W *colours"]) -> list[Box]:
    """Return boxes around what looks like lines of text, from top to bottom.

    Args:
        pixels: of a gray or an RGB image.
    """
    gray = pixels.max(-1) if pixels.ndim == 3 else pixels
    boxes = [*_lines(_glyphs(gray)), *_lines(_glyphs(255 - gray))]
    return _merged(boxes, gray.shape)


def blank_text(pixels: UInt8[np.ndarray, "H W *colours"], boxes: Sequence[Box]) -> UInt8[np.ndarray, "H W *colours"]:
    """Return the pixels with each box filled with the ground around it (the median along its edge)."""
    blank = pixels.copy()
    for left, top, right, bottom in boxes:
        part = pixels[top:bottom, left:right]
        edge = np.concatenate((part[0], part[-1], part[:, 0], part[:, -1]))
        blank[top:bottom, left:right] = np.median(edge, axis=0).astype(np.uint8)
    return blank


def _glyphs(gray: np.ndarray) -> list[_Glyph]:
    """Return parts that are brighter than an even ground around them."""
    tallest = max(LEAST_TALLEST, round(TALLEST * max(gray.shape)))
    # What is thinner than a glyph is tall, above the ground; the ground is what stays when all such is taken away.
    ground = ndimage.grey_opening(gray, size=(2 * (tallest // 3) + 1,) * 2)
    above = gray.astype(np.int16) - ground
    labels, _ = ndimage.label(above >= CONTRAST, np.ones((3, 3), int))
    found = []
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        rows, columns = place
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if SMALLEST <= height <= tallest and width <= WIDEST * height:
            glyph = _glyph(gray, labels, number, (columns.start, rows.start, columns.stop, rows.stop))
            if glyph is not None:
                found.append(glyph)
    return found


def _glyph(gray: np.ndarray, labels: np.ndarray, number: int, box: Box) -> _Glyph | None:
    """Return a part if it is made of strokes of one shade, with sharp edges, on an even ground."""
    left, top, right, bottom = box
    around = (slice(max(0, top - 2), bottom + 2), slice(max(0, left - 2), right + 2))
    inside = labels[around] == number
    share = inside.sum() / ((bottom - top) * (right - left))
    if share < 0.12:
        return None
    # The soft edge of a glyph belongs to neither side; other glyphs are no ground either.
    ground = np.sort(gray[around][~ndimage.binary_dilation(inside, np.ones((3, 3))) & (labels[around] == 0)])
    if len(ground) < 8 or int(_share(ground, 0.8)) - int(_share(ground, 0.1)) > EVEN:
        return None
    shades, base = np.sort(gray[around][inside]), float(_share(ground, 0.5))
    shade = float(_share(shades, 0.9))
    if _share(shades, 0.5) - base < UNIFORM * (shade - base):  # fades out: a blob, no stroke
        return None
    edges = np.abs(np.diff(gray[around].astype(np.int16), axis=1)).max(1)
    if np.median(edges[2:-2]) < SHARP * (shade - base):
        return None
    return _Glyph(left, top, right, bottom, shade, base, bool(share > 0.85), bool(ground.std() <= FLAT))


def _share(ordered: np.ndarray, share: float) -> np.uint8:
    """Return the value below which a share of the values lie, of values in order."""
    return ordered[int(share * (len(ordered) - 1) + 0.5)]


def _lines(glyphs: list[_Glyph]) -> list[Box]:
    """Return boxes around rows of at least LETTERS glyphs, and what else is on the same row further off."""
    order = sorted(glyphs, key=lambda glyph: (glyph.left, glyph.top))
    lines: list[list[_Glyph]] = []
    taken = [False] * len(order)
    for first in range(len(order)):
        if taken[first]:
            continue
        places = _row(order, taken, first, NEXT)
        line = [order[place] for place in places]
        if _is_text(line):
            lines.append(line)
            for place in places:
                taken[place] = True
    rows = [*lines, *([glyph] for glyph, used in zip(order, taken, strict=True) if not used)]
    return [_around(row) for row in _joined(rows) if len(row) > 1]


def _joined(rows: list[list[_Glyph]]) -> list[list[_Glyph]]:
    """Return rows with those joined that are further apart, and with what stands alone on a row of text."""
    ended: list[list[_Glyph]] = []
    open_: list[list[_Glyph]] = []
    for row in sorted(rows, key=_left):
        near = [other for other in open_ if _left(row) - other[-1].right <= FURTHER * other[-1].height / ALIKE]
        ended += [other for other in open_ if other not in near]
        before = [other for other in near if _follows(other[-1], row[0], FURTHER)]
        words = [other for other in before if len(other) > 1][-1:]
        alone = [other for other in before if len(other) == 1] if len(row) > 1 else []
        open_ = [other for other in near if other not in words and other not in alone]
        open_.append(sorted((glyph for part in (*words, *alone, row) for glyph in part), key=lambda glyph: glyph.left))
    return ended + open_


def _left(row: Sequence[_Glyph]) -> int:
    return row[0].left


def _row(order: list[_Glyph], taken: list[bool], first: int, gap: float) -> list[int]:
    """Return the places of the glyphs that follow one another from the first on."""
    places = [first]
    for place in range(first + 1, len(order)):
        last = order[places[-1]]
        if order[place].left - last.right > gap * last.height / ALIKE:  # none further right can follow
            break
        if not taken[place] and _follows(last, order[place], gap):
            places.append(place)
    return places


def _is_text(line: Sequence[_Glyph]) -> bool:
    """Return whether glyphs side by side are a line: enough letters of one shade, not all of them bars or dots."""
    shades = np.array([glyph.shade for glyph in line])
    letters = sum(glyph.letters for glyph in line)
    return letters >= LETTERS and shades.std() <= SHADES and sum(glyph.solid for glyph in line) <= len(line) / 2


def _follows(one: _Glyph, other: _Glyph, gap: float) -> bool:
    """Return whether one glyph stands right of another, at most ``gap`` heights away, and looks like it."""
    taller = max(one.height, other.height)
    return (
        -0.1 * taller <= other.left - one.right <= gap * taller
        and abs(one.bottom - other.bottom) <= 0.25 * taller
        and min(one.height, other.height) >= ALIKE * taller
        and abs(one.shade - other.shade) <= 40
        and abs(one.ground - other.ground) <= 40
    )


def _around(line: Sequence[_Glyph]) -> Box:
    margin = 2 + max(glyph.height for glyph in line) // 4  # for descenders, dots and soft edges
    return (
        min(glyph.left for glyph in line) - margin,
        min(glyph.top for glyph in line) - margin,
        max(glyph.right for glyph in line) + margin,
        max(glyph.bottom for glyph in line) + margin,
    )


def _merged(boxes: list[Box], shape: tuple[int, ...]) -> list[Box]:
    """Return boxes within the image; those that overlap become one."""
    rest = sorted(boxes)
    merged: list[Box] = []
    while rest:
        left, top, right, bottom = rest.pop(0)
        touching = [box for box in rest if box[0] < right and left < box[2] and box[1] < bottom and top < box[3]]
        if touching:
            rest = [box for box in rest if box not in touching]
            every = [(left, top, right, bottom), *touching]
            rest.append((min(b[0] for b in every), min(b[1] for b in every),
                         max(b[2] for b in every), max(b[3] for b in every)))  # fmt: skip
            rest.sort()
        else:
            merged.append((max(0, left), max(0, top), min(shape[1], right), min(shape[0], bottom)))
    return sorted(merged, key=lambda box: (box[1], box[0]))
