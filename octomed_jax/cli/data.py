"""``octomed data``: describe a corpus, compare two, trace and check its rows, and write one that others load."""

from collections.abc import Sequence

from octomed_jax.cli.data_card import card
from octomed_jax.cli.data_check import check
from octomed_jax.cli.data_compare import compare
from octomed_jax.cli.data_trace import trace
from octomed_jax.cli.options import Parser, finish, subverb

WRITE = """Writes traces or questions in the schema in which OctoMed publishes its sets, for the Hugging Face hub.

--traces gives the split train, with its accepted responses; --questions gives the held-out questions as the split test,
and without --traces the others as train. `datasets.load_dataset(DIR)` reads it, and so does `octomed questions build
--source=octomed --input=DIR --attempts=DIR --teacher=NAME`: the same questions, the same responses.

Nothing is sent anywhere. Credentialed rows are refused unless --credentialed says that they may be written, and rows
whose licence allows no derivatives (CC BY-ND, CC BY-NC-ND) unless the set is marked with --not-for-release."""


def run(arguments: Sequence[str]) -> int:
    """Run a subverb of ``octomed data``."""
    table = {"card": card, "compare": compare, "trace": trace, "check": check, "write": write}
    return subverb(
        "data", table, arguments, "Corpora: their cards, where their rows come from, and data sets for others."
    )


def write(arguments: Sequence[str]) -> int:
    """write traces or questions as a data set for the hub"""
    parser = Parser(
        "data write",
        WRITE,
        "octomed data write --traces=runs/my/traces --questions=runs/my/questions --output=runs/my/published",
    )
    parser.add_argument("--traces", metavar="DIR", help="what `octomed verify` wrote")
    parser.add_argument("--questions", metavar="DIR", help="what `octomed questions build` wrote")
    parser.add_argument("--output", metavar="DIR", required=True, help="folder to write")
    parser.add_argument("--credentialed", action="store_true", help="write credentialed rows too; the card says so")
    parser.add_argument(
        "--not-for-release", action="store_true", help="keep the set to yourself: no-derivatives rows may be in it"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on stdout")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"--config.{overrides[0]} overrides a config, and this command has none")
    from octomed_jax.traces.publish import write_data

    manifest = write_data(
        options.output, options.traces, options.questions, options.credentialed, options.not_for_release
    )
    counts = manifest.counts
    rows = " and ".join(f"{count} rows of the split {split}" for split, count in counts["rows"].items())
    summary = f"{rows}, with {counts['responses']} responses, lie in {options.output} (see README.md there)"
    return finish(summary, {"output": str(options.output), "access": manifest.access, **counts}, options.json)
