"""``octomed sweep results`` and ``octomed sweep export-best``: what came out of a sweep, and the best of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import manifests, places, storage
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.sweeps.best import Best, need_best
from octomed_jax.sweeps.results import write_results
from octomed_jax.sweeps.results_words import best_lines
from octomed_jax.sweeps.rows import Sweep, choose_metric, place_of_training, read_sweep

METRIC = "what is best: overall, a benchmark's name, held_out_loss or loss (default: what the config file says)"
EXAMPLE = "runs/sweeps/traces_per_question-demo"


def results_command(arguments: Sequence[str]) -> int:
    """Write and print the results of a sweep, as far as it has come."""
    parser = Parser(
        "sweep results",
        "Writes results.csv, results.md and results.html of what is there, and prints the table.",
        f"octomed sweep results {EXAMPLE} --metric=held_out_loss",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the sweep")
    parser.add_argument("--metric", metavar="NAME", default="", help=METRIC)
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")
    options = _read(parser, arguments)
    sweep = read_sweep(options.folder)
    if sweep.counts["missing"] == len(sweep.last):
        raise UserError(f"nothing of {options.folder} is done yet; run it first with `octomed sweep run`")
    results = write_results(options.folder, options.metric)
    done = results.sweep.counts["done"]
    summary = (
        f"{results.text}\n{done} of {len(sweep.last)} points done; page in {Path(options.folder) / 'results.html'}"
    )
    return finish(summary, {"output": options.folder, **results.plain}, options.json)


def export_best_command(arguments: Sequence[str]) -> int:
    """Export the best point's checkpoint as a Hugging Face folder that says how it was chosen."""
    parser = Parser(
        "sweep export-best",
        "Exports the checkpoint of the best point that is done. Its model card says out of how many it was chosen, by "
        "what,\nand on which questions; best.json in the folder says the same for programs.",
        f"octomed sweep export-best {EXAMPLE} --output=best-model --metric=held_out_loss",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the sweep")
    parser.add_argument("--output", metavar="FOLDER", required=True, help="the new folder")
    parser.add_argument("--metric", metavar="NAME", default="", help=METRIC)
    parser.add_argument("--json", action="store_true", help="print what is best as JSON")
    options = _read(parser, arguments)
    sweep = read_sweep(options.folder)
    best = need_best(sweep, choose_metric(sweep, options.metric))
    lines = best_lines(best, sweep.labels)
    _export(sweep, best, options.output, lines)
    told = {**best.plain, "sweep": sweep.definition["config"], "says": lines}
    storage.write_json(Path(options.output) / "best.json", told)
    return finish("\n".join([*lines, f"exported: {options.output}"]), {"output": options.output, **told}, options.json)


def _read(parser: Parser, arguments: Sequence[str]) -> Any:
    options, overrides = parser.read(arguments)
    if overrides:
        raise UserError(f"unknown option '--config.{overrides[0]}'; `{parser.prog} --help` shows the options")
    return options


def _export(sweep: Sweep, best: Best, output: str, lines: Sequence[str]) -> None:
    checkpoint = place_of_training(sweep.root, best.row.train) / "checkpoints" / str(best.row.step)
    if storage.in_bucket(checkpoint):
        raise UserError(f"the best checkpoint lies in a bucket ({checkpoint}); copy its run, and use `octomed export`")
    if not best.row.train or not checkpoint.is_dir():
        raise UserError(
            f"the checkpoint of {best.row.id} at step {best.row.step} is gone ({checkpoint}); keep it with "
            "config.checkpoint.parts, and run the sweep again"
        )
    from octomed_jax.cli.malloc import keep_freed_memory
    from octomed_jax.hf.export import export  # it takes JAX along, which `octomed sweep` has no need of
    from octomed_jax.hf.settings import Settings

    keep_freed_memory()
    metrics = places.inside(sweep.root, best.row.eval) if best.row.eval else None
    settings = dataclasses.replace(Settings(), **_as_measured(sweep.root, metrics))
    export(checkpoint, output, settings, metrics, lines)


def _as_measured(root: Path, evaluation: Path | None) -> Mapping[str, Any]:
    """Return the settings of the export that was measured, so that the new folder is the very same model."""
    if evaluation is None:
        return {}
    model = manifests.read_manifest(evaluation, "eval").inputs["model"]
    for folder in sorted((root / "stages").glob("export-*")):
        if manifests.is_finished(folder):
            manifest = manifests.read_manifest(folder, "export")
            if manifest.identity == model:
                return {name: manifest.config[name] for name in ("dtype", "max_shard_gb", "adapter")}
    return {}
