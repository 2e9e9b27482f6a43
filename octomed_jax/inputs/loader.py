"""The Grain loader: step number in, assembled batches out. This file alone imports grain.

A step's batch is a pure function of the step number, so the whole iterator state is one number, and what a step holds
does not depend on how many processes read it: each takes its share of the same rows.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import grain
import numpy as np
from absl import flags

from octomed_jax.errors import StopAndLook
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.examples import Example
from octomed_jax.inputs.plan import RowPlan
from octomed_jax.inputs.render import example_builder
from octomed_jax.inputs.rows import Bucket, assemble
from octomed_jax.traces.shards import ShardReader

BAD = "bad_records"  # beside the buckets of a step: what could not be read, as JSON


@dataclasses.dataclass(frozen=True)
class Share:
    """Which part of a step's rows this process assembles.

    Attributes:
        places: those of this process, of ``devices``; each has as many rows of a micro-batch, one after the other.
        devices: over which the rows of a batch are spread (devices that share a row are one); the rows of a
            micro-batch are filled up with empty ones to a multiple of them.
        rows_at_once: rows that a device computes at once; 0: all of a step.
        slots: a row's window slots are filled up with empty ones to a multiple of so many.
    """

    places: tuple[int, ...] = (0,)
    devices: int = 1
    rows_at_once: int = 0
    slots: int = 1

    def micro_batches(self, rows: int) -> tuple[int, int]:
        """Return into how many micro-batches a step's rows of a bucket are divided, and the rows of each."""
        number = -(-rows // (self.devices * self.rows_at_once)) if self.rows_at_once else 1
        return number, -(-rows // (number * self.devices)) * self.devices

    def filled_up(self, bucket: Bucket, spec: PatchSpec) -> Bucket:
        """Return the bucket with as many window slots as the devices of a row can divide."""
        unit = spec.slot_cells * self.slots
        return dataclasses.replace(bucket, cells=-(-bucket.cells // unit) * unit)


class StepSource(grain.sources.RandomAccessDataSource):
    """Batches by step number, from ``first`` to before ``steps``; rows are looked up when a step is read."""

    def __init__(
        self,
        plan: RowPlan,
        shards: Path,
        student: Path,
        answer_format: str,
        first: int,
        steps: int,
        share: Share,
        skip_bad: bool = False,
    ):
        """Open the shards.

        Args:
            plan: of the rows.
            shards, student, answer_format: what is read, and what renders it.
            first, steps: which steps there are.
            share: this process's part of each.
            skip_bad: a record that cannot be read leaves its place in the row empty, and is listed; otherwise it ends
                the run.
        """
        self._skip_bad = skip_bad
        self._schedule, self._first, self._steps = plan.schedule, first, steps
        self._buckets = plan.buckets
        self._where = np.stack([plan.index.record, plan.index.response], -1)
        self._reader = ShardReader(shards)
        self._builder = example_builder(student, answer_format)
        self._share = share

    def __len__(self) -> int:
        return self._steps - self._first

    def __getitem__(self, offset: int) -> dict[str, dict[str, np.ndarray]]:
        if not 0 <= offset < len(self):
            raise IndexError(offset)
        rows = self._schedule.step(self._first + offset).rows
        bad: list[dict] = []
        step: dict = {bucket.name: self._assemble(rows[bucket.name], bucket, bad) for bucket in self._buckets}
        return step | {BAD: np.frombuffer(json.dumps(bad).encode(), np.uint8)}

    def _assemble(self, rows: tuple[tuple[int, ...], ...], bucket: Bucket, bad: list[dict]) -> dict[str, np.ndarray]:
        """Return this process's rows of each micro-batch: [micro-batches, rows, ...]."""
        share = self._share
        number, width = share.micro_batches(self._schedule.rows_per_step[bucket.name])
        each = width // share.devices
        # The place of a row (micro-batch, device) does not depend on the number of processes.
        filled = [*rows, *[()] * (number * width - len(rows))]
        firsts = [micro * width + place * each for micro in range(number) for place in share.places]
        chosen = [row for first in firsts for row in filled[first : first + each]]
        examples = [[one for number in row if (one := self._example(number, bad))] for row in chosen]
        batch = assemble(examples, len(chosen), share.filled_up(bucket, self._builder.spec), self._builder.spec)
        return {name: part.reshape(number, -1, *part.shape[1:]) for name, part in batch.items()}

    def _example(self, number: int, bad: list[dict]) -> Example | None:
        record_number, response = (int(value) for value in self._where[number])
        try:
            record = self._reader[record_number]
            return self._builder.build(record.shown(response), record.responses[response])
        except StopAndLook as error:
            if not self._skip_bad:
                raise
            bad.append({"record": record_number, "response": response, "problem": str(error)})
            return None


def take_bad(batch: dict) -> list[dict]:
    """Remove from a step's batch the list of what could not be read, and return it."""
    return json.loads(batch.pop(BAD).tobytes())


def batches(source: StepSource, workers: int) -> Iterator[dict]:
    """Yield the batches of ``source`` in order, read ahead by threads, or by worker processes if ``workers`` > 0.

    Raises:
        StopAndLook: a record cannot be read.
    """
    if workers and not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain's worker processes read absl flags, which our command line does not parse
    dataset = grain.MapDataset.source(source).to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=8))
    if workers:
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=4))
    return _unwrapped(iter(dataset))


def _unwrapped(source: Iterator[dict]) -> Iterator[dict]:
    """Yield what comes, letting our own errors out of Grain's wrapping."""
    while True:
        try:
            batch = next(source)
        except StopIteration:
            return
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, StopAndLook):
                cause = cause.__cause__ or cause.__context__
            raise cause or error from None
        yield batch
