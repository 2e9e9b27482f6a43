"""Runs the stage ``train`` of a point as a job of a launch back end, and finds it again after a kill.

    DIR/jobs/train-HASH/             rendered files and ``launch.json``: what was launched, until it is taken down
    DIR/jobs/train-HASH-STEP/        the same, of a run that is to wait at that step
    DIR/logs/train-HASH.log          the end of what it printed, fetched when it has ended
    WORKDIR/stages/train-HASH/       what it writes, where the launch config's work folder is

``launch.json`` is written before the job is started and goes when it is taken down. So one that is there is looked at
and not launched twice. What a job has done is read from what it wrote, and only how it failed from its back end.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from etils import epath

from octomed_jax import manifests, progress
from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.launching import control, record
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.measured import METADATA
from octomed_jax.launching.record import Launch
from octomed_jax.launching.tools import Ask, ask
from octomed_jax.sweeps.train_spec import Place, Training, job_spec
from octomed_jax.training.metrics import read_metrics

JOBS = "jobs"
ENDINGS = (UserError, TryAgain, StopAndLook)
GOES_ON = ("waiting", "running")
SECONDS_HERE, SECONDS_ELSEWHERE = 1.0, 30.0  # between two looks: at this machine, and at what others run
LINGERS_SECONDS = 120.0  # that a job may take to leave once its work is done
MOST_UNKNOWN = 20  # looks in a row that tell nothing
MOST_GONE = 3  # looks in a row that do not find it: some back ends list a new job late
LOG_LINES = 1000
FAILED = 1  # exit code of a job whose own is not known here

# Says how a launched job is: waiting, running, done, failed, stopped, gone or unknown (launching.control.job_state).
Look = Callable[[Launch, Path], str]


class TrainJob:
    """One training as a job: begin it or find it again, ``poll`` for its exit code, ``stop`` it so that it saves."""

    def __init__(
        self, place: Place, root: Path, training: Training, look: Look, tools: Ask = ask, seconds: float | None = None
    ):
        """Launch a training, or find the job that does it. A job that cannot start has ended; ``poll`` tells how.

        Args:
            place: where jobs run.
            root: folder of the sweep.
            training: what the job is to do.
            look: says how a launched job is.
            tools: tell the digest of its image, and fetch its log.
            seconds: between two looks; None: few for this machine, more for what others run.
        """
        self._place, self._root, self._training = place, root.absolute(), training
        self._look, self._tools = look, tools
        here = SECONDS_HERE if place.backend.name == "local" else SECONDS_ELSEWHERE
        self._seconds = here if seconds is None else seconds
        self._next, self._unknown, self._gone = 0.0, 0, 0
        self._done_since: float | None = None
        self._stopped = False
        self._code: int | None = None
        self._launch: Launch | None = None
        self._folder = job_folder(self._root, training)
        try:
            self._launch = self._begin()
        except (*ENDINGS, OSError) as error:
            progress.say(f"  {training.point}: {' '.join(str(error).split())}")
            self._code = TryAgain.exit_code if isinstance(error, OSError) else error.exit_code

    def poll(self) -> int | None:
        """Return the exit code of the training, None as long as it goes on.

        What is done is 0, stopped or gone is 42 (try again), and failed is the job's own code where that is known.
        """
        if self._code is not None or self._launch is None:
            return self._code
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + self._seconds
        self._code = self._ended(self._launch)
        return self._code

    def stop(self) -> None:
        """Ask the job to save and end; the next one goes on from there. Asked again, it still has its grace to save."""
        if self._launch is None or self._code is not None or self._stopped:
            return
        self._stopped = True
        try:
            command(self._launch, self._folder, "stop")
        except ENDINGS as error:
            progress.say(f"  {self._training.point} could not be stopped: {error}")

    def _begin(self) -> Launch | None:
        spec = job_spec(self._place, self._training)
        if record.is_launched(self._folder):
            launch = record.read_launch(self._folder)
            state = self._look(launch, self._folder)
            if state in (*GOES_ON, "unknown") or is_reached(launch.spec.workdir, self._training.until):
                progress.say(f"  {launch.spec.name}: launched before ({launch.run_id}), now {state}")
                return launch
            # What has failed does not begin again by itself everywhere, and another job is not the one that is there.
            if state in ("done", "failed") or (launch.backend, launch.spec) != (self._place.backend.name, spec):
                command(launch, self._folder, "down")
        elif is_reached(spec.workdir, self._training.until):
            self._code = 0  # taken down, and killed before anybody was told
            return None
        if not record.is_launched(self._folder):
            shutil.rmtree(self._folder, ignore_errors=True)  # rendered files of a job that is no more
        config = record.command_config(spec, self._place.roots)
        return control.up(spec, self._place.backend, self._folder, config, self._place.code, self._tools)

    def _ended(self, launch: Launch) -> int | None:
        """Return the exit code, None as long as the job goes on."""
        reached = False
        try:
            state = self._look(launch, self._folder)
            # After the state: what a job has written is there once it has ended.
            reached = is_reached(launch.spec.workdir, self._training.until)
        except (*ENDINGS, OSError) as error:  # a cluster or a bucket that does not answer now may do so later
            progress.say(f"  {launch.spec.name}: {' '.join(str(error).split())}")
            state = "unknown"
        if reached:
            return None if state in GOES_ON and self._lingers() else self._leave(launch, 0)
        self._gone = self._gone + 1 if state == "gone" else 0
        self._unknown = self._unknown + 1 if state == "unknown" else 0
        if state in GOES_ON or 0 < self._unknown < MOST_UNKNOWN or 0 < self._gone < MOST_GONE:
            return None
        if state == "unknown":
            progress.say(f"  {launch.spec.name}: its state is not known; it is left as it is, and looked at next time")
            return TryAgain.exit_code
        if state == "stopped":
            return TryAgain.exit_code  # the record stays: the next start goes on
        if state == "done":
            progress.say(f"  {launch.spec.name} ended, but {launch.spec.workdir} holds no finished training")
        code = {"failed": exit_code(self._folder), "gone": TryAgain.exit_code}.get(state, FAILED)
        return self._leave(launch, code)

    def _lingers(self) -> bool:
        """Return whether a job whose work is done may still take its time to leave."""
        if self._done_since is None:
            self._done_since = time.monotonic()
        return time.monotonic() - self._done_since < LINGERS_SECONDS

    def _leave(self, launch: Launch, code: int) -> int:
        keep_log(launch, self._folder, self._root / "logs" / f"{self._training.key}.log", self._tools)
        take_down(launch, self._folder)
        return code


def job_folder(root: Path, training: Training) -> Path:
    """Return the folder of a job's rendered files."""
    return root / JOBS / (training.key + (f"-{training.until}" if training.until else ""))


