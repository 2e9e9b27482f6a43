"""Starts a job, looks at it, stops it and takes it down: by the back end's own commands, shown before they run."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax import progress
from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.launching import claim, record
from octomed_jax.launching.backends.base import Backend, Commands, LogOptions
from octomed_jax.launching.backends.table import backend
from octomed_jax.launching.code_state import CodeState
from octomed_jax.launching.image import image_digest
from octomed_jax.launching.placeholders import placeholders
from octomed_jax.launching.reach import WRITE_SECONDS, within
from octomed_jax.launching.record import Launch
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.state import RUNNING, UNKNOWN, WAITING, State
from octomed_jax.launching.tools import Ask, ask, need, work
from octomed_jax.storage import locked

LOCK = ".launch.lock"


def up(
    spec: JobSpec, place: Backend, folder: Path, config: Mapping[str, Any], code: CodeState, tools: Ask = ask
) -> Launch:
    """Render a job, keep a record of it, and start it.

    Args:
        spec: the job.
        place: where it runs.
        folder: for the rendered files; those of the same job are used again.
        config: of the job's command, resolved.
        code: that it is rendered from.
        tools: tell the digest of the image.

    Raises:
        UserError: the back end cannot do it, a name is still to be put in, a tool is missing, the work folder cannot be
            written, another folder looks after the job, or a command failed.
        TryAgain: another `up` works in the folder, the job waits or runs already, or a command ended with the exit code
            of it.
        StopAndLook: the record in the folder is damaged, or a command ended with the exit code of it.
    """
    if names := placeholders(spec, place):
        raise UserError(
            f"the launch config still holds {', '.join(names)}; put your own names there before you start it"
        )
    with locked(folder / LOCK):  # two at once would count the same start, and each would start the job
        return _up(spec, place, folder, config, code, tools)


def _up(spec: JobSpec, place: Backend, folder: Path, config: Mapping[str, Any], code: CodeState, tools: Ask) -> Launch:
    launch = record.next_launch(spec, place, folder)  # refuses the folder of another job before a file is written
    claim.refuse_claimed(spec, folder, launch.run_id)
    files = render(spec, place, folder)
    need(place.tools)
    _refuse_twice(launch, folder, tools)
    image = image_digest(spec.image, tools) if spec.image else ("", "the job has no image")
    if spec.image and not image[0]:
        progress.say(f"launch: the digest of {spec.image} is not known here, so the record holds its tag ({image[1]})")
    if code.commit == "unknown":
        progress.say("launch: the launch config lies in no git checkout, so the record holds no commit")
    if code.not_hashed:
        progress.say(
            f"launch: of {code.not_hashed} large file(s) that git does not know the record holds the size only"
        )
    commands = place.up(spec, folder)
    # Before the start: a work folder that cannot be written is found while nothing is paid for yet.
    within(
        WRITE_SECONDS,
        spec.workdir,
        lambda: record.write_record(launch, folder, files, config, code, image, commands),
    )
    claim.write_claim(spec, folder, launch.run_id)
    for words in commands:
        work(words, aside=True)
    return launch


def _refuse_twice(launch: Launch, folder: Path, tools: Ask) -> None:
    """Refuse to start what waits or runs already: a record would be kept of a start that is none.

    Raises:
        TryAgain: it does.
    """
    found = look(launch, folder, tools)
    if found.state in (WAITING, RUNNING):
        ours = f"`octomed launch stop --output={folder}` stops it" if launch.start > 1 else "choose another name"
        raise TryAgain(f"{launch.spec.name} is {found.state} already ({found.said}); wait for its end, or {ours}")
    if found.state == UNKNOWN:
        progress.say(f"launch: whether {launch.spec.name} runs already cannot be told ({found.said})")


def dry_run(commands: Commands) -> None:
    """Only show commands."""
    for words in commands:
        progress.say(f"$ {shlex.join(words)}")


def commands(launch: Launch, folder: Path, verb: str, options: LogOptions | None = None) -> Commands:
    """Return the commands of ``status``, ``stop``, ``down`` or ``logs`` for a job that was started.

    Raises:
        UserError: the back end has none for these options.
    """
    place = backend(launch.backend)
    if verb == "logs":
        return place.logs(launch.spec, folder, options or LogOptions())
    return getattr(place, verb)(launch.spec, folder)


def look(launch: Launch, folder: Path, tools: Ask = ask) -> State:
    """Return how a job that was started is, with what its back end said."""
    place = backend(launch.backend)
    return place.read_state(launch.spec, [tools(words) for words in place.ask_state(launch.spec, folder)])


def job_state(launch: Launch, folder: Path, tools: Ask = ask) -> str:
    """Return how a job that was started is, as a program wants it: one of ``state.STATES``.

    waiting: in a queue, or its machines are not all there, not yet or not again. running: they work, or are saving.
    done: ended with 0. failed: ended by itself otherwise. stopped: somebody asked for it. gone: the back end knows no
    such job, or knows it no longer. unknown: it could not be told; ``look`` has the words of the tool.
    """
    return look(launch, folder, tools).state


def run(launch: Launch, folder: Path, verb: str, options: LogOptions | None = None, aside: bool = False) -> None:
    """Run these commands; a job that was taken down is forgotten.

    Args:
        launch: the start.
        folder: of its rendered files.
        verb: one of ``commands``.
        options: of ``logs``.
        aside: what the tools say goes to standard error.

    Raises:
        UserError: a tool is missing, or a command failed.
        TryAgain, StopAndLook: it ended with the exit code of these.
    """
    need(backend(launch.backend).tools)
    failed = []
    for words in commands(launch, folder, verb, options):
        try:  # what cannot be asked or removed must not hide the rest
            work(words, aside=aside)
        except (UserError, TryAgain, StopAndLook) as error:
            failed.append(error)
    if failed:
        raise failed[0]
    if verb == "down":
        claim.release(launch.spec, launch.run_id)
        record.forget(folder)
