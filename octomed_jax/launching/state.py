"""How a job is, in one word that is the same for all back ends. What cannot be told is unknown, never guessed."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from octomed_jax.launching.tools import Answer

WAITING = "waiting"  # in a queue, or its machines are not all there: not yet, or not again
RUNNING = "running"  # its machines work, or are saving
DONE = "done"  # ended with 0
FAILED = "failed"  # ended by itself otherwise, and nothing starts it again but a person
STOPPED = "stopped"  # ended because somebody asked for it; `up` goes on
GONE = "gone"  # the back end knows no such job, or knows it no longer
UNKNOWN = "unknown"  # it could not be asked, or said what no reader knows
STATES = (WAITING, RUNNING, DONE, FAILED, STOPPED, GONE, UNKNOWN)


@dataclasses.dataclass(frozen=True)
class State:
    """How a job is.

    Attributes:
        state: one of STATES.
        said: what the back end said, in its own words.
    """

    state: str
    said: str


# Of the answers to a back end's questions, in their order.
ReadState = Callable[[Sequence[Answer]], State]


def refused(answer: Answer) -> State:
    """Return that it cannot be told, with the words of a tool that failed."""
    return State(UNKNOWN, answer.why)


def parsed(answer: Answer) -> Any:
    """Return the JSON of an answer, whatever words a tool puts before it; None: there is none."""
    lines = answer.out.splitlines()
    first = next((number for number, line in enumerate(lines) if line[:1] in ("{", "[")), None)
    if first is None:
        return None
    try:
        return json.loads("\n".join(lines[first:]))
    except ValueError:
        return None


def named(value: str, states: Mapping[str, str]) -> State:
    """Return the state that a tool's own word stands for."""
    return State(states.get(value, UNKNOWN), value or "no state")
