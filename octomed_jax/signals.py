"""Being asked to end, as an exception: what a block holds is released on the way out."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from octomed_jax.errors import TryAgain


@contextlib.contextmanager
def sigterm_raised() -> Iterator[None]:
    """Turn the first SIGTERM into TryAgain while the block runs (in the main thread, the only one that may)."""
    with signals_raised((signal.SIGTERM,), TryAgain("asked to end; run the same command again to go on")):
        yield


@contextlib.contextmanager
def signals_raised(numbers: Sequence[int], error: BaseException) -> Iterator[None]:
    """Raise ``error`` at the first of these signals while the block runs (in the main thread alone)."""

    def ended(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)  # a second one must not cut the way out short
        raise error

    with _handled(numbers, ended):
        yield


@contextlib.contextmanager
def signals_ignored(numbers: Sequence[int]) -> Iterator[None]:
    """Ignore these signals while the block runs (in the main thread alone)."""
    with _handled(numbers, signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _handled(
    numbers: Sequence[int], handler: Callable[[int, FrameType | None], None] | signal.Handlers
) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
