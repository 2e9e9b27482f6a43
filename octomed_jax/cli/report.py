"""``octomed report``: draws the report of a finished run, of a teacher's attempts alone, or of curated questions."""

from collections.abc import Sequence

from etils import epath

from octomed_jax import configuration
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError

DEFAULT_RUN = "runs/demo"


def run(arguments: Sequence[str]) -> int:
    """Write RUN/report.html and RUN/summary.json, or DIR/report.html and DIR/report.json."""
    parser = Parser(
        "report",
        "Draw the report of a finished run: RUN/report.html (one self-contained page) and RUN/summary.json.\n"
        "With --attempts, of what a teacher answered; with --curated, of what curation took out of questions:\n"
        "DIR/report.html and DIR/report.json.",
        "octomed report --run=runs/demo\n  octomed report --attempts=runs/demo/attempts\n"
        "  octomed report --curated=runs/my/curated",
    )
    parser.add_argument("--run", metavar="DIR", help=f"the run's folder (default {DEFAULT_RUN})")
    parser.add_argument("--config", metavar="FILE[:ARG]", help="take the folder from this config's field `run`")
    parser.add_argument("--attempts", metavar="DIR", help="what `octomed distill` wrote; draw the report of it alone")
    parser.add_argument("--curated", metavar="DIR", help="what `octomed curate` wrote; draw the report of it alone")
    parser.add_argument("--json", action="store_true", help="print summary.json or report.json on stdout")
    options, overrides = parser.read(arguments)
    for name, write in (("attempts", _write_attempts), ("curated", _write_curated)):
        if folder := getattr(options, name):
            if options.run or options.config or overrides:
                raise UserError(f"--{name} names a folder of its own; leave out --run and --config")
            if options.attempts and options.curated:
                raise UserError("--attempts and --curated both name a folder; give one of them")
            return _report_folder(write(folder), options.json)
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


def _write_attempts(folder: str) -> epath.Path:
    from octomed_jax.evaluation.attempts_report import write_attempts_report

    return write_attempts_report(folder)


def _write_curated(folder: str) -> epath.Path:
    from octomed_jax.evaluation.curated_report import write_curated_report

    return write_curated_report(folder)


def _report_folder(path: epath.Path, as_json: bool) -> int:
    from octomed_jax.storage import read_json

    figures = path.parent / "report.json"
    return finish(f"report: {path} (figures for scripts: {figures})", read_json(figures), as_json)
