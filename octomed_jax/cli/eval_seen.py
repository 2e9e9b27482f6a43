"""``octomed eval seen``: what of an evaluation was seen in training."""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from octomed_jax.cli.eval_tables import check_output
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError

WIDTH = 120  # of the table where nobody looks at it
PHRASES = 5  # that are shown
DESCRIPTION = """Says which held-out questions of a folder share 16 words or an image with what was trained on, as the
decontamination of `octomed curate` compares them.

A question with images counts as seen by its image; that its words were seen (often a template) is a column of its own.
docs/evaluation-benchmarks.md says what is not found."""


def seen(arguments: Sequence[str]) -> int:
    """say which held-out questions were seen in training"""
    parser = Parser(
        "eval seen",
        DESCRIPTION,
        "octomed eval seen --questions=runs/my/curated --trained=runs/my/shards --output=runs/my/seen.jsonl",
    )
    parser.add_argument("--questions", metavar="DIR", required=True, help="whose held-out questions are measured on")
    parser.add_argument(
        "--trained",
        metavar="DIR",
        action="append",
        required=True,
        help="questions, curated questions, traces or shards; may be given several times",
    )
    parser.add_argument("--output", metavar="FILE", help="file of JSON lines to write, one a held-out question")
    parser.add_argument(
        "--ignore-common",
        metavar="N",
        type=int,
        default=0,
        help="runs of words that more than N questions trained on have do not count (default 0: all do)",
    )
    parser.add_argument(
        "--images",
        metavar="KINDS",
        default="bytes,pixels",
        help="how images are found to be the same: some of bytes, pixels and near (default bytes,pixels)",
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"--config.{overrides[0]} overrides a config, and this command has none")
    check_output(options.output or "")
    if options.output and Path(options.output).is_dir():
        raise UserError(f"--output={options.output} is a folder; name a file, such as {options.output}/seen.jsonl")
    # Loaded late: comparing images takes more than other subverbs need.
    from octomed_jax.evaluation.seen_in_training import seen_in_training, write_seen

    kinds = tuple(kind.strip() for kind in options.images.split(",") if kind.strip())
    with tempfile.TemporaryDirectory(prefix="octomed-seen-") as scratch:
        rows, told = seen_in_training(options.questions, options.trained, Path(scratch), options.ignore_common, kinds)
    if options.output:
        write_seen(options.output, rows)
    if not options.json:
        _show(told)
    where = f"; by question: {options.output}" if options.output else "; --output=FILE writes which"
    summary = f"{told['seen']:,} of {told['n']:,} held-out questions were seen in training{where}"
    return finish(summary, told, options.json)


def _show(told: Mapping[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    table = Table("benchmark", "held out", "seen", "share", "by words", "by image", "words alone", box=None)
    for name, one in told["benchmarks"].items():
        counts = [f"{one[key]:,}" for key in ("words", "image", "words_alone")]
        table.add_row(name, f"{one['n']:,}", f"{one['seen']:,}", f"{one['seen'] / one['n']:.1%}", *counts)
    console.print(table)
    if told["phrases"]:
        print("phrases that many share (a template; --ignore-common=N leaves out what more than N have):")
    for phrase in told["phrases"][:PHRASES]:
        words = phrase["words"] if len(phrase["words"]) <= 80 else f"{phrase['words'][:80]} ..."
        print(f"  {phrase['questions']:,} questions: {words}")
    for name, title in (("held_out", "held-out questions"), ("trained", "questions trained on")):
        if told["unreadable"][name]:
            print(
                f"{told['unreadable'][name]} {title} have an image that cannot be decoded: compared by its bytes alone"
            )
