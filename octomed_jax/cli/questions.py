"""``octomed questions``: build questions out of a data set or a config's packages; list what there is; show them."""

import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from etils import epath
from rich.console import Console
from rich.table import Table

from octomed_jax import configuration
from octomed_jax.cli.options import Parser, finish, subverb
from octomed_jax.errors import UserError
from octomed_jax.manifests import Manifest
from octomed_jax.progress import say
from octomed_jax.questions.adapter import KINDS, Adapter
from octomed_jax.questions.packages.build import build_questions
from octomed_jax.questions.packages.registry import SOURCES
from octomed_jax.questions.reading import hub
from octomed_jax.questions.reading.build import build_from
from octomed_jax.questions.reading.request import MOST_LEFT_OUT, Request, splits_of
from octomed_jax.questions.registry import ADAPTERS, find_adapter
from octomed_jax.schema import ACCESS_CLASSES

WIDTH = 150  # of the list where nobody looks at it
BUILD = """Makes a folder of questions that `octomed distill` reads.

With --source=NAME: reads a published data set in its own format from --input, the folder or file that was downloaded
(`octomed questions list` has the names, and where each is published), or hf, which fetches it from the Hugging Face
hub into $OCTOMED_CACHE. What is held out there stays held out here.

With --source=octomed: reads questions of your own from --input, a file of .jsonl, .json, .parquet, .csv or .tsv in the
schema that OctoMed publishes. A row holds question and answer (an option's text, its letter, or both), and where there
are any, options (a list), image (a file's name, base64, or a list of them), id, task, aliases, lower_limit,
upper_limit, split, source, benchmark, cluster, modality, body_region, licence, access, explanation. docs/stages.md has
the rules.

With --attempts=DIR --teacher=NAME: the responses that the set was published with become a folder of attempts, each
judged by our verifier, so that `octomed verify` and what follows need no teacher. Held-out questions get none.

With --config: fetches the pinned packages once (into $OCTOMED_CACHE, or ~/.cache/octomed_jax) and makes questions of
them.

A row that cannot be read is named; one in 1,000 may be left out."""


def run(arguments: Sequence[str]) -> int:
    """Run a subverb of ``octomed questions``."""
    return subverb(
        "questions", {"build": build, "list": list_sources, "show": show}, arguments, "Questions out of their sources."
    )


def build(arguments: Sequence[str]) -> int:
    """build the questions of a data set, or those that a config asks for"""
    parser = Parser(
        "questions build",
        BUILD,
        "octomed questions build --source=medqa --input=downloads/medqa --output=runs/my/questions\n"
        "  octomed questions build --source=octomed --input=own.jsonl --licence=CC-BY-4.0 --output=runs/own/questions\n"
        "  octomed questions build --source=octomed --input=downloads/DermaMNIST --output=runs/derma/questions \\\n"
        "    --attempts=runs/derma/attempts --teacher=gpt-4o\n"
        "  octomed questions build --config=configs/demo.py --output=runs/demo/questions",
    )
    parser.add_config(required=False)
    parser.add_argument("--source", metavar="NAME", help="a published data set, or octomed: questions of your own")
    parser.add_argument("--input", metavar="PATH", help="folder or file with it; hf or hf:OWNER/NAME fetches it")
    parser.add_argument("--split", metavar="NAME[,NAME]", help="published splits to read (default: the usual ones)")
    parser.add_argument("--limit", metavar="N", type=int, help="read the first N rows of each split only")
    parser.add_argument("--licence", metavar="TEXT", help="licence of the rows that do not name one")
    parser.add_argument("--access", choices=ACCESS_CLASSES, help="credentialed: all rows are, whatever they say")
    parser.add_argument(
        "--most-left-out", metavar="SHARE", type=float, help=f"of rows that cannot be read (default {MOST_LEFT_OUT:g})"
    )
    parser.add_argument(
        "--output", metavar="DIR", help="folder to write (default with --config: config.run + /questions)"
    )
    parser.add_argument("--attempts", metavar="DIR", help="folder to write with the responses that rows hold")
    parser.add_argument("--teacher", metavar="NAME", help="who wrote these responses")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on stdout")
    options, overrides = parser.read(arguments)
    if options.source or options.input:
        return _build_from(parser, options, overrides)
    if not options.config:
        parser.error("give --source with --input and --output, or --config")
    for name in ("split", "licence", "access", "limit", "most_left_out", "attempts", "teacher"):
        if getattr(options, name) is not None:
            parser.error(f"--{name.replace('_', '-')} is for --source; a config's packages have their own")
    config = configuration.load(options.config, overrides)
    output = options.output or f"{config.run}/questions"
    manifest = build_questions(config, output)
    return finish(_summary(manifest.counts, output), {"output": str(output), **manifest.counts}, options.json)


