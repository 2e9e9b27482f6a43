"""Which example goes into which row of which step: a pure function of (index, mixture, seed, epoch).

An example may come several times an epoch, as a mixture asks for (mixture.py). The plan never looks at ranks or hosts.
Examples with and without images have buckets of their own, or one together. How rows are composed is found once
(packing.py); an epoch seats the examples of equal size anew and shuffles the rows. So all epochs have the same number
of rows and of steps: step s belongs to epoch s // steps_per_epoch, and a run goes on at any step without planning the
epochs before it. Every step holds the same number of rows of each bucket (some may be empty), so the compiled step has
one shape.

Legend: N examples, R rows.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32, Int64

from octomed_jax.inputs.packing import PACKING_VERSION, Packing, Row, pack
from octomed_jax.inputs.rows import Bucket
from octomed_jax.storage import fingerprint

SUMMED = ("tokens", "patches", "images", "window_pairs", "frame_pairs")


@dataclasses.dataclass(frozen=True)
class ExampleIndex:
    """The sizes of all examples of a set of shards, one entry per (record, response).

    Attributes:
        record, response: where the example lies.
        tokens, patches, cells: what it takes; cells are those reserved in the window slots.
        images: how many it has.
        window_pairs, frame_pairs: pairs of patches that see each other within windows and within whole images.
        source, benchmark: indexes into ``sources`` and ``benchmarks``; a source may hold several benchmarks.
        sources, benchmarks: names.
        render_key: hash of what rendered it.
    """

    record: Int32[np.ndarray, "N"]
    response: Int32[np.ndarray, "N"]
    tokens: Int32[np.ndarray, "N"]
    patches: Int32[np.ndarray, "N"]
    cells: Int32[np.ndarray, "N"]
    images: Int32[np.ndarray, "N"]
    window_pairs: Int64[np.ndarray, "N"]
    frame_pairs: Int64[np.ndarray, "N"]
    source: Int32[np.ndarray, "N"]
    benchmark: Int32[np.ndarray, "N"]
    sources: tuple[str, ...]
    benchmarks: tuple[str, ...]
    render_key: str

    def __len__(self) -> int:
        return len(self.record)

    def only(self, chosen: Bool[np.ndarray, "N"]) -> "ExampleIndex":
        """Return the index of the chosen examples; itself where that is all of them."""
        if chosen.all():
            return self
        columns = {name: column[chosen] for name, column in vars(self).items() if isinstance(column, np.ndarray)}
        return dataclasses.replace(self, **columns)


@dataclasses.dataclass(frozen=True)
class StepRows:
    """The rows of one step, by bucket name."""

    step: int
    epoch: int
    rows: dict[str, tuple[Row, ...]]


@dataclasses.dataclass(frozen=True)
class _Epoch:
    """An epoch of one bucket: who sits on the packing's seats, and the order of its rows."""

    examples: Int32[np.ndarray, "N"]
    order: Int32[np.ndarray, "R"]


