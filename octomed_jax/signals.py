"""Being asked to end, as an exception: what a block holds is released on the way out."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from octomed_jax.errors import TryAgain


@contextlib.contextmanager
def sigterm_raised() -> Iterator[None]:
    """Turn the first SIGTERM into TryAgain while the block runs (in the main thread, the only one that may)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ended(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut the way out short
        raise TryAgain("asked to end; run the same command again to go on")

    before = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