def _build_from(parser: Parser, options: Namespace, overrides: Sequence[str]) -> int:
    """Build the questions of a data set."""
    if options.config or overrides:
        parser.error("--config and --source exclude each other; give one of them")
    if not options.source:
        parser.error("--input takes --source; --source=octomed reads questions of your own")
    adapter = find_adapter(options.source)
    for name in ("input", "output"):
        if not getattr(options, name):
            parser.error(f"--source={adapter.name} needs --{name}")
    if bool(options.attempts) != bool(options.teacher):
        parser.error("--attempts and --teacher go together: the folder for responses, and who wrote them")
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit={options.limit} reads no row; give 1 or more")
    most_left_out = MOST_LEFT_OUT if options.most_left_out is None else options.most_left_out
    if not 0 <= most_left_out <= 1:
        raise UserError(f"--most-left-out={most_left_out:g} is no share; give a number from 0 to 1")
    splits = splits_of(options.split)
    source = Path(options.input)
    if hub.is_hub(options.input):
        source = hub.fetch(adapter, options.input, adapter.chosen(splits))
    request = Request(
        adapter,
        source,
        splits,
        options.limit,
        (options.licence or "").strip(),
        options.access or "open",
        most_left_out,
    )
    if options.attempts:
        return _build_with_attempts(request, options)
    manifest = build_from(request, options.output)
    result = _told(manifest, options.output)
    return finish(_summary(manifest.counts, options.output), result, options.json)


def _build_with_attempts(request: Request, options: Namespace) -> int:
    """Build the questions of a data set, and attempts of the responses in it."""
    from octomed_jax.evaluation.attempts_report import write_attempts_report
    from octomed_jax.teacher.imported import import_attempts

    questions, attempts = import_attempts(request, options.output, options.attempts, options.teacher)
    report = epath.Path(options.attempts) / "report.html"
    if not report.exists():
        write_attempts_report(options.attempts)
    counts = attempts.counts
    summary = (
        f"{_summary(questions.counts, options.output)}\n{counts['attempts']} responses to "
        f"{counts['questions_with_responses']} questions ({counts['verdicts'].get('correct', 0)} correct) by "
        f"{attempts.extra['teacher']} lie in {options.attempts}; report: {report}"
    )
    made = {"output": str(options.attempts), "report": str(report), "teacher": attempts.extra["teacher"], **counts}
    return finish(summary, {**_told(questions, options.output), "attempts": made}, options.json)


def _told(manifest: Manifest, output: str) -> dict[str, Any]:
    """Return the result as JSON; say that licences are unknown where they are."""
    if unknown := manifest.counts["licence_unknown"]:
        say(f"licence unknown for {unknown} questions; --licence=TEXT or a column licence says it")
    return {"output": str(output), "access": manifest.access, **manifest.counts}


def _summary(counts: Mapping[str, Any], output: str) -> str:
    return (
        f"{counts['train']} questions to learn from and {counts['test']} held out are in {output} (see card.md there)"
    )