def is_reached(workdir: str, until: int = 0) -> bool:
    """Return whether a training is finished, or has come to the step at which it waits: saved, with its metrics."""
    folder = epath.Path(workdir)
    if manifests.is_finished(folder):
        return True
    if not until or not any(step >= until for step in _saved_steps(folder / "checkpoints")):
        return False
    metrics = folder / "metrics.jsonl"
    return metrics.exists() and any(entry["step"] >= until for entry in read_metrics(metrics))


def _saved_steps(checkpoints: epath.Path) -> Iterator[int]:
    """Yield the steps of the checkpoints that are whole."""
    for step in checkpoints.iterdir() if checkpoints.exists() else []:
        facts = step / METADATA
        if step.name.isdigit() and facts.exists():
            with contextlib.suppress(ValueError):  # it is being written
                if json.loads(facts.read_text()).get("commit_timestamp_nsecs"):
                    yield int(step.name)


def exit_code(folder: Path) -> int:
    """Return the exit code that a failed job has left beside its rendered files, or 1 where its back end keeps none."""
    logs = folder / "logs"
    whole = [logs / "exit"] if (logs / "exit").exists() else sorted(logs.glob("rank-*.exit"))
    codes = [int(path.read_text()) for path in whole]
    # The most serious of several processes decides, as in a launch.
    return next((code for code in (43, 2, 1) if code in codes), next((code for code in codes if code), FAILED))


def keep_log(launch: Launch, folder: Path, log: Path, tools: Ask = ask) -> None:
    """Append the end of what a job printed to ``log``, as far as its back end can tell it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(f"{launch.run_id}, start {launch.start} of {launch.at} by {launch.backend}:\n")
        for words in control.commands(launch, folder, "logs", LogOptions(tail=LOG_LINES)):
            answer = tools(words)
            file.write(f"{answer.out}\n" if not answer.code else f"its log could not be fetched: {answer.why}\n")


def command(launch: Launch, folder: Path, verb: str) -> None:
    """Stop or take down a job, as `octomed launch` does; what the tools say goes to standard error.

    Raises:
        UserError: a tool is missing, or a command failed.
        TryAgain, StopAndLook: it ended with the exit code of these.
    """
    control.run(launch, folder, verb, aside=True)


def take_down(launch: Launch, folder: Path) -> None:
    """Remove what a job's start made; what cannot be removed is named, and does not stop the sweep."""
    try:
        command(launch, folder, "down")
    except ENDINGS as error:
        progress.say(
            f"  {launch.spec.name} could not be taken down ({error}); it may still cost: "
            f"`octomed launch down --output={folder} --yes`"
        )


def take_down_finished(root: Path, tools: Ask = ask) -> list[str]:
    """Take down jobs whose training is done, of a sweep that was killed just then; return their names."""
    names = []
    for path in sorted((root.absolute() / JOBS).glob(f"train-*/{record.LAUNCH}")):
        launch = record.read_launch(path.parent)
        options = dict(option.partition("=")[::2] for option in launch.spec.command.options)
        if is_reached(launch.spec.workdir, int(options.get("until", 0))):
            stage = Path(launch.spec.workdir).name
            keep_log(launch, path.parent, root / "logs" / f"{stage}.log", tools)
            take_down(launch, path.parent)
            names.append(launch.spec.name)
    return names
