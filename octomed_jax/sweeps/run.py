"""Runs the works of a sweep, at most so many at once; what is finished is never repeated.

DIR/sweep.json              the definition: config file, and per point id, changes and hash of the config
DIR/stages/STAGE-HASH/      the folder of a stage, shared by all points that ask for exactly it
DIR/runs/ID/run.json        how a point ended, and which folders are its own
DIR/status/STAGE-HASH.json  how the last try of a stage ended
DIR/status/works.json       which works each point needs
DIR/logs/STAGE-HASH.log     what it printed
DIR/locks/STAGE-HASH        held by the process of the stage, also where the sweep was killed
DIR/decisions.jsonl         early stopping: each decision with what it rests on
"""

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax import configuration, storage
from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.progress import Bar, bar, say
from octomed_jax.signals import sigterm_raised
from octomed_jax.storage import locked
from octomed_jax.sweeps.check_rule import check_rule
from octomed_jax.sweeps.decisions import add_decisions, read_curve
from octomed_jax.sweeps.definition import DEFINITION, write_definition
from octomed_jax.sweeps.expand import Point, Sweep
from octomed_jax.sweeps.folders import Folders
from octomed_jax.sweeps.processes import LocalRunner, Runner, Running, Task
from octomed_jax.sweeps.records import record_of, steps_of, works_record
from octomed_jax.sweeps.schedule import DONE, FAILED, MOST_TRIES, STOPPED, WAITING, Schedule
from octomed_jax.sweeps.stages import (
    READS,
    SAMPLE,
    TOLD_BY_SHARD,
    Given,
    Work,
    attempts_of,
    field,
    step_of,
    words_of,
    works_of,
)
from octomed_jax.sweeps.stopping import Curve, Rule

SAVING_SECONDS = 600.0  # that works may take to save and end, where the sweep was asked to end


@dataclasses.dataclass(frozen=True)
class How:
    """How the works of a sweep are run.

    Attributes:
        at_once: so many at a time.
        given: stages that were made elsewhere.
        rule: of early stopping; None: every run goes to its end.
        runners: stage to who runs it, where that is not this machine.
        extend: points may be added to a sweep that is there.
        poll_seconds: between two looks at what runs.
        again_seconds: before a work is tried again, the first time; then twice and three times as long.
    """

    at_once: int = 1
    given: Mapping[str, Given] = dataclasses.field(default_factory=dict)
    rule: Rule | None = None
    runners: Mapping[str, Runner] = dataclasses.field(default_factory=dict)
    extend: bool = False
    poll_seconds: float = 0.2
    again_seconds: float = 10.0


def run_sweep(
    sweep: Sweep,
    output: storage.PathLike,
    how: How | None = None,
    local: Runner | None = None,
) -> dict[str, dict[str, Any]]:
    """Run what is not finished in ``output``; return point id to its ``run.json``, in the order of the sweep.

    A failed stage fails the points that need it, and does not stop the others. Killed at any time, the same call goes
    on. What failed is tried again by the next call.

    Args:
        sweep: the points.
        output: folder of the sweep.
        how: how they are run.
        local: runs the works of this machine, for tests.

    Raises:
        UserError: ``output`` holds another sweep, or something else; or a config's stages cannot be run.
        TryAgain: another process still works in ``output``; or this one was asked to end, and passed that on.
    """
    how = how or How()
    if how.at_once < 1:
        raise UserError(f"--at-once={how.at_once}: at least 1")
    root = Path(output)
    rungs = how.rule.rungs if how.rule else ()
    plans = plans_of(sweep, how.given, rungs)
    if how.rule:
        check_rule(how.rule, {point.id: point.config for point in sweep.points})
    stopping = dataclasses.asdict(how.rule) if how.rule else None
    with contextlib.ExitStack() as held:
        if how.extend and (root / DEFINITION).exists():  # it is read and written again, which two must not do at once
            held.enter_context(locked(root / ".lock"))
            whole = write_definition(sweep, root, stopping, extend=True)
        else:  # a folder of something else is refused before anything is written into it
            whole = write_definition(sweep, root, stopping, how.extend)
            held.enter_context(locked(root / ".lock"))
        plans = {point.id: plans[point.id] for point in whole.points}
        return _Run(whole, root, how, local or LocalRunner(root), plans).work()


def plans_of(sweep: Sweep, given: Mapping[str, Given], rungs: tuple[int, ...] = ()) -> dict[str, tuple[Work, ...]]:
    """Return the works of every point.

    Raises:
        UserError: as ``works_of``, with the point; or attempts are given that no point reads.
    """
    if SAMPLE in given and not any(attempts_of(point.config) == "student" for point in sweep.points):
        raise UserError(
            f"--student-attempts={given[SAMPLE].folder} is read by no point: none has the curation step 'difficulty' "
            "with config.curate.difficulty.by='student'; leave it out"
        )
    plans = {}
    for point in sweep.points:
        try:
            plans[point.id] = works_of(point.config, given, rungs)
        except UserError as error:
            raise UserError(f"{point.id}: {error}") from error
    return plans


