"""Where works of a sweep run: what every runner can do, and the one for this machine, a process a work."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from octomed_jax.errors import TryAgain
from octomed_jax.launching.process import LocalProcess
from octomed_jax.storage import Locked
from octomed_jax.sweeps.expand import Point
from octomed_jax.sweeps.stages import Work

# The octomed of the very environment that runs the sweep.
OCTOMED = (sys.executable, "-m", "octomed_jax.cli.main")


@dataclasses.dataclass(frozen=True)
class Task:
    """A work that is to run now.

    Attributes:
        work: the work.
        point: the first point in the sweep that needs it; its config is given to the command.
        number: of that point in the sweep, from 0.
        words: the whole command after ``octomed``.
        folders: earlier stage to the folder that is read.
        output: the folder that it writes.
        log: where what it prints goes.
        lock: file that is held as long as it runs.
    """

    work: Work
    point: Point
    number: int
    words: tuple[str, ...]
    folders: dict[str, str]
    output: str
    log: Path
    lock: Path


class Running(Protocol):
    """A work that was started."""

    def poll(self) -> int | None:
        """Return the exit code of ``octomed``, None as long as it runs. Never waits."""

    def stop(self) -> None:
        """Ask it to save and end; asked a second time, it ends at once."""


class Runner(Protocol):
    """Starts works. One that was started before the sweep was killed is found again, and not started a second time."""

    home: str  # the folder in whose ``stages`` the works' folders lie

    def start(self, task: Task) -> Running:
        """Start a work, or find it where it runs."""


class LocalRunner:
    """Runs each work as a process of this machine."""

    def __init__(self, root: Path, octomed: Sequence[str] = OCTOMED):
        """Prepare; ``root`` is the sweep's folder, ``octomed`` the command, for tests."""
        self.home, self._octomed = str(root), tuple(octomed)

    def start(self, task: Task) -> Running:
        """Start the process, or wait for the one that a killed sweep has left."""
        return _LocalRun((*self._octomed, *task.words), task.log, task.lock)


class _LocalRun:
    """A process; or one of a sweep that was killed, whose command is given again when it has ended.

    How that one ended nobody was told. The command goes on where it was, and ends at once if all is done.
    """

    def __init__(self, command: Sequence[str], log: Path, lock: Path):
        self._command, self._log, self._lock = command, log, lock
        self._process: LocalProcess | None = None
        self._stopped = False
        self._try()

    def _try(self) -> None:
        try:
            self._process = LocalProcess(self._command, self._log, self._lock)
        except Locked:
            self._process = None  # it still runs

    def poll(self) -> int | None:
        if self._process is None and self._stopped:
            return TryAgain.exit_code  # it is no child of ours, and goes on
        if self._process is None:
            self._try()
        return self._process.poll() if self._process else None

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill() if self._stopped else self._process.terminate()
        self._stopped = True
