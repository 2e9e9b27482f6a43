"""Being told to end: SIGTERM becomes a saved checkpoint and exit code 42, not a lost step."""

import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils


class StopRequest:
    """Watches for SIGTERM while the block runs.

    In a job of many processes JAX spreads the news and all of them agree on the step after which they stop.
    """

    def __init__(self) -> None:
        self._told = threading.Event()
        self._before: Any = None  # whatever handled SIGTERM before

    def __enter__(self) -> "StopRequest":
        # Signals can be handled in the main thread only; JAX's own handler serves jobs of many processes.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._told.set()

    def reached(self, step: int) -> bool:
        """Return whether to save and stop after ``step``; the same answer on all processes."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._told.is_set()
