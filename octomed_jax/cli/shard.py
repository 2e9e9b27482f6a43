"""``octomed shard``: accepted traces become training shards, and are measured as the student sees them."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from octomed_jax import manifests, storage
from octomed_jax.cli.options import Parser, finish
from octomed_jax.hf.rendering import render
from octomed_jax.progress import say
from octomed_jax.traces.stage import shard


def run(arguments: Sequence[str]) -> int:
    """Parse the options and write the shards."""
    parser = Parser(
        "shard", "Write accepted traces as training shards with their index.", "octomed shard --config=configs/demo.py"
    )
    parser.add_config()
    parser.add_argument("--traces", metavar="DIR", help="what `octomed verify` wrote (default RUN/traces)")
    parser.add_argument("--output", metavar="DIR", help="where the shards go (default RUN/shards)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options, config = parser.read_config(arguments)
    output = options.output or f"{config.run}/shards"
    shards, rendered = make_shards(config, options.traces or f"{config.run}/traces", output)
    counts = {**shards.counts, **rendered.counts}
    summary = (
        f"{counts['examples']:,} examples of {counts['records']:,} questions, {counts['tokens']:,} tokens: {output}"
    )
    return finish(summary, {"output": str(output), **counts}, options.json)


def make_shards(
    config: ConfigDict, traces: storage.PathLike, output: storage.PathLike
) -> tuple[manifests.Manifest, manifests.Manifest]:
    """Write shards and how the student sees them; return the manifests of both. Errors as ``shard`` and ``render``."""
    made = shard(config, traces, output)
    rendered = render(config, output)
    counts = rendered.counts
    say(f"shard: mean {counts['tokens'] / counts['examples']:.0f} tokens an example, longest {counts['longest']}")
    return made, rendered
