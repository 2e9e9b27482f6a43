"""A trace of a few steps, for xprof or TensorBoard."""

import re
from pathlib import Path
from typing import Any

import jax

from octomed_jax import progress
from octomed_jax.errors import UserError


class Profile:
    """Traces ``count`` steps from ``first`` on into ``folder``."""

    def __init__(self, folder: Path, first: int, count: int):
        self.folder, self.first, self.count = folder, first, count

    def check(self, done: int, steps: int) -> None:
        """Refuse steps that this run will not compute.

        Raises:
            UserError: they are done already, or come after its last.
        """
        if not done < self.first <= steps - self.count + 1:
            raise UserError(
                f"--profile={self.first}:{self.count} asks for steps that this run does not compute: it goes from "
                f"{done + 1} to {steps}"
            )

    def step_begins(self, step: int) -> None:
        """Start before the first of the steps."""
        if step == self.first:
            jax.profiler.start_trace(str(self.folder))

    def step_sent(self, step: int, result: Any) -> None:
        """Stop after the last of them has ended on the devices."""
        if step == self.first + self.count - 1:
            jax.block_until_ready(result)
            jax.profiler.stop_trace()
            progress.say(f"train: a trace of {self.count} steps lies in {self.folder}; tensorboard or xprof shows it")


def parse_span(text: str) -> tuple[int, int]:
    """Read ``STEP:N``.

    Raises:
        UserError: it is not that.
    """
    found = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", text)
    if not found:
        raise UserError(f"--profile={text!r} must be STEP:N, such as 10:3 for three steps from the tenth on")
    return int(found[1]), int(found[2])
