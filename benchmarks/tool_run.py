"""Runs a command-line tool to its end and says what it took: seconds, those of the processor, and memory."""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

LOOK_EVERY = 0.4  # seconds between two looks at the memory
SIZES = re.compile(r"^(Rss|Private_Clean|Private_Dirty): +(\d+) kB", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class ToolRun:
    """When a tool ran, on the monotonic clock; the seconds of the processor and the peak of all its processes."""

    start: float
    end: float
    cpu_seconds: float
    peak_bytes: int


def below(root: int) -> set[int]:
    """Return a process and everything below it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue  # it ended while we looked
    found, new = set(), {root}
    while new:
        found |= new
        new = {child for child, parent in parents.items() if parent in new}
    return found


def tree_memory(root: int) -> int:
    """Return the bytes of a process and everything below it.

    Counted are the private pages of all, and the shared ones of the process that has most: what processes share after
    a fork counts once, and what they share with others on this machine, such as libraries, counts too.
    """
    private, most_shared = 0, 0
    for process in below(root):
        try:
            sizes = dict(SIZES.findall(Path(f"/proc/{process}/smaps_rollup").read_text()))
        except OSError:
            continue  # it ended while we looked
        own = int(sizes.get("Private_Clean", 0)) + int(sizes.get("Private_Dirty", 0))
        private += own
        most_shared = max(most_shared, int(sizes.get("Rss", 0)) - own)
    return (private + most_shared) * 1024


def run_tool(
    command: Sequence[str],
    folder: Path,
    log: Path,
    most_seconds: float,
    look: Callable[[int], None] = lambda _: None,
) -> ToolRun:
    """Run a tool in ``folder``, with what it says in ``log``; a tool that fails, or takes too long, ends everything.

    ``look`` is called now and then, with the number of its process.
    """
    peak, stop = 0, threading.Event()
    start = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file, start_new_session=True)

    def watch() -> None:
        nonlocal peak
        while not stop.wait(LOOK_EVERY):
            peak = max(peak, tree_memory(process.pid))
            look(process.pid)
            if time.monotonic() - start > most_seconds:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)  # of it and of all that it waited for
    end = time.monotonic()
    process.returncode = os.waitstatus_to_exitcode(status)
    stop.set()
    watcher.join()
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{tail}")
    peak = max(peak, usage.ru_maxrss * 1024)  # of one that ended before we looked
    return ToolRun(start, end, usage.ru_utime + usage.ru_stime, peak)
