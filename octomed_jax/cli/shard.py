"""``octomed shard``: accepted traces become training shards, and are measured as the student sees them."""

from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from octomed_jax import manifests, storage
from octomed_jax.cli.options import Parser, finish
from octomed_jax.executor import ENGINES
from octomed_jax.hf.rendering import render
from octomed_jax.inputs.mixture import check_sources, read_mixture
from octomed_jax.inputs.source_table import source_table, table_lines
from octomed_jax.progress import say
from octomed_jax.traces.stage import shard, sources_for
from octomed_jax.training.chosen import choose, read_rendered

DESCRIPTION = """Writes accepted traces as training shards, and measures what each example takes as the student sees it.

config.traces says which responses are taken and in which form: how many a question (per_question), which of them
(choose), with the thought or the answer alone (format), how the answer is marked (answer_format), of which sources
nothing comes (leave_out), and that all may be passed on (release, permitted). config.mixture says how much of each
source an epoch of training holds; it changes no shard. At the end stands a table of what each source gives to an epoch.
Ended at any moment, the same command goes on where it was."""


def run(arguments: Sequence[str]) -> int:
    """Parse the options and write the shards."""
    parser = Parser(
        "shard",
        DESCRIPTION,
        "octomed shard --config=configs/demo.py\n"
        "  octomed shard --config=configs/demo.py --config.traces.per_question=4 --config.traces.choose=balanced \\\n"
        "    --config.traces.answer_format=boxed --config.mixture.weights=brain=2,dicom=1,icd10=1,medcalc=0.5 \\\n"
        "    --output=runs/short/shards\n"
        "  octomed shard --config=configs/demo.py --traces=runs/my/traces --output=gs://bucket/shards --workers=8",
    )
    parser.add_config()
    parser.add_argument("--traces", metavar="DIR", help="what `octomed verify` wrote (default RUN/traces)")
    parser.add_argument("--output", metavar="DIR", help="where the shards go (default RUN/shards)")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="where pieces are done (default: local)")
    parser.add_argument("--workers", type=int, metavar="N", default=0, help="processes (default: as many as cores)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options, config = parser.read_config(arguments)
    if options.workers < 0:
        parser.error(f"--workers={options.workers} is less than 0")
    output = options.output or f"{config.run}/shards"
    traces = options.traces or f"{config.run}/traces"
    mixture = read_mixture(config.mixture)  # its mistakes before anything is done
    if not mixture.natural:
        check_sources(mixture, sources_for(traces, output))
    if storage.in_bucket(output):
        counts = dict(shard(config, traces, output, options.engine, options.workers).counts)
        summary = (
            f"{counts['examples']:,} examples of {counts['records']:,} questions: {output}; mount it and run the same "
            "command on the mount, which only measures them as the student sees them (docs/shards.md)"
        )
        return finish(summary, {"output": str(output), **counts}, options.json)
    shards, rendered = make_shards(config, traces, output, options.engine, options.workers)
    counts = {**shards.counts, **rendered.counts}
    chosen = choose(config, *read_rendered(config, Path(output)))
    sources = source_table(chosen.learned, chosen.numbers())
    for line in table_lines(sources):
        say(f"  {line}")
    summary = (
        f"{counts['examples']:,} examples of {counts['records']:,} questions, {counts['tokens']:,} tokens: {output}"
    )
    return finish(summary, {"output": str(output), **counts, "sources": sources}, options.json)


def make_shards(
    config: ConfigDict,
    traces: storage.PathLike,
    output: storage.PathLike,
    engine: str = "local",
    workers: int = 0,
) -> tuple[manifests.Manifest, manifests.Manifest]:
    """Write shards and how the student sees them; return the manifests of both. Errors as ``shard`` and ``render``."""
    made = shard(config, traces, output, engine, workers)
    rendered = render(config, output, engine, workers)
    counts = rendered.counts
    say(f"shard: mean {counts['tokens'] / counts['examples']:.0f} tokens an example, longest {counts['longest']}")
    return made, rendered
