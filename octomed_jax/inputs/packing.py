"""Examples into rows: which sizes share a row, found once for a set of examples; who sits where, drawn every epoch.

Examples of one *kind* take the same room: as many cells, and as many tokens up to a rounding. How the rows are composed
depends on the number of examples of each kind alone, so it is found once, by kinds: a row is filled, and then repeated
as often as its kinds allow, which uses at least one kind up. The work grows with the kinds (some thousands) and not
with the examples, and every epoch has the same number of rows, however its examples are shuffled over the seats.

A row is begun with the largest kind left. Then comes, again and again, the kind that is nearest to an even share of
what the row has free, in tokens and in cells, a share for each example that the row should still get. So rows hold
nearly equal numbers of examples, large and small ones together, and what is left at the end is filled closely
(benchmarks/row_fill.py).

Legend: N examples, K kinds, R rows.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Int, Int32

from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.rows import Bucket

PACKING_VERSION = 2
TEXT_LENGTHS = 8192  # lengths told apart in text rows; exact up to rows of as many tokens
IMAGE_LENGTHS = 512  # the same in image rows, where kinds differ in cells too; costs 0.5 % of fill
SPARE_CELLS = 0.03  # images come in large pieces: with this room to spare for them, tokens fill 98 % instead of 95 %
SPARE_CELLS_OF_SOME = 0.3  # where only some examples have images: 98 %; with a third of it, 86 to 98 % by their sizes
KERNEL_UNIT = 128  # patches: the vision tower's rows are a multiple of it, as attention kernels want
ROUNDING = 1e-9  # of shares that add up to one

Row = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Packing:
    """Rows of seats, and the examples that may sit there.

    Attributes:
        examples: example numbers, kind after kind.
        counts: examples of each kind.
        seats: places in ``examples``, row after row.
        starts: where each row begins in ``seats``, and the end of the last.
    """

    examples: Int32[np.ndarray, "N"]
    counts: Int32[np.ndarray, "K"]
    seats: Int32[np.ndarray, "N"]
    starts: Int32[np.ndarray, "R+1"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def shuffled(self, rng: np.random.Generator) -> Int32[np.ndarray, "N"]:
        """Return ``examples`` in another order: each kind shuffled in itself."""
        kind = np.repeat(np.arange(len(self.counts), dtype=np.min_scalar_type(len(self.counts))), self.counts)
        order = rng.permutation(len(kind))
        return self.examples[order[np.argsort(kind[order], kind="stable")]]

    def row(self, number: int, examples: Int32[np.ndarray, "N"]) -> Row:
        """Return the examples of a row, where ``examples`` (of ``shuffled``) are seated."""
        return tuple(examples[self.seats[self.starts[number] : self.starts[number + 1]]].tolist())

    def rows(self) -> list[Row]:
        """Return all rows with the examples as they are."""
        return [self.row(number, self.examples) for number in range(len(self))]


def pack(
    numbers: Int[np.ndarray, "N"], tokens: Int[np.ndarray, "N"], cells: Int[np.ndarray, "N"], bucket: Bucket
) -> Packing:
    """Pack examples into rows.

    Args:
        numbers: example numbers.
        tokens, cells: what each takes; each fits an empty row.
        bucket: the room of a row.
    """
    length = bucket.tokens
    grain = -(-length // (IMAGE_LENGTHS if bucket.cells else TEXT_LENGTHS))
    rounded = np.minimum(-(-tokens.astype(np.int64) // grain) * grain, length)
    sizes, kind, counts = np.unique(
        cells.astype(np.int64) * (length + 1) + rounded, return_inverse=True, return_counts=True
    )
    of_cells, of_tokens = np.divmod(sizes, length + 1)
    rows, repeats = _compose(np.stack([of_tokens, of_cells]), counts, bucket)

    places = np.repeat([len(row) for row in rows], repeats)
    seated = np.concatenate([np.tile(row, repeat) for row, repeat in zip(rows, repeats, strict=True)])  # kinds
    seats = np.empty(len(seated), np.int32)
    seats[np.argsort(seated, kind="stable")] = np.arange(len(seated), dtype=np.int32)
    by_kind = np.argsort(kind, kind="stable")
    starts = np.concatenate([[0], np.cumsum(places)])
    return Packing(numbers[by_kind].astype(np.int32), counts.astype(np.int32), seats, starts.astype(np.int32))


def _compose(sizes: np.ndarray, counts: np.ndarray, bucket: Bucket) -> tuple[list[np.ndarray], list[int]]:
    """Return rows of kinds, and how often each row is repeated.

    Args:
        sizes: tokens and cells of each kind. [2, K]
        counts: examples of each kind. [K]
        bucket: the room of a row.
    """
    room = np.array([bucket.tokens, max(bucket.cells, 1)])
    shares = sizes / room[:, None]
    kinds = np.argsort(-shares.max(axis=0), kind="stable")  # the largest first
    shares, sizes, counts = shares[:, kinds], sizes[:, kinds], counts[kinds]
    rows, repeats = [], []
    while len(kinds):
        least = (sizes @ counts / room).max()  # rows for what is left; whole numbers add up alike on every machine
        goal = max(1, round(counts.sum() / least))
        row = _fill_row(shares, counts.copy(), goal)
        members, times = np.unique(row, return_counts=True)
        repeat = int((counts[members] // times).min())
        counts[members] -= repeat * times
        rows.append(kinds[row])
        repeats.append(repeat)
        gone = counts == 0
        if gone[0] or gone.mean() > 0.05:  # not every time: it copies
            kinds, shares, sizes, counts = kinds[~gone], shares[:, ~gone], sizes[:, ~gone], counts[~gone]
    return rows, repeats


def _fill_row(shares: np.ndarray, counts: np.ndarray, goal: int) -> list[int]:
    """Return the kinds of one row of about ``goal`` examples, the first kind among them; uses ``counts`` up."""
    row: list[int] = []
    tokens, cells = shares
    free_tokens = free_cells = 1.0
    at = 0
    while True:
        row.append(at)
        counts[at] -= 1
        free_tokens -= tokens[at]
        free_cells -= cells[at]
        wanted = max(goal - len(row), 1)  # examples that should still come
        distance = np.abs(tokens - free_tokens / wanted)
        distance += np.abs(cells - free_cells / wanted)
        distance[(counts == 0) | (tokens > free_tokens + ROUNDING) | (cells > free_cells + ROUNDING)] = np.inf
        at = int(distance.argmin())
        if distance[at] == np.inf:
            return row


def image_bucket(tokens: np.ndarray, cells: np.ndarray, room: int, spec: PatchSpec, name: str = "image") -> Bucket:
    """Return the bucket for examples with images: with ``room`` tokens go the cells that they bring, and a few more.

    Args:
        tokens, cells: what each example takes; some may have no cells. [N]
        room: tokens of a row.
        spec: how images become patches.
        name: of the bucket.
    """
    unit = math.lcm(spec.slot_patches, KERNEL_UNIT) // spec.merge_size**2
    spare = SPARE_CELLS if cells.all() else SPARE_CELLS_OF_SOME
    wanted = max((1 + spare) * float(room * cells.sum() / tokens.sum()), float(cells.max()))
    return Bucket(name, room, math.ceil(wanted / unit) * unit)
