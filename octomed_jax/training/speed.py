"""How fast a run is and what its time goes into: rates of a step, stalls, and goodput over all its attempts."""

import contextlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from octomed_jax.storage import write_text
from octomed_jax.training.metrics import read_lines

STARTS = "starts.jsonl"  # one line each time the run was started


class StepClock:
    """Measures steps from the end of one to the end of the next, without what is done between two of them."""

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self._now = now
        self._last = now()
        self._paused = 0.0
        self.pauses: dict[str, float] = {}

    @contextlib.contextmanager
    def pause(self, name: str) -> Iterator[None]:
        """Leave out the time of this block, and count it under ``name``."""
        start = self._now()
        try:
            yield
        finally:
            seconds = self._now() - start
            self._paused += seconds
            self.pauses[name] = self.pauses.get(name, 0.0) + seconds

    def step_ended(self) -> float:
        """Return the seconds since the step before ended."""
        now = self._now()
        seconds, self._last, self._paused = now - self._last - self._paused, now, 0.0
        return max(seconds, 1e-9)


def rates(
    seconds: float, held: Mapping[str, Any], flops: float, devices: int, peak: float | None
) -> dict[str, float | None]:
    """Return a step's tokens and images a second, and its share of the devices' operations.

    Args:
        seconds: of the step.
        held: ``tokens`` and ``images`` of the whole batch.
        flops: operations that its examples need (models/qwen2_5_vl/flops.py).
        devices: of the mesh.
        peak: operations a second of one; None where it is not known, then there is no ``mfu``.
    """
    return {
        "step_seconds": seconds,
        "tokens_per_second": held["tokens"] / seconds,
        "images_per_second": held["images"] / seconds,
        "mfu": flops / (seconds * devices * peak) if peak else None,
    }


def write_start(folder: Path, now: float) -> None:
    """Note that the run was started at ``now``, in seconds since 1970."""
    before = read_lines(folder / STARTS)
    write_text(folder / STARTS, "".join([*before, json.dumps({"started": now}) + "\n"]))


def goodput(folder: Path, entries: Iterable[Mapping[str, Any]], now: float) -> dict[str, float]:
    """Return what share of the time since the run was first started went into steps that count.

    Each step counts once, as it was computed last, without its stall. The rest went into starting and compiling,
    waiting for input, checkpoints and looks, steps that were lost with a process, and the time when none ran.

    Args:
        folder: of the run.
        entries: the run's metrics, a line a step.
        now: seconds since 1970.
    """
    first = json.loads(read_lines(folder / STARTS)[0])["started"]
    entries = list(entries)
    # The first step after a start compiles: it counts as long as the others.
    typical = statistics.median(entry["step_seconds"] for entry in entries)
    useful = sum(min(entry["step_seconds"], 2 * typical) * (1 - entry["input_stall"]) for entry in entries)
    whole = max(now - first, useful)
    return {"seconds": whole, "goodput": useful / whole, "starts": len(read_lines(folder / STARTS))}
