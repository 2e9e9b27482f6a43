"""What watches over a run: updates that are not finite, losses out of line, and steps that never end."""

import faulthandler
import math
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from octomed_jax import progress
from octomed_jax.errors import StopAndLook, TryAgain

WINDOW = 100  # losses that a new one is compared with
FEWEST = 20  # below which nothing is compared
LEAST = 1e-9  # a loss that counts as none


class LossGuard:
    """Counts skipped updates and names losses that stand out."""

    def __init__(self, most_skipped: int, deviations: float):
        """Watch a run.

        Args:
            most_skipped: updates in a row that may be skipped because they were not finite.
            deviations: a loss whose logarithm is so many robust standard deviations above the median of the last
                hundred is a spike; 0: none is.
        """
        self._most_skipped, self._deviations = most_skipped, deviations
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._trouble = False

    def remember(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Take the lines of the steps before: what stands out does not depend on where a run was cut off."""
        skipped = 0
        for entry in entries:
            if entry["skipped"] == skipped and entry["loss"] is not None:
                self._losses.append(entry["loss"])
            skipped = entry["skipped"]

    def look(self, step: int, loss: float, skipped_in_row: int) -> bool:
        """Look at a step's loss; return whether it is a spike.

        Raises:
            StopAndLook: too many updates in a row were skipped.
        """
        if skipped_in_row:
            self._trouble = True
            progress.say(f"train: step {step} is skipped, its loss or gradient is not finite")
            if skipped_in_row > self._most_skipped:
                raise StopAndLook(
                    f"{skipped_in_row} updates in a row were not finite, up to step {step}; the last checkpoint is "
                    "from before them; lower train.peak_learning_rate or look at the data of these steps"
                )
            return False
        spike = self._is_spike(loss)
        if spike:
            self._trouble = True
            median = statistics.median(self._losses)
            progress.say(f"train: the loss of step {step}, {loss:.3f}, stands out (median of the last: {median:.3f})")
        self._losses.append(loss)
        return spike

    def quiet(self) -> bool:
        """Return whether nothing stood out since this was asked last."""
        trouble, self._trouble = self._trouble, False
        return not trouble

    def _is_spike(self, loss: float) -> bool:
        if not self._deviations or len(self._losses) < FEWEST:
            return False
        # Of logarithms: losses of small batches lean to the right, and what counts is how many times higher one is.
        losses = [math.log(max(one, LEAST)) for one in self._losses]
        median = statistics.median(losses)
        # 1.4826 median absolute deviations are a standard deviation where they are normal.
        spread = 1.4826 * statistics.median(abs(one - median) for one in losses)
        return math.log(max(loss, LEAST)) > median + self._deviations * max(spread, 1e-3)


class Watchdog:
    """Ends the process with 42 where no step ends in time: a lost peer leaves the others waiting for ever.

    All stacks are written to stderr and to ``stacks-PROCESS.txt`` first.
    """

    def __init__(self, folder: Path, process: int, seconds: float, first_seconds: float):
        """Watch while the block runs.

        Args:
            folder: for the stacks.
            process: this one's index.
            seconds: for a step.
            first_seconds: for the first one, which compiles.
        """
        self._path = folder / f"stacks-{process}.txt"
        self._seconds = seconds
        self._deadline = time.monotonic() + first_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def step_ended(self) -> None:
        """Begin to wait for the next step."""
        self._deadline = time.monotonic() + self._seconds

    def _watch(self) -> None:
        while not self._ended.wait(min(1.0, self._seconds / 4)):
            if time.monotonic() > self._deadline:
                self._give_up()

    def _give_up(self) -> None:
        with self._path.open("w") as file:
            faulthandler.dump_traceback(file, all_threads=True)
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
        print(
            f"octomed: no step ended in {self._seconds:.0f} s; the stacks of all threads lie in {self._path}; "
            "run the same command again",
            file=sys.stderr,
            flush=True,
        )
        # The main thread may wait in a collective that never returns: only the whole process can end.
        os._exit(TryAgain.exit_code)


def slowest(seconds: Mapping[str, float], factor: float = 2.0, least: float = 0.1) -> str | None:
    """Return the host that keeps the others waiting: ``factor`` times their median, and ``least`` seconds more.

    Args:
        seconds: host to the seconds a step that it spends on its own, not waiting for the others.
        factor, least: as above.
    """
    if len(seconds) < 2:
        return None
    name = max(seconds, key=lambda host: seconds[host])
    others = statistics.median(one for host, one in seconds.items() if host != name)
    return name if seconds[name] > max(factor * others, others + least) else None
