"""``octomed data compare``: what two corpora hold, beside one another."""

from collections.abc import Sequence

from octomed_jax import storage
from octomed_jax.cli.options import Parser, finish

ABOUT = """Compares two corpora: counts, shares by source, modality, body region and task, lengths, and how many
questions and images are in both or in one alone. Each is a card.json, a folder with one, or a folder of shards; `paper`
as the second puts the paper's numbers beside those of the first.

Tables in Markdown go to stdout; --output writes a page as well. Lengths that two tokenizers counted are left out."""


def compare(arguments: Sequence[str]) -> int:
    """compare two corpora, or one with the paper's"""
    parser = Parser(
        "data compare",
        ABOUT,
        "octomed data compare runs/a/shards runs/b/shards --output=runs/compare.html\n"
        "  octomed data compare runs/a/shards/card/card.json paper",
    )
    parser.add_argument("a", metavar="A", help="card.json, a folder with one, or a folder of shards")
    parser.add_argument("b", metavar="B", help="the same, or paper")
    parser.add_argument("--output", metavar="FILE.html", help="write the comparison as a page that fetches nothing")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON on stdout")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"--config.{overrides[0]} overrides a config, and this command has none")
    # Loaded late, so that --help answers at once.
    from octomed_jax.evaluation.data_compare import compare as compare_sides
    from octomed_jax.evaluation.data_compare import read_side
    from octomed_jax.evaluation.data_compare_page import write_page
    from octomed_jax.evaluation.data_compare_text import write_text

    table = compare_sides(read_side(options.a), read_side(options.b))
    if options.output:
        storage.write_text(options.output, write_page(table))
    if not options.json:
        print(f"{write_text(table)}\n")
    where = f"page: {options.output}" if options.output else "--output=FILE.html writes it as a page"
    return finish(f"compared {options.a} with {options.b}; {where}", table, options.json)
