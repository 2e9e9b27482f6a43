"""``octomed sweep status``: how far a sweep is, and whether its decisions can be made again."""

from collections.abc import Sequence
from pathlib import Path

from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.sweeps.decisions import DECISIONS, read_decisions, replay
from octomed_jax.sweeps.status import read_status, status_lines


def status_command(arguments: Sequence[str]) -> int:
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
        return _replay(root, options.json)
    status = read_status(root)
    return finish("\n".join(status_lines(status)), status, options.json)


def _replay(root: Path, as_json: bool) -> int:
    differences = replay(root)
    logged = len(read_decisions(root))
    verdict = "not what the metric files give" if differences else "the same when made again from the metric files"
    told = {"output": str(root), "logged": logged, "same": not differences, "differences": differences}
    finish("\n".join([*differences, f"{logged} decisions in {root / DECISIONS}: {verdict}"]), told, as_json)
    return 1 if differences else 0
