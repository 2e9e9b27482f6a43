"""``octomed data``: questions and traces as a data set that others load, and where they come from."""

from collections.abc import Sequence

from octomed_jax.cli.data_check import check
from octomed_jax.cli.data_trace import trace
from octomed_jax.cli.options import Parser, finish, subverb

WRITE = """Writes traces or questions in the schema in which OctoMed publishes its sets, for the Hugging Face hub.

--traces gives the split train, with its accepted responses; --questions gives the held-out questions as the split test,
and without --traces the others as train. `datasets.load_dataset(DIR)` reads it, and so does `octomed questions build
--source=octomed --input=DIR --attempts=DIR --teacher=NAME`: the same questions, the same responses.

Nothing is sent anywhere. Credentialed rows are refused unless --credentialed says that they may be written."""


def run(arguments: Sequence[str]) -> int:
    """Run a subverb of ``octomed data``."""
    return subverb(
        "data",
        {"write": write, "trace": trace, "check": check},
        arguments,
        "Data sets for others, and where their rows come from.",
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
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on stdout")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"--config.{overrides[0]} overrides a config, and this command has none")
    from octomed_jax.traces.publish import write_data

    manifest = write_data(options.output, options.traces, options.questions, options.credentialed)
    counts = manifest.counts
    rows = " and ".join(f"{count} rows of the split {split}" for split, count in counts["rows"].items())
    summary = f"{rows}, with {counts['responses']} responses, lie in {options.output} (see README.md there)"
    return finish(summary, {"output": str(options.output), "access": manifest.access, **counts}, options.json)
