"""``octomed eval run``: measure a model folder on the held-out questions."""

import json
from collections.abc import Sequence
from pathlib import Path

from octomed_jax.cli.eval_benchmarks import list_benchmarks
from octomed_jax.cli.eval_compare import compare
from octomed_jax.cli.eval_report import report
from octomed_jax.cli.eval_score import score
from octomed_jax.cli.eval_seen import seen
from octomed_jax.cli.eval_tables import check_output, print_results
from octomed_jax.cli.options import Parser, finish, subverb
from octomed_jax.errors import UserError


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
        "  octomed eval run --config=configs/octomed_7b.py --endpoint=http://gpu-1:8000 --model=NAME --output=eval\n"
        "  octomed eval run --config=configs/octomed_7b.py --model=export --questions=runs/benchmarks \\\n"
        "    --benchmarks=medqa,medmcqa,classification --trained=runs/my/shards --output=eval/ours",
    )
    parser.add_config()
    parser.add_argument("--model", metavar="DIR", help="Hugging Face folder (default RUN/export)")
    parser.add_argument(
        "--endpoint", metavar="URL", help="of a server that is there already; --model is the name that it knows"
    )
    parser.add_argument(
        "--shards",
        metavar="DIR",
        help="measure the config's student before training, as it begins on what `octomed shard` wrote; in place of "
        "--model",
    )
    parser.add_argument("--random-weights", action="store_true", help="the folder has none: start as training starts")
    parser.add_argument(
        "--questions",
        metavar="DIR",
        action="append",
        help="what `octomed questions build` wrote, or a folder of such folders (default RUN/questions); may be given "
        "several times",
    )
    parser.add_argument(
        "--benchmarks",
        metavar="NAME[,NAME]",
        help="which of their questions: names of `octomed eval benchmarks`, a category such as text, or a folder of "
        "questions beside them, of which all is asked (default: all)",
    )
    parser.add_argument(
        "--trained",
        metavar="DIR",
        action="append",
        default=[],
        help="what the model was trained on, as of `octomed eval seen`: results say what of it was seen",
    )
    parser.add_argument("--output", metavar="DIR", help="the new folder on a disk (default RUN/eval/after)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options, config = parser.read_config(arguments)
    from octomed_jax.evaluation.run import evaluate  # brings JAX, which scoring does without

    if options.endpoint:
        config.eval.update({"backend": "endpoint", "endpoint": options.endpoint, "model": options.model or ""})
    if options.benchmarks is not None:
        config.eval.benchmarks = names_of(options.benchmarks)
    output = options.output or f"{config.run}/eval/after"
    check_output(output)
    model, random_weights, weights = options.model or f"{config.run}/export", options.random_weights, None
    if options.shards:
        if options.model or options.endpoint or random_weights:
            raise UserError("--shards measures the student before training; leave --model and the like out")
        from octomed_jax.hf.rendering import student_folder

        model, weights = str(student_folder(config, options.shards)), config.student.base or None
        random_weights = not weights
    evaluate(
        config,
        model,
        options.questions or [f"{config.run}/questions"],
        output,
        random_weights,
        weights,
        trained=options.trained,
    )
    results = json.loads((Path(output) / "results.json").read_text())
    if not options.json:
        print_results(results)
    return finish(f"results and samples: {output}", results, options.json)


def names_of(text: str) -> tuple[str, ...]:
    """Return the names that a comma parts.

    Raises:
        UserError: there is none.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UserError("--benchmarks names none; leave it out for all, or see `octomed eval benchmarks`")
    return names
