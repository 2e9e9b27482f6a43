"""``octomed train``: train the student on shards."""

from collections.abc import Sequence

from octomed_jax.cli.options import Parser, finish
from octomed_jax.training.loop import train


def run(arguments: Sequence[str]) -> int:
    """Parse the options and train."""
    parser = Parser(
        "train",
        "Train the student. A run that was cut off goes on where its last checkpoint lies.",
        "octomed train --config=configs/demo.py --config.train.steps=500 --workdir=runs/short",
    )
    parser.add_config()
    parser.add_argument("--workdir", metavar="DIR", help="checkpoints and metrics (default RUN/train)")
    parser.add_argument("--shards", metavar="DIR", help="what `octomed shard` wrote (default RUN/shards)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options, config = parser.read_config(arguments)
    workdir = options.workdir or f"{config.run}/train"
    manifest = train(config, options.shards or f"{config.run}/shards", workdir)
    steps, losses = manifest.counts["steps"], manifest.extra
    summary = (
        f"trained {steps} steps, loss {losses['loss_first']:.3f} to {losses['loss_last']:.3f}: {workdir}/checkpoints"
    )
    return finish(summary, {"workdir": str(workdir), "steps": steps, **losses}, options.json)
