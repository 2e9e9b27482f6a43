"""What is known of each step of a run, from the moment its rows arrive to its line in the metrics."""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from octomed_jax import progress
from octomed_jax.configuration import plain
from octomed_jax.inputs.loader import Share, take_bad
from octomed_jax.inputs.plan import RowPlan
from octomed_jax.models.qwen2_5_vl.flops import Work, training_flops
from octomed_jax.training.guards import LossGuard
from octomed_jax.training.hosts import HostReports, host_names
from octomed_jax.training.metrics import METRICS, JsonLines, MetricsLog, read_metrics
from octomed_jax.training.planning.chips import PEAKS
from octomed_jax.training.speed import StepClock, rates, write_start
from octomed_jax.training.step import Student


class Arrived(NamedTuple):
    """Rows of a step: when the wait for them began, how long the devices stood still, and what could not be read."""

    began: float
    stalled: float
    bad: list[dict]


class Sent(NamedTuple):
    """A step that the devices work on, or have ended."""

    step: int
    metrics: Mapping[str, jax.Array]
    reports: jax.Array
    stalled: float


class Record:
    """Follows the steps of a run; used as a block, which closes its files."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: Path,
        first: int,
        plan: RowPlan,
        student: Student,
        mesh: Mesh,
        share: Share,
        line: progress.Bar,
    ):
        """Begin after step ``first``; what the folder says of later steps is dropped. All processes do it together."""
        self._plan, self._student, self._mesh, self._line = plan, student, mesh, line
        # All processes have read it before the first one, which writes it, knows the names of all.
        before = [entry for entry in read_metrics(workdir / METRICS) if entry["step"] <= first]
        names = host_names()
        if len(names) > 1:
            progress.say(f"train: {len(names)} processes are there: {', '.join(names)}")
        self._hosts = HostReports(mesh, names)
        limits = config.train.guards
        self.guard = LossGuard(limits.most_skipped, limits.spike_deviations)
        self.guard.remember(before)
        self._log = None
        if jax.process_index() == 0:
            self._log = MetricsLog(workdir, first, config.train.wandb, plain(config))
            write_start(workdir, time.time())
        self._bad = JsonLines(workdir / f"bad_records-{jax.process_index()}.jsonl", first)
        self._peak = PEAKS.get(mesh.devices.flat[0].device_kind)
        # Token places of a step, those of empty rows included.
        self._places = 0
        for bucket in plan.buckets:
            micro_batches, rows = share.micro_batches(plan.rows_per_step[bucket.name])
            self._places += micro_batches * rows * bucket.tokens
        self.clock = StepClock()

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._bad.close()
        if self._log:
            self._log.close()

    def wait_for(self, batches: Iterator[dict], sent: Sent | None) -> tuple[dict, Arrived]:
        """Return the next step's rows; ``sent`` is the step that the devices may still work on."""
        began = time.perf_counter()
        batch = next(batches)
        waited = time.perf_counter() - began
        # The devices stood still for some of this time if they were done before it ended; it counts as a whole.
        return batch, Arrived(began, waited if _idle(sent) else 0.0, take_bad(batch))

    def sent(self, step: int, metrics: Mapping[str, jax.Array], arrived: Arrived, before: Sent | None) -> Sent:
        """Note that a step was sent to the devices; ``before`` is the one that they may still work on."""
        late = _idle(before)
        for one in arrived.bad:
            progress.say(f"train: step {step} leaves out a record: {one['problem']}")
            self._bad.write({"step": step, **one})
        own = time.perf_counter() - arrived.began
        return Sent(step, metrics, self._hosts.send(own, len(arrived.bad), late), arrived.stalled)

    def ended(self, sent: Sent) -> dict[str, Any]:
        """Wait until a step has ended and return its metrics; what is not finite is None, as JSON has no word for it.

        Raises:
            StopAndLook: too many updates in a row were not finite.
        """
        values = {name: float(value) for name, value in sent.metrics.items()}
        bad_records = self._hosts.read(sent.reports)
        seconds = self.clock.step_ended()
        held = self._plan.count(sent.step - 1)
        work = Work(*[held[name] for name in Work.__dataclass_fields__])
        flops = training_flops(self._student.config, work, self._student.trained).total
        speed = rates(seconds, held, flops, self._mesh.size, self._peak)
        skipped_in_row, skipped = [int(values.pop(name)) for name in ("skipped_in_row", "skipped")]
        entry = {
            "step": sent.step,
            **{name: value if math.isfinite(value) else None for name, value in values.items()},
            **{name: held[name] for name in ("examples", "tokens", "images", "patches")},
            "fill": held["tokens"] / self._places,
            **speed,
            "input_stall": min(1.0, sent.stalled / seconds),
            "bad_records": bad_records,
            "skipped": skipped,
            "spike": self.guard.look(sent.step, values["loss"], skipped_in_row),
        }
        self._line.note(_shown(entry))
        return entry

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write a step's line."""
        if self._log:
            self._log.write(entry)

    def send(self) -> None:
        """Let all lines be where the run's folder lies: a checkpoint that comes after goes on behind them."""
        self._bad.send()
        if self._log:
            self._log.send()


def _idle(sent: Sent | None) -> bool:
    """Return whether the devices are done with what was sent to them."""
    return sent is None or sent.metrics["loss"].is_ready()


def _shown(entry: Mapping[str, Any]) -> str:
    loss = "not finite" if entry["loss"] is None else f"{entry['loss']:.3f}"
    words = [
        f"loss {loss}",
        f"{entry['tokens_per_second']:,.0f} tokens/s",
        f"{entry['images_per_second']:,.1f} images/s",
    ]
    words += [f"MFU {entry['mfu']:.1%}"] if entry["mfu"] else []
    return "  ".join([*words, f"fill {entry['fill']:.0%}", f"input stall {entry['input_stall']:.1%}"])
