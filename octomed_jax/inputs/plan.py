"""Which example goes into which row of which step: a pure function of (index, seed, epoch).

The plan never looks at ranks or hosts. An epoch is shuffled, packed within large blocks, and its rows are shuffled
again; text and image examples are packed apart, into their own buckets. Every step holds the same number of
rows of each bucket (some may be empty at the end of an epoch), so the compiled step has one shape.
"""

import bisect
import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.rows import Bucket
from octomed_jax.storage import fingerprint

BLOCK = 8192  # examples that are packed together; larger blocks fill no better
KERNEL_UNIT = 128  # patches: the vision tower's rows are a multiple of it, as attention kernels want
SIZE_WEIGHT = 0.3  # of an example's size against evenness, where a row's next example is chosen
ROUNDING = 1e-9  # of shares that add up to one

Row = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class ExampleIndex:
    """The sizes of all examples of a set of shards, one entry per (record, response).

    Attributes:
        record, response: where the example lies.
        tokens, patches, cells: what it takes; cells are those reserved in the window slots.
        images: how many it has.
        source: index into ``sources``.
        sources: names.
        render_key: hash of what rendered it.
    """

    record: np.ndarray
    response: np.ndarray
    tokens: np.ndarray
    patches: np.ndarray
    cells: np.ndarray
    images: np.ndarray
    source: np.ndarray
    sources: tuple[str, ...]
    render_key: str

    def __len__(self) -> int:
        return len(self.record)


@dataclasses.dataclass(frozen=True)
class StepRows:
    """The rows of one step, by bucket name."""

    step: int
    epoch: int
    rows: dict[str, tuple[Row, ...]]