class _Run:
    """A sweep that is being run."""

    def __init__(self, sweep: Sweep, root: Path, how: How, local: Runner, plans: Mapping[str, tuple[Work, ...]]):
        self._root, self._how = root, how
        self._folders = Folders(root, local, how.runners, {one.folder for one in how.given.values()})
        self._points = {point.id: point for point in sweep.points}
        self._order = list(self._points)
        self._schedule = Schedule(plans)
        self._running: dict[str, Running] = {}
        self._not_before: dict[str, float] = {}  # of a work that is tried again
        self._curves: dict[str, Curve] = {}
        self._records: dict[str, dict[str, Any]] = {}
        self._bar: Bar | None = None

    def work(self) -> dict[str, dict[str, Any]]:
        """Do all there is to do; return the records of the points."""
        works = self._schedule.works
        storage.write_json(self._folders.works, works_record(self._schedule, self._folders))
        for name, work in works.items():
            if self._folders.is_done(work):
                self._schedule.end(name, 0)
        before = len(works) - len(self._schedule.unfinished())
        self._forget_records()
        with bar("sweep", len(works), "stages", before) as line, sigterm_raised():
            self._bar = line
            try:
                self._go_on()
                while self._schedule.unfinished():
                    self._start_some()
                    self._look()
            except BaseException as error:
                self._stop_all()
                if isinstance(error, TryAgain) and self._running:
                    raise TryAgain(
                        f"asked to end: told {len(self._running)} stages to save and end; run the same command again "
                        "to go on"
                    ) from error
                raise
        return {point: self._records[point] for point in self._order}

    # -------------------------------------------------------------------------------------------- starting and ending

    def _start_some(self) -> None:
        """Start what there is room for."""
        ready = self._schedule.ready() if len(self._running) < self._how.at_once else []
        now = time.monotonic()
        for name in ready:
            if len(self._running) == self._how.at_once:
                return
            if self._not_before.get(name, 0.0) <= now:
                self._start(name)
        if not self._running and not ready:
            raise StopAndLook(
                f"{self._root}: no decision of early stopping can be made, for which "
                f"{len(self._schedule.unfinished())} stages wait; look at the metrics.jsonl of its runs"
            )

    def _start(self, name: str) -> None:
        work = self._schedule.works[name]
        owners = self._schedule.owners[name]
        point = self._points[owners[0]]
        more = f" and {len(owners) - 1} more" if len(owners) > 1 else ""
        say(f"{name}: for {point.id}{more}")
        self._schedule.start(name)
        runner = self._folders.runner(work)
        self._running[name] = runner.start(self._task(work, point))

    def _task(self, work: Work, point: Point) -> Task:
        folders = {stage: self._folders.stage(stage, key) for stage, key in work.inputs.items()}
        step = step_of(work, steps_of(folders["train"])) if work.stage == "export" and work.parts else 0
        output = self._folders.stage(work.stage, work.key)
        head, *rest = words_of(work, output, folders, step)
        verb = [head] if not rest or rest[0].startswith("--") else [head, rest.pop(0)]
        config = [f"--config={point.spec}", *(f"--config.{one}" for one in overrides_for(work, point))]
        if work.stage == "verify":
            # Where a judge's replies are kept; nothing else lies there.
            config.append(f"--config.run={self._root / 'judge' / work.key}")
        return Task(
            work=work,
            point=point,
            number=self._order.index(point.id),
            words=(*verb, *config, *rest),
            folders=folders,
            output=output,
            log=self._folders.log(work),
            lock=self._folders.lock(work),
        )

    def _look(self) -> None:
        """Look at what runs, and note what has ended."""
        time.sleep(self._how.poll_seconds)
        for name, running in list(self._running.items()):
            code = running.poll()
            if code is not None:
                del self._running[name]
                self._ended(name, code)
        if self._bar:
            self._bar.note(self._note())

    def _ended(self, name: str, code: int) -> None:
        work = self._schedule.works[name]
        if code == 0 and not self._folders.is_whole(work):
            say(f"  {name} ended well and left no finished folder; counted as failed")
            code = 1
        storage.write_json(self._folders.status(work), {"exit_code": code})
        state = self._schedule.end(name, code)
        if state == WAITING:
            tries = self._schedule.tries[name]
            self._not_before[name] = time.monotonic() + tries * self._how.again_seconds
            line = self._folders.last_line(work)
            say(f"  {name} ended with {code}, try again ({tries} of {MOST_TRIES} tries): {line}")
        elif state == FAILED:
            owners = len(self._schedule.owners[name])
            say(
                f"  {name} failed with exit code {code}, and with it {owners} run{'s' * (owners > 1)}: "
                f"{self._folders.last_line(work)} (whole log: {self._folders.log(work)})"
            )
        self._go_on()

    def _stop_all(self) -> None:
        """Ask what runs to save and end, and wait for it."""
        left = list(self._running.values())
        if left:
            say(f"sweep: waiting for {len(left)} stages to save and end")
        for grace in (SAVING_SECONDS, self._how.poll_seconds):
            for running in left:
                running.stop()
            limit = time.monotonic() + grace
            while left and time.monotonic() < limit:
                left = [running for running in left if running.poll() is None]
                if left:
                    time.sleep(self._how.poll_seconds)

    # --------------------------------------------------------------------------------------------- what follows from it

    def _go_on(self) -> None:
        """Decide what can be decided, and write the records of points that are at their end."""
        if self._how.rule:
            self._decide(self._how.rule)
        for point in self._order:
            if point not in self._records and (state := self._schedule.state_of(point)):
                self._records[point] = record = record_of(
                    self._points[point], state, self._schedule, self._folders, self._how.given
                )
                path = self._folders.record(point)
                if not path.is_file() or storage.read_json(path) != record:
                    storage.write_json(path, record)
        if self._bar:
            done = len(self._schedule.works) - len(self._schedule.unfinished())
            self._bar.advance(done - self._bar.done)

    def _decide(self, rule: Rule) -> None:
        """Let points go on after a rung, or stop them there."""
        gone = []
        for point in self._order:
            train = next(work for work in self._schedule.plans[point] if work.stage == "train")
            reached = self._schedule.at_rung(point)
            if any(rung not in self._curves.get(point, {}) for rung in reached):
                self._curves[point] = read_curve(self._folders.stage("train", train.key), rule)
            missing = [rung for rung in reached if rung not in self._curves[point]]
            if self._schedule.lost(point) or missing:
                gone.append(point)
            for rung in missing:  # a run that ended before it, or measured nothing there, is not compared
                self._schedule.let_pass(point, rung)
        # What a training beyond a rung has measured is not known to the others before it has come to the next one.
        curves = {
            point: {rung: curve[rung] for rung in self._schedule.at_rung(point) if rung in curve}
            for point, curve in self._curves.items()
        }
        for decision in add_decisions(self._root, rule, self._order, curves, gone):
            if decision.goes_on:
                self._schedule.let_pass(decision.point, decision.rung)
            else:
                self._schedule.stop(decision.point, decision.rung)

    def _forget_records(self) -> None:
        """Remove the records of points for which there is something to do again."""
        for point in self._order:
            if self._schedule.state_of(point) is None:
                self._folders.record(point).unlink(missing_ok=True)

    def _note(self) -> str:
        states = [record["state"] for record in self._records.values()]
        ended = [f"{states.count(state)} {state}" for state in (DONE, STOPPED, FAILED) if state in states]
        first = next(iter(self._running), "")
        line = f"; {first}: {self._folders.last_line(self._schedule.works[first])}" if first else ""
        return f"{len(self._order)} runs: {', '.join(ended) or 'none ended'}{line}"


