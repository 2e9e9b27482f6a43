"""Who of a job is there: asked before JAX meets, which ends the process without a word where one does not come.

Process 0 listens on the coordinator's port, the others say who they are, and all get the same answer. The port is free
again when JAX wants it.
"""

import json
import socket
import time
from collections.abc import Mapping

from octomed_jax.errors import TryAgain

MOST_BYTES = 1024  # of a line
GRACE_S = 5.0  # for the answer to come back


def take_census(address: str, count: int, process: int, seconds: float, hosts: Mapping[int, str]) -> None:
    """Return when all ``count`` processes are there.

    Args:
        address: host and port of the coordinator, which process 0 runs on.
        count, process: of the job, this one's number.
        seconds: how long the others may take.
        hosts: names of those whose host is known.

    Raises:
        TryAgain: one did not come; on every process that did, it names those that are missing.
    """
    if count == 1:
        return
    deadline = time.monotonic() + seconds
    missing = _listen(address, count, deadline) if process == 0 else _report(address, process, deadline)
    if missing:
        named = ", ".join(f"{number} ({hosts[number]})" if number in hosts else str(number) for number in missing)
        # Without process 0, which counts, nobody knows how many came.
        seen = "" if missing == [0] else f", saw {count - len(missing)}"
        raise TryAgain(
            f"expected {count} processes{seen}: process {named} did not come within {seconds:.0f} s; look at its host, "
            "then run the job again"
        )


def _listen(address: str, count: int, deadline: float) -> list[int]:
    """Collect reports until all are there or the time is over; tell everyone who is missing."""
    waiting: dict[int, socket.socket] = {}
    with socket.create_server(("", _parts(address)[1]), backlog=count) as server:
        while len(waiting) < count - 1 and (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            try:
                caller, _ = server.accept()
            except TimeoutError:
                break
            number = _number(caller, count)
            if number is None:
                caller.close()  # somebody else who tries ports
            else:
                waiting[number] = caller
        missing = sorted(set(range(1, count)) - waiting.keys())
        for caller in waiting.values():
            with caller:
                caller.sendall(json.dumps(missing).encode() + b"\n")
                caller.settimeout(GRACE_S)
                caller.recv(1)  # they hang up first, so that the port is free at once
    return missing


def _report(address: str, process: int, deadline: float) -> list[int]:
    """Say that this process is there, and return who is missing."""
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection(_parts(address), timeout=left) as caller:
                caller.sendall(f"{process}\n".encode())
                caller.settimeout(left + GRACE_S)
                return json.loads(_line(caller))
        except (OSError, ValueError):  # nobody listens yet, or it went away
            time.sleep(0.2)
    return [0]


def _number(caller: socket.socket, count: int) -> int | None:
    caller.settimeout(GRACE_S)
    try:
        number = int(_line(caller))
    except (OSError, ValueError):
        return None
    return number if 0 < number < count else None


def _line(caller: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < MOST_BYTES:
        piece = caller.recv(MOST_BYTES)
        if not piece:
            raise ConnectionError("hung up")
        line += piece
    return line


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