class RowPlan:
    """The plan of a run.

    Attributes:
        buckets: text first, then image; a bucket without examples is left out.
        rows_per_step: bucket name to number of rows.
        left_out: source name to number of examples that fit no row.
    """

    def __init__(self, index: ExampleIndex, buckets: Sequence[Bucket], examples_per_step: int, seed: int):
        self.index, self._seed, self._examples_per_step = index, seed, examples_per_step
        self._all_buckets = tuple(buckets)
        members = {bucket.name: _members(index, bucket) for bucket in buckets}
        self.buckets = tuple(bucket for bucket in buckets if len(members[bucket.name]))
        self._members = {bucket.name: members[bucket.name] for bucket in self.buckets}
        self.examples = sum(len(numbers) for numbers in self._members.values())
        self.left_out = _left_out(index, self._members)
        self._epochs: list[list[dict[str, tuple[Row, ...]]]] = []
        self._starts = [0]
        first = {bucket.name: self._pack(bucket, 0) for bucket in self.buckets}
        steps = max(1, round(self.examples / examples_per_step))
        self.rows_per_step = {name: -(-len(rows) // steps) for name, rows in first.items()}

    @property
    def hash(self) -> str:
        """The name of this plan; a checkpoint holds it, and another plan is refused."""
        sizes = np.stack([self.index.tokens, self.index.patches, self.index.cells]).tobytes()
        shapes = [dataclasses.astuple(bucket) for bucket in self._all_buckets]
        import hashlib

        digest = hashlib.sha256(sizes).hexdigest()
        return fingerprint([digest, self.index.render_key, shapes, self._examples_per_step, self._seed, BLOCK])

    def step(self, step: int) -> StepRows:
        """Return the rows of step 0, 1, 2, ... of the run."""
        while step >= self._starts[-1]:
            epoch = len(self._epochs)
            self._epochs.append(self._plan_epoch(epoch))
            self._starts.append(self._starts[-1] + len(self._epochs[-1]))
        epoch = bisect.bisect_right(self._starts, step) - 1
        return StepRows(step, epoch, self._epochs[epoch][step - self._starts[epoch]])

    def steps_of_epoch(self, epoch: int) -> int:
        """Return the number of steps of an epoch."""
        while len(self._epochs) <= epoch:
            self.step(self._starts[-1])
        return len(self._epochs[epoch])

    def _plan_epoch(self, epoch: int) -> list[dict[str, tuple[Row, ...]]]:
        rows = {bucket.name: self._pack(bucket, epoch) for bucket in self.buckets}
        steps = max(-(-len(rows[name]) // self.rows_per_step[name]) for name in rows)
        spread = {name: np.array_split(np.arange(len(rows[name])), steps) for name in rows}
        return [{name: tuple(rows[name][i] for i in spread[name][step]) for name in rows} for step in range(steps)]

    def _pack(self, bucket: Bucket, epoch: int) -> list[Row]:
        rng = np.random.default_rng([self._seed, epoch, self._all_buckets.index(bucket)])
        order = rng.permutation(self._members[bucket.name])
        tokens, cells = self.index.tokens, self.index.cells
        rows: list[Row] = []
        for start in range(0, len(order), BLOCK):
            block = order[start : start + BLOCK]
            if bucket.cells:
                rows += fit_evenly(block, tokens[block], cells[block], bucket)
            else:
                rows += best_fit(block, tokens[block], bucket.tokens)
        return [rows[i] for i in rng.permutation(len(rows))]


def best_fit(numbers: np.ndarray, tokens: np.ndarray, room: int) -> list[Row]:
    """Pack text examples into rows of ``room`` tokens, longest first, each into the fullest row that still takes it.

    Args:
        numbers: example numbers. [N]
        tokens: what each takes; each fits an empty row. [N]
        room: tokens of a row.
    """
    free: list[tuple[int, int]] = []  # (free tokens, row), sorted
    rows: list[list[int]] = []
    for i in np.argsort(-tokens, kind="stable"):
        need = int(tokens[i])
        at = bisect.bisect_left(free, (need, -1))
        if at < len(free):
            left, row = free.pop(at)
        else:
            left, row = room, len(rows)
            rows.append([])
        rows[row].append(int(numbers[i]))
        bisect.insort(free, (left - need, row))
    return [tuple(row) for row in rows]


def fit_evenly(numbers: np.ndarray, tokens: np.ndarray, cells: np.ndarray, bucket: Bucket) -> list[Row]:
    """Pack image examples into rows that have room for tokens and for merged cells.

    A row is begun with the largest example left; then the example is taken after which the free shares of tokens and
    cells are nearest to each other, a large one before a small one (benchmarks/row_fill.py).

    Args:
        numbers: example numbers. [N]
        tokens, cells: what each takes; each fits an empty row. [N]
        bucket: the room of a row.
    """
    shares = np.stack([tokens / bucket.tokens, cells / bucket.cells])  # of a row's room. [2, N]
    order = np.argsort(-shares.max(axis=0), kind="stable")
    numbers, shares = numbers[order], shares[:, order]
    difference, size = shares[0] - shares[1], SIZE_WEIGHT * shares.sum(axis=0)
    rows: list[Row] = []
    while len(numbers):
        left = np.ones(len(numbers), bool)
        free = np.ones((2, 1))
        row = []
        at = 0
        while True:
            row.append(int(numbers[at]))
            left[at] = False
            free -= shares[:, at : at + 1]
            fits = left & (shares <= free + ROUNDING).all(axis=0)
            if not fits.any():
                break
            score = size - np.abs(free[0] - free[1] - difference)
            at = int(np.where(fits, score, -np.inf).argmax())
        rows.append(tuple(row))
        numbers, shares, difference, size = numbers[left], shares[:, left], difference[left], size[left]
    return rows


def image_bucket(tokens: np.ndarray, cells: np.ndarray, room: int, spec: PatchSpec) -> Bucket:
    """Return the bucket for image examples: with ``room`` tokens go as many cells as such examples bring along.

    Args:
        tokens, cells: what each image example takes. [N]
        room: tokens of a row.
        spec: how images become patches.
    """
    unit = math.lcm(spec.slot_patches, KERNEL_UNIT) // spec.merge_size**2
    wanted = max(float(room * cells.sum() / tokens.sum()), float(cells.max()))
    return Bucket("image", room, math.ceil(wanted / unit) * unit)


def _members(index: ExampleIndex, bucket: Bucket) -> np.ndarray:
    with_images = index.cells > 0
    fits = (index.tokens <= bucket.tokens) & (index.cells <= bucket.cells)
    return np.flatnonzero(fits & (with_images if bucket.cells else ~with_images))


def _left_out(index: ExampleIndex, members: dict[str, np.ndarray]) -> dict[str, int]:
    used = np.zeros(len(index), bool)
    for numbers in members.values():
        used[numbers] = True
    counts = np.bincount(index.source[~used], minlength=len(index.sources))
    return {name: int(count) for name, count in zip(index.sources, counts, strict=True) if count}