def overrides_for(work: Work, point: Point) -> tuple[str, ...]:
    """Return the overrides that a work's command is given: the point's.

    ``octomed shard`` also tells what an epoch of training will hold, and refuses a mixture that contradicts itself. The
    shards are shared by points of other mixtures, so it is not given the one of whoever comes first. The stage
    ``sample`` asks for all the attempts that curation counts.
    """
    if work.stage == SAMPLE:
        samples = field(point.config, "curate.difficulty.samples")
        return (*point.overrides, f"distill.samples={samples}", "distill.accept=0")
    if work.stage != "shard":
        return point.overrides
    kept = tuple(one for one in point.overrides if one.partition("=")[0].partition(".")[0] not in TOLD_BY_SHARD)
    if kept != point.overrides:
        found = configuration.plain(configuration.load(point.spec, kept))
        if any(field(found, name) != field(point.config, name) for name in READS[work.stage]):
            return point.overrides  # fields refer to each other
    return kept


def exit_code_of(records: Mapping[str, Mapping[str, Any]]) -> int:
    """Return how a sweep ends: 0, 42 where trying again can help every failed point, else 1."""
    codes = {record["exit_code"] for record in records.values() if record["state"] == FAILED}
    return 0 if not codes else TryAgain.exit_code if codes == {TryAgain.exit_code} else 1
