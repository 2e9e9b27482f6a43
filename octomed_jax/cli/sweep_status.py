"""``octomed sweep status``: how far a sweep is, and whether its decisions can be made again."""

from collections.abc import Sequence
from pathlib import Path

from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.sweeps.replay import replay
from octomed_jax.sweeps.status import read_status, status_lines


def run(arguments: Sequence[str]) -> int:
    """Tell how far a sweep is."""
    parser = Parser(
        "sweep status",
        "Tells how many runs of a sweep are done, running, failed, stopped early or waiting, and what those that run "
        "said last.\nIt reads small files only and changes nothing.",
        "octomed sweep status runs/sweeps/traces_per_question-demo",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the sweep")
    parser.add_argument(
        "--replay", action="store_true", help="make the decisions of early stopping again, and compare with the log"
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        raise UserError(f"unknown option '--config.{overrides[0]}'; `octomed sweep status --help` shows the options")
    root = Path(options.folder)
    if options.replay:
        told = replay(root)
        summary = [*told["differences"], f"{told['logged']} decisions in {root}/decisions.jsonl: {told['verdict']}"]
        finish("\n".join(summary), told, options.json)
        return 1 if told["differences"] else 0
    status = read_status(root)
    return finish("\n".join(status_lines(status)), status, options.json)
