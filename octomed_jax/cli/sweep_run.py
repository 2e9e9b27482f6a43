"""``octomed sweep run``: run what is not finished of a sweep."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import configuration, manifests
from octomed_jax.cli.options import Parser, finish
from octomed_jax.cli.sweep_expand import RECIPE, add_sweep, read_sweep
from octomed_jax.cli.sweep_launch import add_launch, read_place
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.sweeps.job_runner import TRAIN, JobRunner, check_sweep
from octomed_jax.sweeps.results import write_results
from octomed_jax.sweeps.run import How, exit_code_of, plans_of, run_sweep
from octomed_jax.sweeps.schedule import DONE, FAILED, STOPPED
from octomed_jax.sweeps.stages import SAMPLE, Given
from octomed_jax.sweeps.stopping import Rule

DESCRIPTION = """Runs every point of a sweep through the stages that its config names, each stage once for all points
that ask for exactly it. Kill it when you like: the same command goes on. What failed is tried again."""
# Option, the stage whose folder it gives, and the stages that write such a folder.
GIVEN = {
    "questions": ("questions", manifests.QUESTION_STAGES),
    "attempts": ("distill", ("distill",)),
    "traces": ("verify", ("verify",)),
    "shards": ("shard", ("shard",)),
    "student-attempts": (SAMPLE, ("distill",)),
}


def run_command(arguments: Sequence[str]) -> int:
    """Run the points that are not finished."""
    parser = Parser(
        "sweep run",
        DESCRIPTION,
        f"octomed sweep run --config={RECIPE} --output=runs/sweeps/traces\n"
        f"  octomed sweep run --config={RECIPE} --stopping=median --rungs=500,1000 --at-once=2",
    )
    add_sweep(parser)
    parser.add_argument("--output", metavar="DIR", default="", help="folder of the sweep (default runs/sweeps/NAME)")
    parser.add_argument("--at-once", metavar="N", type=int, default=1, help="stages that run at a time (default 1)")
    parser.add_argument("--extend", action="store_true", help="add points to a sweep that is there")
    add_given(parser)
    add_launch(parser)
    parser.add_argument("--stopping", choices=("median", "halving"), help="end runs early that fall behind")
    parser.add_argument("--stopping-metric", metavar="NAME", help="by which: loss (default) or held_out_loss")
    parser.add_argument("--rungs", metavar="STEP,STEP", type=_steps, help="at which steps (with --stopping)")
    parser.add_argument("--factor", metavar="N", type=int, help="of halving: one in so many goes on (default 3)")
    parser.add_argument("--json", action="store_true", help="print how the points ended as JSON")
    options, sweep = read_sweep(parser, arguments)
    output = Path(options.output or default_output(options.config))
    given, rule, place = given_of(options), rule_of(options), read_place(options)
    jobs = None
    if place:
        plans = plans_of(sweep, given, rule.rungs if rule else ())
        check_sweep(place, sweep.points, plans, {one.folder for one in given.values()}, output)
        jobs = JobRunner(place, output)
    how = How(options.at_once, given, rule, {TRAIN: jobs} if jobs else {}, options.extend)
    records = run_sweep(sweep, output, how)
    if jobs:
        jobs.tidy()
    return tell(records, output, options.json)


def tell(records: Mapping[str, Mapping[str, Any]], output: Path, as_json: bool) -> int:
    """Write the results, say how the points ended, and return the exit code."""
    write_results(output)
    states = [record["state"] for record in records.values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in (DONE, STOPPED, FAILED) if state in states)
    finish(
        f"{len(records)} runs: {counts}; results: {output / 'results.html'}",
        {"output": str(output), "results": str(output / "results.html"), "runs": list(records.values())},
        as_json,
    )
    code = exit_code_of(records)
    if code:
        failed = [record for record in records.values() if record["state"] == FAILED]
        named = ", ".join(f"{one['id']} ({one['stage']}, exit {one['exit_code']})" for one in failed[:3])
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        message = f"failed: {named}{more}; logs in {output / 'logs'}, run the same command again to retry"
        if code == TryAgain.exit_code:
            raise TryAgain(message)
        print(f"octomed: {message}", file=sys.stderr)
    return code


def add_given(parser: Parser) -> None:
    """Add the options that give stages which were made elsewhere."""
    for option, (stage, _) in GIVEN.items():
        told = f"made elsewhere, for all points; the stages up to {stage} are not run"
        if stage == SAMPLE:
            told = "of the student at the questions, made elsewhere, for points that filter by student"
        parser.add_argument(f"--{option}", metavar="DIR", help=told)


def given_of(options: argparse.Namespace) -> dict[str, Given]:
    """Return the stages that options give.

    Raises:
        UserError: a folder is not there, not finished, or of another stage.
    """
    given = {}
    for option, (stage, writers) in GIVEN.items():
        if folder := getattr(options, option.replace("-", "_")):
            given[stage] = Given(folder, manifests.read_manifest(folder, *writers).identity)
    return given


def rule_of(options: argparse.Namespace) -> Rule | None:
    """Return the rule of early stopping, None where none is asked for.

    Raises:
        UserError: an option of it without ``--stopping``, or no rungs.
    """
    fields = {"metric": options.stopping_metric, "rungs": options.rungs, "factor": options.factor}
    asked = {name: value for name, value in fields.items() if value is not None}
    if not options.stopping:
        if asked:
            option = {"metric": "stopping-metric"}.get(next(iter(asked)), next(iter(asked)))
            raise UserError(f"--{option} belongs to --stopping=median or --stopping=halving; give that too")
        return None
    if not options.rungs:
        raise UserError(f"--stopping={options.stopping} needs --rungs=STEP,STEP: the steps at which runs are compared")
    return Rule(kind=options.stopping, **{"metric": "loss", **asked})


def default_output(spec: str) -> str:
    """Return the folder of a sweep that names none: ``runs/sweeps/FILE-ARG``."""
    path, arg = configuration.split_spec(spec)
    end = "".join(letter if letter.isalnum() else "-" for letter in arg or "")
    return f"runs/sweeps/{path.stem}" + (f"-{end}" if end else "")


def _steps(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form STEP,STEP") from error
