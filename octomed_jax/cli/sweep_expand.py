"""``octomed sweep expand``: list the points of a sweep, every one of them checked."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.sweeps.base import as_text
from octomed_jax.sweeps.expand import Point, Sweep, expand

RECIPE = "configs/recipes/traces_per_question.py:demo"
WIDTH = 150  # of the table where nobody looks at it
MOST_SHOWN = 60  # points in the table
MOST_COLUMNS = 5  # changed fields with a column each; more stand together in one


def add_sweep(parser: Parser) -> None:
    """Add the options that say which sweep."""
    parser.add_argument("--config", metavar="FILE[:ARG]", required=True, help="config file with a sweep")
    parser.add_argument(
        "--sweep",
        metavar="NAME,...",
        default="",
        help="its sweep_NAME(); several are combined, each with each (default: its sweep() or get_hyper())",
    )


def read_sweep(parser: Parser, arguments: Sequence[str]) -> tuple[argparse.Namespace, Sweep]:
    """Parse, and expand the sweep; overrides are refused, since every point must be in the file."""
    options, overrides = parser.read(arguments)
    if overrides:
        raise UserError(f"--config.{overrides[0]}: a sweep takes no overrides; put the field into its config file")
    names = options.sweep.split(",") if options.sweep else []
    if "" in names:
        raise UserError(f"--sweep={options.sweep} must be names with commas between, such as --sweep=teacher,seed")
    return options, expand(options.config, names)


def sweep_words(sweep: Sweep) -> str:
    """Return the options that name a sweep, for a command that a person copies."""
    words = [f"--config={sweep.spec}", *([f"--sweep={','.join(sweep.names)}"] if sweep.names else [])]
    return shlex.join(words)


def expand_command(arguments: Sequence[str]) -> int:
    """List the points of a sweep, and check every one of them."""
    parser = Parser(
        "sweep expand",
        "Lists the points of a sweep: what each changes, its id, and the group of those that differ in their seed\n"
        "alone. Every change is checked against the config. Nothing is run.",
        f"octomed sweep expand --config={RECIPE}",
    )
    add_sweep(parser)
    parser.add_argument("--json", action="store_true", help="print the points as JSON")
    options, sweep = read_sweep(parser, arguments)
    groups = len({point.group for point in sweep.points})
    if not options.json:
        _show(sweep.points)
    count = f"{len(sweep.points):,} points" if len(sweep.points) > 1 else "1 point"
    in_groups = f" in {groups:,} groups" if groups < len(sweep.points) else ""
    summary = f"{count}{in_groups}, all valid; `octomed sweep run {sweep_words(sweep)}` runs them"
    points = [_told(point) for point in sweep.points] if options.json else []
    return finish(summary, {"config": sweep.spec, "sweep": list(sweep.names), "points": points}, options.json)


def _told(point: Point) -> dict[str, Any]:
    return {
        "id": point.id,
        "group": point.group,
        "name": point.name,
        "config": point.spec,
        "changes": dict(point.changes),
        "overrides": list(point.overrides),
        "config_hash": point.config_hash,
    }


def _show(points: Sequence[Point]) -> None:
    """Print the points as a table: a column a changed field, as far as there is room."""
    fields = list(dict.fromkeys(field for point in points for field in point.changes))
    several = len({point.config_arg for point in points}) > 1
    grouped = len({point.group for point in points}) < len(points)
    apart = fields if len(fields) <= MOST_COLUMNS else []
    head = ["point", *(["group"] if grouped else []), *(["argument"] if several else [])]
    table = Table(*head, *(apart or ["changes"]), box=None)
    for point in points[:MOST_SHOWN]:
        cells = [point.id, *([point.group] if grouped else []), *([point.config_arg or ""] if several else [])]
        if apart:
            cells += [as_text(point.changes[field]) if field in point.changes else "" for field in apart]
        else:
            cells.append(", ".join(point.overrides) or "the config as it is")
        table.add_row(*map(Text, cells))
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(table)
    if len(points) > MOST_SHOWN:
        console.print(f"... and {len(points) - MOST_SHOWN:,} more; --json has all of them")
