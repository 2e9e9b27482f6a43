"""``octomed eval score``: the figures of a file of samples, without a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import storage
from octomed_jax.cli.eval_tables import check_output, print_results
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.evaluation.sample_files import find_files, score_files
from octomed_jax.evaluation.text_overlap import SIMPLE, open_tokens

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
    parser.add_argument("samples", metavar="SAMPLES", nargs="+", help="files of samples (.jsonl), or folders of them")
    parser.add_argument("--output", metavar="FILE", required=True, help="where to write the results (.json)")
    parser.add_argument(
        "--votes", metavar="K", type=int, default=0, help="also the majority of K samples of a question (the paper: 10)"
    )
    parser.add_argument(
        "--f1-tokenizer", metavar="DIR", help="tokenizer that token F1 counts by, such as GPT-2's (default: words)"
    )
    parser.add_argument(
        "--seen", metavar="FILE", help="what `octomed eval seen` wrote: accuracies on what was seen in training apart"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"there is no config here, so nothing for --config.{overrides[0]} to override")
    check_output(options.output)
    output = Path(options.output)
    if options.votes < 0:
        raise UserError(f"--votes={options.votes}: so many samples cannot vote; 0 is none")
    for one in options.samples:
        if storage.in_bucket(one):
            raise UserError(f"{one} lies in a bucket; copy it to a disk, and give that")
    files = find_files([Path(one) for one in options.samples])
    if output.suffix != ".json" or output.is_dir():
        raise UserError(f"--output={output} is no .json file; results are JSON")
    tokens = open_tokens(options.f1_tokenizer) if options.f1_tokenizer else SIMPLE
    seen = None
    if options.seen:
        # Loaded late: looking for what was seen takes more than scoring needs.
        from octomed_jax.evaluation.seen_in_training import read_seen

        seen = read_seen(options.seen)
    results = score_files(files, options.votes, tokens, seen)
    storage.write_json(output, results)
    if not options.json:
        print_results(results)
    return finish(_last_line(results["benchmarks"], output), results, options.json)


def _last_line(benchmarks: Mapping[str, Any], output: Path) -> str:
    totals = {name: sum(figures[name] for figures in benchmarks.values()) for name in ("n", "samples", "failed")}
    failed = f", {totals['failed']} requests failed" if totals["failed"] else ""
    what = f"{totals['samples']} responses to {totals['n']} questions of {len(benchmarks)} benchmarks"
    return f"{what}{failed}; results: {output}"
