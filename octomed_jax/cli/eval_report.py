"""``octomed eval report``: results of one or several models as Markdown and one page."""

from collections.abc import Sequence

from octomed_jax.cli.options import Parser, finish

ABOUT = """Writes DIR/results.md and DIR/report.html, one page that needs no network: accuracy by category with
intervals beside the paper's figures, models compared question by question, votes, thinking length against difficulty,
failures, and examples that can be searched (docs/evaluation-report.md).

RESULT is a results.json of `octomed eval run` or `octomed eval score`, or the folder with it; NAME=RESULT names its
model. Samples are read from the folder samples beside it. The first is A, with which the others are compared. Samples
of credentialed sources are counted, and never shown."""


def report(arguments: Sequence[str]) -> int:
    """Write results of one or several models as Markdown and one page."""
    parser = Parser(
        "eval report",
        ABOUT,
        "octomed eval report before=runs/demo/eval/before after=runs/demo/eval/after \\\n"
        "    --questions=runs/demo/questions --output=runs/demo/eval/report",
    )
    parser.add_argument("results", metavar="[NAME=]RESULT", nargs="+", help="results.json, or the folder with it")
    parser.add_argument("--output", metavar="DIR", required=True, help="the folder to write results.md, report.html to")
    parser.add_argument(
        "--questions",
        metavar="DIR",
        action="append",
        default=[],
        help="the questions that were asked: for images, and for what may be shown; may be given several times",
    )
    parser.add_argument(
        "--allow",
        metavar="NAME",
        action="append",
        default=[],
        help="what may differ between models that are compared, as in `octomed eval compare`",
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON on stdout")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"--config.{overrides[0]} overrides a config, and this command has none")
    # Loaded late, so that --help answers at once.
    from octomed_jax.evaluation.results_report import write_results_report

    page, table = write_results_report(options.results, options.output, options.questions, options.allow)
    told = table["examples"]
    hidden = sum(one["samples"] for one in told["credentialed"])
    more = f"; {hidden:,} samples of credentialed sources are not shown" if hidden else ""
    return finish(f"{told['shown']} examples and all figures are in {page}{more}", table, options.json)