class Schedule:
    """The rows of every step, without the sizes that they were packed by: what a reading process needs.

    Attributes:
        rows_per_step: bucket name to number of rows.
        steps_per_epoch: of every epoch.
    """

    def __init__(self, packings: dict[str, Packing], steps: int, seeds: dict[str, tuple[int, int]]):
        """Spread the rows over about ``steps`` steps; ``seeds`` are by bucket name, like ``packings``."""
        self._packings, self._seeds = packings, seeds
        self.rows_per_step = {name: -(-len(packing) // steps) for name, packing in packings.items()}
        # Rounding rows up leaves room in every bucket; with as many steps as the fullest bucket needs it is used.
        needed = [-(-len(packing) // self.rows_per_step[name]) for name, packing in packings.items()]
        self.steps_per_epoch = max(needed, default=1)
        self._epochs: dict[int, dict[str, _Epoch]] = {}

    def step(self, step: int) -> StepRows:
        """Return the rows of step 0, 1, 2, ... of the run."""
        epoch, offset = divmod(step, self.steps_per_epoch)
        rows = {}
        for name, seated in self._epoch(epoch).items():
            packing, total = self._packings[name], len(seated.order)
            first, last = [at * total // self.steps_per_epoch for at in (offset, offset + 1)]
            rows[name] = tuple(packing.row(number, seated.examples) for number in seated.order[first:last].tolist())
        return StepRows(step, epoch, rows)

    def _epoch(self, epoch: int) -> dict[str, _Epoch]:
        held = self._epochs
        if epoch not in held:
            planned = {name: self._seat(name, epoch) for name in self._packings}
            # Of the epochs before only the latest is kept: readers ahead have begun this one, others still end that.
            # Threads may come here together; each leaves a whole dict of the same arrays.
            self._epochs = held = dict([*held.items()][-1:]) | {epoch: planned}
        return held[epoch]

    def _seat(self, name: str, epoch: int) -> _Epoch:
        seed, bucket = self._seeds[name]
        rng = np.random.default_rng([seed, epoch, bucket])
        packing = self._packings[name]
        return _Epoch(packing.shuffled(rng), rng.permutation(len(packing)).astype(np.int32))


class RowPlan:
    """The plan of a run.

    Attributes:
        index: the sizes of the examples.
        buckets: text first, then image; a bucket without examples is left out.
        examples: how many an epoch holds: each that fits a row once, or as often as it is asked for.
        numbers: which ones they are, an example that comes several times as often.
        left_out: benchmark name to number of examples that fit no row.
        schedule: the rows of every step.
        fill: bucket name to the share of token slots that is used in an epoch, empty rows counted.
    """

    def __init__(
        self,
        index: ExampleIndex,
        buckets: Sequence[Bucket],
        examples_per_step: int,
        seed: int,
        times: Int32[np.ndarray, "N"] | None = None,
    ):
        """Pack the examples of ``index`` into rows of ``buckets``, for about ``examples_per_step`` examples a step.

        Args:
            index: of the examples.
            buckets: shapes of rows.
            examples_per_step: how many a step should hold.
            seed: of the shuffling.
            times: how often each example comes in an epoch; once where it is left out.
        """
        self.index, self._seed, self._examples_per_step = index, seed, examples_per_step
        self._all_buckets, self._times = tuple(buckets), times
        members = {bucket.name: _members(index, bucket, buckets) for bucket in buckets}
        self.left_out = _left_out(index, members)
        if times is not None:
            members = {name: np.repeat(numbers, times[numbers]) for name, numbers in members.items()}
        self.buckets = tuple(bucket for bucket in buckets if len(members[bucket.name]))
        self.examples = sum(len(numbers) for numbers in members.values())
        self.numbers = np.concatenate([np.zeros(0, np.int32), *members.values()])
        packings, seeds = {}, {}
        for number, bucket in enumerate(buckets):
            if len(here := members[bucket.name]):
                packings[bucket.name] = pack(here, index.tokens[here], index.cells[here], bucket)
                seeds[bucket.name] = seed, number
        self.schedule = Schedule(packings, max(1, round(self.examples / examples_per_step)), seeds)
        self.rows_per_step, self.steps_per_epoch = self.schedule.rows_per_step, self.schedule.steps_per_epoch
        self.fill = {
            bucket.name: float(index.tokens[members[bucket.name]].sum(dtype=np.int64))
            / (self.rows_per_step[bucket.name] * self.steps_per_epoch * bucket.tokens)
            for bucket in self.buckets
        }

    @functools.cached_property
    def hash(self) -> str:
        """The name of this plan; a checkpoint holds it, and another plan is refused."""
        sizes, index = hashlib.sha256(), self.index
        columns = (index.record, index.response, index.tokens, index.patches, index.cells)
        for column in (*columns, *(() if self._times is None else (self._times,))):
            sizes.update(np.ascontiguousarray(column, np.int32).data)
        shapes = [dataclasses.astuple(bucket) for bucket in self._all_buckets]
        return fingerprint(
            [sizes.hexdigest(), index.render_key, shapes, self._examples_per_step, self._seed, PACKING_VERSION]
        )

    def step(self, step: int) -> StepRows:
        """Return the rows of step 0, 1, 2, ... of the run."""
        return self.schedule.step(step)

    def count(self, step: int) -> dict[str, Any]:
        """Return how much a step holds, over all processes: examples, and sums of what the index has of them."""
        rows = self.step(step).rows.values()
        return self._count(np.array([number for bucket in rows for row in bucket for number in row], np.int64))

    def mean(self) -> dict[str, float]:
        """Return how much a step holds in the mean over an epoch, as ``count`` does."""
        return {name: total / self.steps_per_epoch for name, total in self._count(self.numbers).items()}

    def _count(self, numbers: np.ndarray) -> dict[str, Any]:
        sums = {name: int(getattr(self.index, name)[numbers].sum(dtype=np.int64)) for name in SUMMED}
        pairs = float((self.index.tokens[numbers].astype(np.float64) ** 2).sum() / 2)  # causal
        return {"examples": len(numbers), "token_pairs": pairs, **sums}


def fitting(index: ExampleIndex, buckets: Sequence[Bucket]) -> Bool[np.ndarray, "N"]:
    """Return which examples fit a row of one of the buckets."""
    return np.logical_or.reduce([_fits(index, bucket, buckets) for bucket in buckets])


def _members(index: ExampleIndex, bucket: Bucket, buckets: Sequence[Bucket]) -> Int32[np.ndarray, "N"]:
    return np.flatnonzero(_fits(index, bucket, buckets)).astype(np.int32)


def _fits(index: ExampleIndex, bucket: Bucket, buckets: Sequence[Bucket]) -> Bool[np.ndarray, "N"]:
    """Return which examples are of a bucket: where there is one for text alone, text goes there."""
    fits = (index.tokens <= bucket.tokens) & (index.cells <= bucket.cells)
    text_apart = any(not other.cells for other in buckets)
    if bucket.cells and text_apart:
        fits &= index.cells > 0
    return fits


def _left_out(index: ExampleIndex, members: dict[str, np.ndarray]) -> dict[str, int]:
    used = np.zeros(len(index), bool)
    for numbers in members.values():
        used[numbers] = True
    counts = np.bincount(index.benchmark[~used], minlength=len(index.benchmarks))
    return {name: int(count) for name, count in zip(index.benchmarks, counts, strict=True) if count}
