"""What a back end is: a job as files, a check of these files without a network, and its own commands.

Nothing here starts anything. A back end says which command line does what; ``control.py`` prints and runs it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.state import State
from octomed_jax.launching.tools import Answer

Files = Mapping[str, str]  # file name -> text, all in one folder


@dataclasses.dataclass(frozen=True)
class LogOptions:
    """Which lines of a job's log are wanted.

    Attributes:
        rank: of one process; None: of all.
        tail: the last lines only; 0: all.
        since: not older, such as ``10m`` or ``2h``; empty: all.
        follow: go on as lines come.
    """

    rank: int | None = None
    tail: int = 0
    since: str = ""
    follow: bool = False


# A command is words, never a line for a shell.
Commands = Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Backend:
    """One place where jobs run.

    Attributes:
        name: what ``--backend`` calls it.
        files: the job as files. Raises UserError where the back end cannot do the spec, and names the field.
        check: looks at the files without a network. Raises UserError for what the back end's own schema or parser
            refuses, with file and place.
        tools: programs that its commands need on PATH.
        up: the commands that start the job from the folder of its files.
        status, stop, down: the commands for a job that was started. ``stop`` lets it save a checkpoint and can be
            followed by ``up`` again; ``down`` removes all that ``up`` made, and nothing in the work folder.
        logs: the commands that show its log. Raises UserError for options that the back end does not have.
        ask_state: the commands whose output tells a program how a job is; all are asked.
        read_state: what their answers say, in the order of the commands, in a word that is the same for all back ends.
        removed: what ``down`` removes, a line each, for a person to read first.
        teacher_aside: a teacher has machines of its own; otherwise each host of the job serves its own.
    """

    name: str
    files: Callable[[JobSpec], Files]
    check: Callable[[Files], None]
    tools: tuple[str, ...]
    up: Callable[[JobSpec, Path], Commands]
    status: Callable[[JobSpec, Path], Commands]
    stop: Callable[[JobSpec, Path], Commands]
    down: Callable[[JobSpec, Path], Commands]
    logs: Callable[[JobSpec, Path, LogOptions], Commands]
    ask_state: Callable[[JobSpec, Path], Commands]
    read_state: Callable[[JobSpec, Sequence[Answer]], State]
    removed: Callable[[JobSpec], Sequence[str]]
    teacher_aside: bool = True
