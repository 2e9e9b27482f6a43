"""``octomed eval compare``: two evaluations of the same questions, and what may be concluded."""

from collections.abc import Sequence

from octomed_jax import storage
from octomed_jax.cli.options import Parser, finish
from octomed_jax.progress import console

ABOUT = """Compares two evaluations of the same questions, pair by pair: for each benchmark, and for the mean over each
category and over all, the accuracies, their difference with its interval, a test, and a verdict in words
(docs/evaluation-comparison.md).

A and B are folders of `octomed eval run`, or files of samples. What differs in questions, options, gold, verifier or
settings stops the comparison; --allow=NAME lets a setting differ: sampling, budget, seeds, prompt, images (then models
are compared with their settings), benchmarks (only those that both have), or one setting by its full name."""


def compare(arguments: Sequence[str]) -> int:
    """Say whether one of two evaluations is better, and by how much."""
    parser = Parser(
        "eval compare",
        ABOUT,
        "octomed eval compare runs/demo/eval/before runs/demo/eval/after --output=runs/demo/eval/compared",
    )
    parser.add_argument("a", metavar="A", help="folder of `octomed eval run`, or a file of samples")
    parser.add_argument("b", metavar="B", help="the same, of the other model")
    parser.add_argument("--output", metavar="DIR", help="write compare.json and compare.md there")
    parser.add_argument(
        "--allow", metavar="NAME", action="append", default=[], help="what may differ; may be given several times"
    )
    parser.add_argument(
        "--judge", action="store_true", help="judge all responses again, whatever verdicts the samples carry"
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON on stdout")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"--config.{overrides[0]} overrides a config, and this command has none")
    # Loaded late, so that --help answers at once.
    from octomed_jax.evaluation.comparison import compare as compare_sides
    from octomed_jax.evaluation.comparison_text import conclusion, write_markdown

    comparison = compare_sides(options.a, options.b, options.allow, options.judge)
    where = "--output=DIR writes it"
    if options.output:
        storage.write_json(f"{options.output}/compare.json", comparison)
        storage.write_text(f"{options.output}/compare.md", write_markdown(comparison))
        where = f"see {options.output}/compare.md"
    if not options.json:
        _print(comparison)
    return finish(f"{conclusion(comparison)}; {where}", comparison, options.json)


def _print(comparison: dict) -> None:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from octomed_jax.evaluation.comparison_text import NUMBERS, rows, sentences
    from octomed_jax.plain_text import plain, printed

    # Numbers alone fit 80 columns; the verdicts are sentences below them.
    table = Table(box=SIMPLE, pad_edge=False)
    for place, name in enumerate(NUMBERS):
        table.add_column(name, overflow="fold", no_wrap=place > 0)
    for row in rows(comparison):
        table.add_row(*(Text(printed(plain(cell))) for cell in row[: len(NUMBERS)]))
    console.print(table)
    for sentence in sentences(comparison):
        console.print(printed(plain(sentence)), markup=False)
    differing = {**comparison["allowed"], **comparison["noted"]}
    for note in [*comparison["notes"], *(f"{name}: {a!r} in A, {b!r} in B" for name, (a, b) in differing.items())]:
        console.print(f"note: {printed(plain(note))}", markup=False)
