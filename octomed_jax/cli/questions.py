"""``octomed questions build`` and ``octomed questions list``."""

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import configuration
from octomed_jax.cli.options import Parser, finish, subverb
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.progress import say
from octomed_jax.questions.packages.build import build_questions
from octomed_jax.questions.packages.registry import SOURCES
from octomed_jax.questions.reading.build import ONE_IN, build_octomed
from octomed_jax.questions.reading.rows import NAME
from octomed_jax.schema import ACCESS_CLASSES

BUILD = f"""Makes a folder of questions that `octomed distill` reads.

With --config: fetches the pinned packages once (into $OCTOMED_CACHE, or ~/.cache/octomed_jax) and makes questions of
them. With --source=octomed: reads questions of your own from --input, a file of .jsonl, .json, .parquet, .csv or .tsv
in the schema that OctoMed publishes; it needs no config. A row holds question and answer (an option's text, its letter,
or both), and where there are any, options (a list), image (a file's name, base64, or a list of them), id, task,
aliases, lower_limit, upper_limit, split, source, benchmark, cluster, modality, body_region, licence, access,
explanation. docs/stages.md has the rules. A row that cannot be read is named; one in {ONE_IN:,} may be left out."""


def run(arguments: Sequence[str]) -> int:
    """Run a subverb of ``octomed questions``."""
    return subverb("questions", {"build": build, "list": list_sources}, arguments, "Questions out of their sources.")


def build(arguments: Sequence[str]) -> int:
    """build the questions that a config asks for"""
    parser = Parser(
        "questions build",
        BUILD,
        "octomed questions build --config=configs/demo.py --output=runs/demo/questions\n"
        "  octomed questions build --source=octomed --input=own.jsonl --licence=CC-BY-4.0 --output=runs/own/questions",
    )
    parser.add_config(required=False)
    parser.add_argument("--source", metavar="octomed", help="questions of your own, in OctoMed's published schema")
    parser.add_argument("--input", metavar="FILE", type=Path, help="the file with them; images lie beside it")
    parser.add_argument("--licence", metavar="TEXT", help="licence of the rows that do not name one")
    parser.add_argument("--access", choices=ACCESS_CLASSES, help="credentialed: all rows are, whatever they say")
    parser.add_argument("--limit", metavar="N", type=int, help="read the first N rows only")
    parser.add_argument(
        "--output", metavar="DIR", help="folder to write (default with --config: config.run + /questions)"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on stdout")
    options, overrides = parser.read(arguments)
    if options.source or options.input:
        return _build_own(parser, options, overrides)
    if not options.config:
        parser.error("give --config, or --source=octomed with --input and --output")
    for name in ("licence", "access", "limit"):
        if getattr(options, name) is not None:
            parser.error(f"--{name} is for --source=octomed; a config's sources have their own")
    config = configuration.load(options.config, overrides)
    output = options.output or f"{config.run}/questions"
    manifest = build_questions(config, output)
    return finish(_summary(manifest.counts, output), {"output": str(output), **manifest.counts}, options.json)


def _build_own(parser: Parser, options: Namespace, overrides: Sequence[str]) -> int:
    """Build the questions of a file."""
    if options.config or overrides:
        parser.error("--config and --source exclude each other; give one of them")
    if options.source != NAME:
        hint = did_you_mean(options.source, [NAME]) if options.source else ""
        parser.error(f"--source={options.source or ''} is unknown{hint}; --input takes --source={NAME}")
    for name in ("input", "output"):
        if not getattr(options, name):
            parser.error(f"--source={NAME} needs --{name}")
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit={options.limit} reads no row; give 1 or more")
    manifest = build_octomed(
        options.input, options.output, (options.licence or "").strip(), options.access or "open", options.limit
    )
    counts = manifest.counts
    if unknown := counts["licence_unknown"]:
        say(f"licence unknown for {unknown} questions; --licence=TEXT or a column licence says it")
    result = {"output": str(options.output), "access": manifest.access, **counts}
    return finish(_summary(counts, options.output), result, options.json)


def _summary(counts: Mapping[str, Any], output: str) -> str:
    return (
        f"{counts['train']} questions to learn from and {counts['test']} held out are in {output} (see card.md there)"
    )


def list_sources(arguments: Sequence[str]) -> int:
    """list the sources there are"""
    parser = Parser(
        "questions list", "List the sources, their licence and what they give.", "octomed questions list --json"
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    options, _ = parser.read(arguments)
    rows = [
        {
            "source": source.name,
            "licence": source.licence,
            "access": source.access,
            "gives": dict(source.gives),
            "title": source.title,
            "megabytes": round(sum(package.size for package in source.packages) / 1e6, 1),
        }
        for source in SOURCES.values()
    ]
    if options.json:
        print(json.dumps(rows))
        return 0
    for source, row in zip(SOURCES.values(), rows, strict=True):
        print(f"{source.name:<9} {source.access:<6} {source.licence}  (fetches {row['megabytes']} MB)")
        print(f"          {source.title}")
        for name, where in source.gives.items():
            print(f"          {name:<24} {where}")
    return 0
