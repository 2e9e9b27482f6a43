"""``octomed sweep``: expand and run a sweep of configs, and tabulate what came out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from octomed_jax import configuration
from octomed_jax.cli.options import Parser, finish, subverb
from octomed_jax.cli.sweep_results import export_best_command, results_command
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.sweeps.expand import Sweep, expand
from octomed_jax.sweeps.run import run_sweep

RECIPE = "configs/recipes/traces_per_question.py:demo"


def run(arguments: Sequence[str]) -> int:
    """Run ``octomed sweep SUBVERB``."""
    table = {
        "expand": expand_command,
        "run": run_command,
        "results": results_command,
        "export-best": export_best_command,
    }
    return subverb("sweep", table, arguments, "A sweep is a config file with sweep(add) beside get_config.")


def read_sweep(parser: Parser, arguments: Sequence[str]) -> tuple[argparse.Namespace, Sweep]:
    """Parse, and expand the sweep; overrides are refused, since every point must be in the file."""
    options, overrides = parser.read(arguments)
    if overrides:
        raise UserError(f"--config.{overrides[0]}: a sweep takes no overrides; put the field into its config file")
    return options, expand(options.config)


def expand_command(arguments: Sequence[str]) -> int:
    """Show the points of a sweep, and check every one of them."""
    parser = Parser(
        "sweep expand",
        "Lists the points of a sweep. Nothing is run.",
        f"octomed sweep expand --config={RECIPE}",
    )
    parser.add_config()
    parser.add_argument("--json", action="store_true", help="print the points as JSON")
    options, sweep = read_sweep(parser, arguments)
    points = [{"id": point.id, "changes": dict(point.changes)} for point in sweep.points]
    width = max(len(point.id) for point in sweep.points)
    lines = [f"{point.id:<{width}}  {', '.join(point.overrides) or 'the config as it is'}" for point in sweep.points]
    summary = "\n".join(
        [*lines, f"{len(points)} points, all valid; `octomed sweep run --config={sweep.spec}` runs them"]
    )
    return finish(summary, {"config": sweep.spec, "points": points}, options.json)


def run_command(arguments: Sequence[str]) -> int:
    """Run the points that are not finished, one after the other."""
    parser = Parser(
        "sweep run",
        "Runs every point with `octomed demo`, each in a folder of its own. Run it again to go on where it ended.",
        f"octomed sweep run --config={RECIPE} --output=runs/sweeps/traces",
    )
    parser.add_config()
    parser.add_argument("--output", metavar="DIR", default="", help="folder of the sweep (default runs/sweeps/NAME)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options, sweep = read_sweep(parser, arguments)
    output = Path(options.output or default_output(sweep.spec))
    codes = run_sweep(sweep, output)
    failed = {name: code for name, code in codes.items() if code != 0}
    finish(
        f"{len(codes) - len(failed)} of {len(codes)} points done: {output}",
        {"output": str(output), "exit_codes": codes},
        options.json,
    )
    if not failed:
        return 0
    names = ", ".join(f"{name} (exit {code})" for name, code in failed.items())
    message = f"failed: {names}; logs in {output / 'logs'}, run the same command again to retry"
    if set(failed.values()) == {TryAgain.exit_code}:
        raise TryAgain(message)
    print(f"octomed: {message}", file=sys.stderr)
    return 1


def default_output(spec: str) -> str:
    """Return the folder of a sweep that names none: ``runs/sweeps/FILE-ARG``."""
    path, arg = configuration.split_spec(spec)
    end = "".join(letter if letter.isalnum() else "-" for letter in arg or "")
    return f"runs/sweeps/{path.stem}" + (f"-{end}" if end else "")
