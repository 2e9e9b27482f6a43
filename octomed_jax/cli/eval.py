"""``octomed eval run``: measure a model folder on the held-out questions."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from octomed_jax.cli.eval_benchmarks import list_benchmarks
from octomed_jax.cli.eval_compare import compare
from octomed_jax.cli.eval_report import report
from octomed_jax.cli.eval_score import score
from octomed_jax.cli.eval_seen import seen
from octomed_jax.cli.options import Parser, finish, subverb
from octomed_jax.progress import console


def run(arguments: Sequence[str]) -> int:
    """Find the subverb."""
    table = {
        "run": run_eval,
        "score": score,
        "compare": compare,
        "report": report,
        "benchmarks": list_benchmarks,
        "seen": seen,
    }
    return subverb("eval", table, arguments, "Measure models on held-out questions.")


def run_eval(arguments: Sequence[str]) -> int:
    """Answer the held-out questions and judge the answers."""
    parser = Parser(
        "eval run",
        "Answer the held-out questions with a model and judge the answers. A killed run is gone on with.",
        "octomed eval run --config=configs/demo.py --model=runs/demo/export --output=runs/demo/eval/again\n"
        "  octomed eval run --config=configs/octomed_7b.py --endpoint=http://gpu-1:8000 --model=NAME --output=eval",
    )
    parser.add_config()
    parser.add_argument("--model", metavar="DIR", help="Hugging Face folder (default RUN/export)")
    parser.add_argument(
        "--endpoint", metavar="URL", help="of a server that is there already; --model is the name that it knows"
    )
    parser.add_argument("--random-weights", action="store_true", help="the folder has none: start as training starts")
    parser.add_argument(
        "--questions", metavar="DIR", help="what `octomed questions build` wrote (default RUN/questions)"
    )
    parser.add_argument("--output", metavar="DIR", help="the new folder (default RUN/eval/after)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options, config = parser.read_config(arguments)
    from octomed_jax.evaluation.run import evaluate  # brings JAX, which scoring does without

    if options.endpoint:
        config.eval.update({"backend": "endpoint", "endpoint": options.endpoint, "model": options.model or ""})
    output = Path(options.output or f"{config.run}/eval/after")
    evaluate(
        config,
        options.model or f"{config.run}/export",
        options.questions or f"{config.run}/questions",
        output,
        options.random_weights,
    )
    results = json.loads((output / "results.json").read_text())
    if not options.json:
        print_results(results)
    return finish(f"results and samples: {output}", results, options.json)


def print_results(results: dict[str, Any]) -> None:
    """Print one line a benchmark."""
    table = Table("benchmark", "n", "best constant", "accuracy", "95 % interval", "unparsed", "truncated")
    for name, figures in results["benchmarks"].items():
        table.add_row(
            name,
            str(figures["n"]),
            _share(figures["baseline"]),
            _share(figures["accuracy"]),
            " to ".join(map(_share, figures["wilson"])) if figures["wilson"] else "-",
            str(figures["unparsed"]),
            str(figures["truncated"]),
        )
    console.print(table)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