def list_sources(arguments: Sequence[str]) -> int:
    """list the data sets and packages that can be read"""
    parser = Parser(
        "questions list",
        "Lists the published data sets that --source reads, and the packages that a config makes questions of.",
        "octomed questions list --json",
    )
    parser.add_argument("--json", action="store_true", help="print the tables as JSON")
    options, _ = parser.read(arguments)
    sets = [_row(adapter) for adapter in ADAPTERS.values()]
    packages: list[dict[str, Any]] = [
        {
            "package_source": source.name,
            "licence": source.licence,
            "access": source.access,
            "gives": dict(source.gives),
            "title": source.title,
            "megabytes": round(sum(package.size for package in source.packages) / 1e6, 1),
        }
        for source in SOURCES.values()
    ]
    if options.json:
        print(json.dumps({"sources": sets, "packages": packages}))
        return 0
    for kind in KINDS:
        _show(f"{kind} (--source=NAME)", [_line(row) for row in sets if row["kind"] == kind])
    lines = [(one["package_source"], "", "", one["licence"], one["access"], one["title"]) for one in packages]
    _show("packages (--config=FILE)", lines)
    print("rows: as published; +: with validation where that is asked for; *: format as described, no true file seen")
    return 0


def show(arguments: Sequence[str]) -> int:
    """show questions with their images as a page to look at"""
    parser = Parser(
        "questions show",
        "Writes questions of a folder with their images and gold answers as one page that needs no network. Some are\n"
        "chosen by a hash of their ids and spread over the benchmarks. Credentialed ones are left out, unless they\n"
        "are asked for.",
        "octomed questions show runs/demo/questions\n"
        "  octomed questions show runs/demo/questions --split=test --count=20 --output=held-out.html",
    )
    parser.add_argument("folder", metavar="DIR", help="what `octomed questions build` wrote")
    parser.add_argument("--output", metavar="FILE", help="the page (default DIR/questions.html)")
    parser.add_argument("--count", metavar="N", type=int, default=50, help="how many at most (default 50)")
    parser.add_argument("--split", choices=("train", "test"), help="one split only")
    parser.add_argument("--id", metavar="ID", help="one question only")
    parser.add_argument("--credentialed", action="store_true", help="also those that only some may see")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"--config.{overrides[0]} overrides a config, which this takes none of")
    if options.count < 1:
        raise UserError(f"--count={options.count} shows no question; give 1 or more")
    if options.output and not options.output.endswith((".html", ".htm")):
        raise UserError(f"--output={options.output} is no name of a page; end it with .html")
    # Loaded late, so that the other subverbs need no templates.
    from octomed_jax.evaluation.questions_page import Choice, write_questions_page

    choice = Choice(options.count, options.split or "", options.id or "", options.credentialed)
    path, counts = write_questions_page(options.folder, options.output, choice)
    left_out = counts["credentialed_left_out"]
    more = f"; {left_out:,} credentialed ones are left out, --credentialed shows them" if left_out else ""
    summary = f"{counts['shown']:,} of {counts['questions']:,} questions are in {path}{more}"
    return finish(summary, {"page": str(path), **counts}, options.json)


def _row(adapter: Adapter) -> dict[str, Any]:
    return {
        "source": adapter.name,
        "kind": adapter.kind,
        "title": adapter.title,
        "licence": adapter.licence,
        "access": adapter.access,
        "citation": adapter.citation,
        "home": adapter.home,
        "splits": {
            name: {"rows": split.rows, "goes_to": split.goes_to, "chosen": split.chosen, "gold": split.gold}
            for name, split in adapter.splits.items()
        },
        "modality": adapter.modality,
        "body_region": adapter.body_region,
        "true_files_seen": adapter.seen,
        "hub": adapter.hub,
        "tfds": adapter.tfds,
    }


def _show(title: str, lines: Sequence[tuple[str, ...]]) -> None:
    names = ("name", "learn from", "held out", "licence", "access", "what it is")
    table = Table(*names, title=title, title_justify="left", title_style="bold", box=None)
    for line in lines:
        table.add_row(*line)
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    name = row["source"] + ("" if row["true_files_seen"] else "*")
    return name, _rows(row, "train"), _rows(row, "test"), row["licence"], row["access"], row["title"]


def _rows(row: Mapping[str, Any], goes_to: str) -> str:
    splits = [split for split in row["splits"].values() if split["goes_to"] == goes_to and split["gold"]]
    chosen = [split["rows"] for split in splits if split["chosen"]]
    more = "+" if len(chosen) < len(splits) else ""
    if not splits:
        return "-"
    return f"{sum(chosen):,}{more}" if chosen and all(chosen) else f"?{more}"
