"""Work on a folder that may lie in a bucket, with an end: what cannot be reached is said, not tried for long."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.storage import PathLike, in_bucket

READ_SECONDS, WRITE_SECONDS = 30.0, 300.0
LOUD = ("gcsfs", "google", "asyncio")  # they log a traceback of each try
CLIENTS = ("gcsfs", "google", "aiohttp", "fsspec", "requests", "urllib3")


class UnreachableError(UserError):
    """A bucket cannot be reached from here."""


def within(seconds: float, where: PathLike, action: Callable[[], Any]) -> Any:
    """Return what ``action`` returns; for a bucket, within so many seconds.

    Args:
        seconds: the limit.
        where: the folder it works on.
        action: the work.

    Raises:
        UnreachableError: the bucket did not answer in time, or its client failed.
    """
    if not in_bucket(where):
        return action()
    told: list[tuple[Any, BaseException | None]] = []

    def work() -> None:
        try:
            told.append((action(), None))
        except BaseException as error:
            told.append((None, error))

    levels = {name: logging.getLogger(name).level for name in LOUD}
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # A daemon: what its client goes on trying does not keep this program from its end.
    thread = threading.Thread(target=work, name="reach", daemon=True)
    thread.start()
    thread.join(seconds)
    if not told:
        raise UnreachableError(
            f"{where} did not answer within {seconds:.0f} s; look at the network and `gcloud auth "
            "application-default login`, and whether the bucket is there"
        )
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    result, error = told[0]
    if error is None:
        return result
    client = isinstance(error, (OSError, ImportError)) or type(error).__module__.partition(".")[0] in CLIENTS
    if client:
        raise UnreachableError(f"{where} cannot be reached from here ({' '.join(str(error).split())})") from error
    raise error
