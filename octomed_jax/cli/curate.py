"""``octomed curate``: take out of questions what a recipe does not want to learn from."""

from collections.abc import Sequence

import pyarrow as pa
from etils import epath
from ml_collections import ConfigDict
from rich.table import Table

from octomed_jax import configuration, progress
from octomed_jax.cli.options import Parser, finish
from octomed_jax.curation.card import MEANINGS, UNJUDGED, filled_by
from octomed_jax.curation.curate import curate
from octomed_jax.curation.removed import MOST_LEFT_OUT
from octomed_jax.curation.settings import defaults
from octomed_jax.curation.without_pandas import without_pandas
from octomed_jax.errors import UserError
from octomed_jax.executor import ENGINES
from octomed_jax.manifests import Manifest

DESCRIPTION = """Makes one folder of questions out of one or several, without those that the steps of config.curate take
out:

  decontaminate  that share 16 words in a row, or an image, with a held-out question
  deduplicate    that are the same as an earlier one, or nearly
  balance        of classes that come far oftener than others
  metadata       none; fills in modality and body region where the source names none: by rule, or also by the judge
  transform      with burned-in text, if asked for; makes images smaller
  difficulty     that were answered right too seldom or too often, by attempts that were made before; or that a judge,
                 config.curate.judge, rates too easy or too difficult

They are done in the order in which config.curate.steps names them. removed.parquet names every question that went, with
the reason and what it is like; report.html shows how many and some of them, and `octomed report --curated=DIR` draws it
again. Ended at any moment, the same command goes on where it was."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        "curate",
        DESCRIPTION,
        "octomed curate --questions=runs/medqa/questions --questions=runs/pmc_vqa/questions \\\n"
        "    --against=runs/medxpertqa/questions --output=runs/my/curated\n"
        "  octomed curate --config=configs/corpus.py --config.curate.decontaminate.ngram=13\n"
        "  octomed curate --questions=runs/my/curated --attempts=runs/my/tried --output=runs/my/medium \\\n"
        "    --config.curate.steps=difficulty",
    )
    parser.add_config(required=False)
    parser.add_argument(
        "--questions", metavar="DIR", action="append", default=[],
        help="questions to learn from, such as runs/medqa/questions: what `octomed questions build` wrote. The steps "
        "take out of these; held-out ones in it are compared with, and all carried on. Once for each folder (default: "
        "RUN/questions)",
    )  # fmt: skip
    parser.add_argument(
        "--against", metavar="[NAME=]DIR", action="append", default=[],
        help="questions to be tested with and not learnt from, such as runs/medxpertqa/questions: what is like a "
        "held-out one of these goes too, and nothing of them is carried on. Once for each folder, an evaluation set "
        "beside those of config.curate.against (default NAME: medxpertqa)",
    )  # fmt: skip
    parser.add_argument("--attempts", metavar="DIR", help="what `octomed distill` wrote, for the step difficulty")
    parser.add_argument("--output", metavar="DIR", help="folder to write (default: RUN/curated)")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="where pieces are done (default: local)")
    parser.add_argument("--workers", type=int, metavar="N", default=0, help="processes (default: as many as cores)")
    parser.add_argument(
        "--most-left-out", metavar="SHARE", type=float, default=MOST_LEFT_OUT,
        help=f"of a step's questions that go for images that cannot be read (default {MOST_LEFT_OUT:g})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options, overrides = parser.read(arguments)
    if not options.config and not (options.questions and options.output):
        parser.error("give --questions and --output, or --config for a run")
    if options.workers < 0:
        parser.error(f"--workers={options.workers} is less than 0")
    if not 0 <= options.most_left_out <= 1:
        parser.error(f"--most-left-out={options.most_left_out:g} is no share; give a number from 0 to 1")
    config = _config(options.config, overrides)
    without_pandas()
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps 40 MB of what is freed, or more
    questions = options.questions or [f"{config.run}/questions"]
    output = options.output or f"{config.run}/curated"
    how = (options.engine, options.workers, options.most_left_out)
    manifest = curate(config, questions, output, options.against, options.attempts, *how)
    return _tell(manifest, str(output), options.json)


def _config(path: str | None, overrides: Sequence[str]) -> ConfigDict:
    """Return the config: of the file, or what it is without one."""
    config = configuration.load(path) if path else ConfigDict({"seed": 0, "curate": defaults()})
    for override in overrides:
        name = override.partition("=")[0]
        if f"{name}.".startswith("curate.against.") and not config.get("curate", {}).get("against"):
            raise UserError(
                f"--config.{name}: config.curate.against names no set yet; name sets in the config file, or "
                "--against=NAME=DIR"
            )
        configuration.apply_override(config, override)
    return config


def _tell(manifest: Manifest, output: str, as_json: bool) -> int:
    from octomed_jax.evaluation.curated_report import write_curated_report

    print_steps(manifest)
    report = epath.Path(output) / "report.html"
    if not report.exists():
        write_curated_report(output)
    counts = manifest.counts
    before = counts["steps"][0]["before"]
    summary = (
        f"{counts['train']:,} of {before:,} questions are left, {counts['test']:,} held out, in {output}; "
        f"report: {report}"
    )
    return finish(summary, {"output": output, "report": str(report), **counts}, as_json)


def print_steps(manifest: Manifest) -> None:
    """Print what each step took out, a line a reason."""
    table = Table(title="What was taken out", title_justify="left")
    for name in ("step", "why"):
        table.add_column(name)
    table.add_column("questions", justify="right")
    for step in manifest.counts["steps"]:
        for reason, count in step["reasons"].items():
            table.add_row(step["step"], MEANINGS[reason], f"{count:,}")
        if kept := step.get("shared_images_kept"):
            table.add_row(
                step["step"], "(left in: share an image, and their source keeps those)", f"{kept:,}", style="dim"
            )
        if common := step.get("common_left_in"):
            table.add_row(
                step["step"], "(left in: share only runs of words that are too common)", f"{common:,}", style="dim"
            )
        for why, count in step.get("unjudged", {}).items():
            table.add_row(step["step"], f"(left in, not judged: {UNJUDGED[why]})", f"{count:,}", style="dim")
        for who, given in filled_by(step).items():
            for field, filled in given.items():
                words = f"(filled in by {who}: {field.replace('_', ' ')})"
                table.add_row(step["step"], words, f"{filled:,}", style="dim")
        for field, count in step.get("judge", {}).get("unknown", {}).items():
            words = f"(unknown to the judge: {field.replace('_', ' ')})"
            table.add_row(step["step"], words, f"{count:,}", style="dim")
        if not step["reasons"] and "filled" not in step:
            table.add_row(step["step"], "nothing", "0", style="dim")
    progress.console.print(table)
