"""``octomed data trace``: from a training row to the source row, attempt, verdict, config and commit behind it."""

import dataclasses
import sys
from collections.abc import Sequence

from rich.console import Console

from octomed_jax.cli.options import Parser, finish

DESCRIPTION = """Tells where a training row comes from, stage by stage; and of one that is not in the shards, why.

ROW is QUESTION_ID:SAMPLE (as `octomed verify --explain` has it), QUESTION_ID for all attempts at it, or RECORD/RESPONSE
as the bad_records files of a training run number them (0 is the first).

Folders are found by the identities that manifests name; one that is not at hand is named, and the walk ends there."""


PIPE_WIDTH = 1000  # of a line that no terminal wraps


def trace(arguments: Sequence[str]) -> int:
    """tell where a training row comes from, or why it is not there"""
    parser = Parser(
        "data trace",
        DESCRIPTION,
        "octomed data trace medcalc:centor:0042:3 --run=runs/my\n  octomed data trace 17/0 --run=runs/my --json",
    )
    parser.add_argument("row", metavar="ROW", help="QUESTION_ID:SAMPLE, QUESTION_ID or RECORD/RESPONSE")
    parser.add_argument(
        "--run",
        metavar="DIR",
        action="append",
        default=[],
        help="run, or folder of a stage, in which folders are looked for; may be given several times",
    )
    parser.add_argument("--shards", metavar="DIR", help="the shards that the row is of, where a run has several")
    parser.add_argument("--json", action="store_true", help="print all that is known as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"--config.{overrides[0]} overrides a config, and this command has none")
    if not options.run and not options.shards:
        parser.error("give --run=DIR, or --shards=DIR")
    from octomed_jax.lineage.folders import neighbours
    from octomed_jax.lineage.told import tree_of
    from octomed_jax.lineage.walk import trace as walk_back

    runs = options.run or neighbours(options.shards)
    walk = walk_back(options.row, runs, options.shards)
    if not options.json:
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        Console(file=sys.stdout, highlight=False, width=width).print(tree_of(walk))
    return finish(walk.answer, dataclasses.asdict(walk), options.json)
