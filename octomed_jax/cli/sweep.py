"""``octomed sweep``: expand and run a sweep of configs, and tabulate what came out."""

import sys
from collections.abc import Sequence
from pathlib import Path

from octomed_jax import configuration
from octomed_jax.cli.options import Parser, finish, subverb
from octomed_jax.cli.sweep_expand import RECIPE, add_sweep, expand_command, read_sweep
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.sweeps.results import write_results
from octomed_jax.sweeps.run import run_sweep


def run(arguments: Sequence[str]) -> int:
    """Run ``octomed sweep SUBVERB``."""
    table = {
        "expand": expand_command,
        "run": run_command,
        "results": results_command,
    }
    return subverb(
        "sweep",
        table,
        arguments,
        "A sweep is a config file with sweep(add), get_hyper(hyper) or a sweep() of dicts beside get_config.",
    )


def run_command(arguments: Sequence[str]) -> int:
    """Run the points that are not finished, one after the other."""
    parser = Parser(
        "sweep run",
        "Runs every point with `octomed demo`, each in a folder of its own. Run it again to go on where it ended.",
        f"octomed sweep run --config={RECIPE} --output=runs/sweeps/traces",
    )
    add_sweep(parser)
    parser.add_argument("--output", metavar="DIR", default="", help="folder of the sweep (default runs/sweeps/NAME)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options, sweep = read_sweep(parser, arguments)
    output = Path(options.output or default_output(sweep.spec))
    codes = run_sweep(sweep, output)
    rows, table = write_results(output)
    failed = {name: code for name, code in codes.items() if code != 0}
    finish(
        f"{table}\n{len(codes) - len(failed)} of {len(codes)} points done; results in {output / 'results.md'}",
        {"output": str(output), "results": rows},
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


def results_command(arguments: Sequence[str]) -> int:
    """Write and print the table of a sweep, as far as it has come."""
    parser = Parser("sweep results", "Tabulates a sweep.", "octomed sweep results runs/sweeps/traces_per_question-demo")
    parser.add_argument("folder", metavar="DIR", help="folder of the sweep")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        raise UserError(f"unknown option '--config.{overrides[0]}'; `octomed sweep results --help` shows the options")
    rows, table = write_results(options.folder)
    done = sum(row["state"] == "done" for row in rows)
    summary = f"{table}\n{done} of {len(rows)} points done; table in {Path(options.folder) / 'results.md'}"
    return finish(summary, {"output": options.folder, "results": rows}, options.json)
