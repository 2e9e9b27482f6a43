"""``octomed eval benchmarks``: what models can be measured on."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from octomed_jax.cli.options import Parser, finish
from octomed_jax.evaluation.benchmark_table import markdown_tables, questions_of, read_with
from octomed_jax.evaluation.benchmarks import (
    ALL,
    CATEGORIES,
    Benchmark,
    described,
    find_benchmark,
    held_by_benchmark,
    is_short,
    unregistered,
)
from octomed_jax.evaluation.question_sets import all_held_in

WIDTH = 150  # of the tables where nobody looks at them
DESCRIPTION = """Lists the benchmarks by category: what each is read with (`octomed questions build --source=NAME`), how
many questions it has, and how its answers are asked for and scored. None of them is trained on.

With NAME: all that is known of that one. With --questions: how many questions of each a folder holds out."""


def list_benchmarks(arguments: Sequence[str]) -> int:
    """list what models can be measured on"""
    parser = Parser(
        "eval benchmarks",
        DESCRIPTION,
        "octomed eval benchmarks\n  octomed eval benchmarks aptos\n"
        "  octomed eval benchmarks --questions=runs/medqa/questions --json",
    )
    parser.add_argument("name", metavar="NAME", nargs="*", help="a benchmark, or several")
    parser.add_argument(
        "--questions", metavar="DIR", help="what `octomed questions build` wrote, or a folder of such folders"
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/evaluation-benchmarks.md")
    parser.add_argument("--json", action="store_true", help="print all as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"--config.{overrides[0]} overrides a config, and this command has none")
    if options.markdown and (options.name or options.questions or options.json):
        parser.error("--markdown prints the whole registry; leave out what else is given")
    chosen = tuple(dict.fromkeys(map(find_benchmark, options.name))) or ALL
    held = all_held_in(options.questions) if options.questions else None
    if options.json:
        return finish("", _told(chosen, held), True)
    if options.markdown:
        return finish(markdown_tables(), None, False)
    if options.name:
        return finish("\n\n".join(_about(one, held) for one in chosen), None, False)
    _show(held)
    if held is None:
        return finish("*: the paper trained on its train split; `octomed eval benchmarks NAME` tells more", None, False)
    others = unregistered(held)
    more = f", and {len(others)} benchmarks of its own ({', '.join(others)})" if others else ""
    count = len(held_by_benchmark(held))
    return finish(f"{options.questions} holds out questions of {count} of {len(ALL)} benchmarks{more}", None, False)


def _told(chosen: Sequence[Benchmark], held: Mapping[str, int] | None) -> dict[str, Any]:
    told: dict[str, Any] = {"benchmarks": [described(one) for one in chosen]}
    if held is not None:
        found = held_by_benchmark(held)
        for row in told["benchmarks"]:
            row["held"] = found.get(row["benchmark"], 0)
        told["others"] = {name: held[name] for name in unregistered(held)}
    return told


def _about(one: Benchmark, held: Mapping[str, int] | None) -> str:
    """Return all that is known of a benchmark as lines."""
    lines = [
        f"{one.name}: {one.title} ({one.category})",
        f"  questions: {questions_of(one)}",
        f"  in-domain in the paper: {'yes' if one.in_domain else 'no'}",
        f"  metric: {one.metric}; asked for: {one.style}",
    ]
    lines += [
        f"  read with: --source={reading.source} --split={reading.split} "
        f"({reading.adapter.licence}, {described(one)['read_with'][place]['access']}; {reading.adapter.home})"
        for place, reading in enumerate(one.readings)
    ]
    if held is not None:
        lines.append(f"  in the folder: {held_by_benchmark(held).get(one.name, 0):,}")
    return "\n".join([*lines, *([f"  note: {one.note}"] if one.note else [])])


def _show(held: Mapping[str, int] | None) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    counts = held_by_benchmark(held) if held is not None else {}
    for category in CATEGORIES:
        names = ["benchmark", "title", "questions", "metric", "asked for", "read with (source:split)"]
        table = Table(*names, title=category, title_justify="left", title_style="bold", box=None)
        if held is not None:
            table.add_column("in the folder")
        for one in ALL:
            if one.category != category:
                continue
            cells = [one.name, one.title + ("*" if one.in_domain else ""), questions_of(one), one.metric, one.style]
            cells.append(read_with(one))
            if held is not None:
                count = counts.get(one.name, 0)
                cells.append(f"{count:,}{' (too few)' if count and is_short(one, count) else ''}" if count else "-")
            table.add_row(*cells)
        console.print(table)
