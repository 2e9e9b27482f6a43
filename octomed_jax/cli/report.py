"""``octomed report``: draws the report of a finished run, or of a teacher's attempts alone."""

from collections.abc import Sequence

from octomed_jax import configuration
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError

DEFAULT_RUN = "runs/demo"


def run(arguments: Sequence[str]) -> int:
    """Write RUN/report.html and RUN/summary.json, or DIR/report.html and DIR/report.json."""
    parser = Parser(
        "report",
        "Draw the report of a finished run: RUN/report.html (one self-contained page) and RUN/summary.json.\n"
        "With --attempts, of what a teacher answered: DIR/report.html and DIR/report.json.",
        "octomed report --run=runs/demo\n  octomed report --attempts=runs/demo/attempts",
    )
    parser.add_argument("--run", metavar="DIR", help=f"the run's folder (default {DEFAULT_RUN})")
    parser.add_argument("--config", metavar="FILE[:ARG]", help="take the folder from this config's field `run`")
    parser.add_argument("--attempts", metavar="DIR", help="what `octomed distill` wrote; draw the report of it alone")
    parser.add_argument("--json", action="store_true", help="print summary.json or report.json on stdout")
    options, overrides = parser.read(arguments)
    if options.attempts:
        if options.run or options.config or overrides:
            raise UserError("--attempts names a folder of its own; leave out --run and --config")
        return _report_attempts(options.attempts, options.json)
    if options.run and options.config:
        raise UserError("--run and --config both name the run; give one of them")
    if overrides and not options.config:
        raise UserError(f"--config.{overrides[0]} overrides a config, but there is no --config=FILE")
    folder = options.run or DEFAULT_RUN
    if options.config:
        config = configuration.load(options.config, overrides)
        if "run" not in config:
            raise UserError(f"{options.config} has no field `run`; name the folder with --run=DIR")
        folder = config.run
    # Loaded late, so that --help answers at once.
    from octomed_jax.evaluation.report import write_report
    from octomed_jax.storage import read_json

    path = write_report(folder)
    summary = read_json(path.parent / "summary.json")
    return finish(f"report: {path} (figures for scripts: {path.parent / 'summary.json'})", summary, options.json)


def _report_attempts(folder: str, as_json: bool) -> int:
    from octomed_jax.evaluation.attempts_report import write_attempts_report
    from octomed_jax.storage import read_json

    path = write_attempts_report(folder)
    figures = path.parent / "report.json"
    return finish(f"report: {path} (figures for scripts: {figures})", read_json(figures), as_json)
