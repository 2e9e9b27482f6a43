"""What a person sees while a command runs: a progress line with an ETA, plain lines where there is no terminal."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")

# Progress goes to stderr, so that --json on stdout stays machine readable.
console = Console(stderr=True, highlight=False, soft_wrap=True)


class Bar:
    """One bar: ``advance`` it, and ``note`` what stands beside it."""

    PLAIN_SECONDS = 15.0

    def __init__(self, title: str, total: int, unit: str, done: int = 0):
        self.title, self.total, self.unit = title, total, unit
        self.first, self.done, self.noted = done, done, ""
        self._last = time.monotonic()
        self._since: tuple[float, int] | None = None  # when the first units were done, and what was done then
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def advance(self, count: int = 1) -> None:
        """Count ``count`` more units as done."""
        self.done += count
        if self._since is None:
            self._since = time.monotonic(), self.done
        self._show()

    def note(self, text: str) -> None:
        """Set the text at the end of the line, such as a loss."""
        self.noted = text
        self._show()

    def _show(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self.done, note=self.noted)
        elif time.monotonic() - self._last >= self.PLAIN_SECONDS:
            self._last = time.monotonic()
            line = f"  {self.title}: {self.done}/{self.total} {self.unit}{self._left()}  {self.noted}"
            console.print(line.rstrip(), markup=False)

    def _left(self) -> str:
        """Return how long the rest will take, as the units after the first: that one may compile things first."""
        if self._since is None or self._since[1] == self.done:
            return ""
        start, done = self._since
        return f", about {duration((self._last - start) / (self.done - done) * (self.total - self.done))} left"


def duration(seconds: float) -> str:
    """Return a time as a person says it: ``40 s``, ``12 min``, ``13 h 18 min``, ``5 d 3 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


@contextmanager
def bar(title: str, total: int, unit: str = "", done: int = 0) -> Iterator[Bar]:
    """Show a progress line with an ETA while the block runs; a line every 15 s where stderr is no terminal.

    ``done`` units were finished by an earlier run.
    """
    line = Bar(title, total, unit, done)
    if not sys.stderr.isatty():
        yield line
        return
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        line._progress = progress
        line._task = progress.add_task(title, total=total, completed=done, note="")
        yield line


def track(items: Iterable[T], title: str, total: int, unit: str = "") -> Iterator[T]:
    """Yield ``items`` with a progress line."""
    with bar(title, total, unit) as line:
        for item in items:
            yield item
            line.advance()


def say(text: str) -> None:
    """Print one plain line for the person watching."""
    console.print(text, markup=False)
