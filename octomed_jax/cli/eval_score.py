"""``octomed eval score``: the figures of a file of samples, without a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from octomed_jax import storage
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.evaluation.sample_files import find_files, score_files
from octomed_jax.progress import console

DESCRIPTION = """Judges responses by the verifier, and gives the figures of each benchmark with their intervals.

A row is one sample: {"benchmark", "id", "task", "question", "options", "answer", "seed", "response", "finish_reason",
"cluster"}. It needs no model and no endpoint. Verdicts that rows carry already are not used. docs/evaluation.md
has every figure."""


def score(arguments: Sequence[str]) -> int:
    """Score files of samples, without a model."""
    parser = Parser(
        "eval score",
        DESCRIPTION,
        "octomed eval score samples/medqa.jsonl samples/pmc_vqa.jsonl --output=results.json\n"
        "  octomed eval score runs/demo/eval/after --output=results.json",
    )
    parser.add_argument(
        "samples", metavar="SAMPLES", nargs="+", type=Path, help="files of samples (.jsonl), or folders of them"
    )
    parser.add_argument("--output", metavar="FILE", required=True, help="where to write the results (.json)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"there is no config here, so nothing for --config.{overrides[0]} to override")
    output = Path(options.output)
    files = find_files(options.samples)
    if output.suffix != ".json" or output.is_dir():
        raise UserError(f"--output={output} is no .json file; results are JSON")
    results = score_files(files)
    storage.write_json(output, results)
    if not options.json:
        print_scores(results["benchmarks"])
    return finish(_last_line(results["benchmarks"], output), results, options.json)


def _last_line(benchmarks: Mapping[str, Any], output: Path) -> str:
    totals = {name: sum(figures[name] for figures in benchmarks.values()) for name in ("n", "samples", "failed")}
    failed = f", {totals['failed']} requests failed" if totals["failed"] else ""
    what = f"{totals['samples']} responses to {totals['n']} questions of {len(benchmarks)} benchmarks"
    return f"{what}{failed}; results: {output}"


def print_scores(benchmarks: Mapping[str, Any]) -> None:
    """Print one line a benchmark."""
    table = Table()
    table.add_column("benchmark", min_width=12, overflow="fold")
    for title in ("n", "accuracy", "Wilson", "bootstrap", "majority", "unparsed /cut /failed"):
        table.add_column(title, justify="right", min_width=len(title.split()[0]))
    for name, figures in benchmarks.items():
        votes, accuracy = figures["maj_at"], figures["accuracy"]
        k = max(votes, key=int, default="")
        table.add_row(
            name,
            str(figures["n"]),
            "-" if accuracy is None else f"{accuracy:.1%}",
            _interval(figures["wilson"]),
            _interval(figures["bootstrap"]),
            f"{votes[k]:.1%}@{k}" if k else "-",
            "/".join(str(figures[count]) for count in ("unparsed", "truncated", "failed")),
        )
    console.print(table)
    for name, figures in benchmarks.items():
        if lost := figures["only_failed"]:
            more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
            console.print(
                f"{name}: every request of {', '.join(lost[:5])}{more} failed; not counted in n", markup=False
            )


def _interval(ends: Sequence[float] | None) -> str:
    """Return a 95 % interval in per cent."""
    return "-" if ends is None else f"{100 * ends[0]:.1f}-{100 * ends[1]:.1f}"
