"""``octomed data card``: what a corpus holds and how it came about, as Markdown, a page and JSON."""

from collections.abc import Sequence

from octomed_jax import configuration
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError

ABOUT = """Writes the card of a folder of shards: CARD.md, card.html (one page that fetches nothing) and card.json.

It holds the numbers of the paper's Figure 2 for this corpus beside the paper's, counts by source, modality, body region
and task, lengths in tokens of the student, the funnel, what curation took out, licences, teachers and sample traces.

With --config, the folders are those of config.run (shards, traces, attempts, curated, questions); any of them may be
named instead. With --shards alone, what the corpus came from is looked for nowhere: name it, or the card says that it
is missing. A folder must be finished, and the one that the next was made of."""
KINDS = {
    "traces": "`octomed verify`",
    "attempts": "`octomed distill`",
    "curated": "`octomed curate`",
    "questions": "`octomed questions build`",
}


def card(arguments: Sequence[str]) -> int:
    """write the card of a corpus: numbers, funnel, licences, samples"""
    parser = Parser(
        "data card",
        ABOUT,
        "octomed data card --config=configs/demo.py\n"
        "  octomed data card --shards=runs/my/shards --traces=runs/my/traces --output=runs/my/card",
    )
    parser.add_config(required=False)
    parser.add_argument("--shards", metavar="DIR", help="what `octomed shard` wrote (default config.run + /shards)")
    for kind, command in KINDS.items():
        parser.add_argument(f"--{kind}", metavar="DIR", help=f"what {command} wrote (default config.run + /{kind})")
    parser.add_argument("--output", metavar="DIR", help="folder to write (default: card in that of the shards)")
    parser.add_argument("--json", action="store_true", help="print card.json on stdout")
    options, overrides = parser.read(arguments)
    if not (options.config or options.shards):
        parser.error("name the corpus with --config=FILE or --shards=DIR")
    if overrides and not options.config:
        raise UserError(f"--config.{overrides[0]} overrides a config, but there is no --config=FILE")
    config = configuration.load(options.config, overrides) if options.config else None
    # Loaded late, so that --help answers at once.
    from octomed_jax.evaluation.data_card import PAGE_FILE, write_data_card

    named = {kind: folder for kind in KINDS if (folder := getattr(options, kind))}
    run = config.run if config is not None else None
    folder, table = write_data_card(options.shards or f"{run}/shards", options.output, named, run, config)
    counts = table["counts"]
    summary = (
        f"card: {folder / PAGE_FILE} ({counts['instances']:,} training rows of {counts['questions']:,} questions; "
        "CARD.md and card.json beside it)"
    )
    return finish(summary, table, options.json)
