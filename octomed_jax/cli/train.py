"""``octomed train``: train the student on shards."""

from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from octomed_jax import progress
from octomed_jax.cli.options import AUTO, Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.evaluation.held_out import HeldOut
from octomed_jax.storage import path_of
from octomed_jax.traces.shards import check_on_disk
from octomed_jax.training.loop import Reached, train
from octomed_jax.training.planning.chips import read_topology
from octomed_jax.training.preview import preview, told
from octomed_jax.training.profile import parse_span


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
    parser.add_mesh("the devices")
    parser.add_argument("--dry-run", action="store_true", help="only say which model, mesh, memory and data it takes")
    parser.add_argument("--topology", metavar="CHIP:SHAPE", help="with --dry-run: say it for v5e:4x4, h100:8, ...")
    parser.add_argument("--slices", type=int, default=1, metavar="N", help="slices of the topology (default 1)")
    parser.add_argument("--until", type=int, metavar="STEP", help="end there; the same command goes on to a later one")
    parser.add_argument("--profile", metavar="STEP:N", help="trace N steps from STEP on, for xprof or TensorBoard")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options, config = parser.read_config(arguments)
    workdir, shards = options.workdir or f"{config.run}/train", options.shards or f"{config.run}/shards"
    check_on_disk(shards)
    shards = Path(shards)
    choose = options.mesh == AUTO
    if options.mesh and not choose:
        config.train.mesh = ConfigDict(options.mesh)
    if options.topology and not options.dry_run:
        raise UserError("--topology belongs to --dry-run; training takes the devices that are here")
    if options.until is not None and options.dry_run:
        raise UserError("--until belongs to a run; --dry-run says what the whole of it takes")
    if options.dry_run:
        topology = read_topology(options.topology, options.slices) if options.topology else None
        found = preview(config, shards, topology, choose)
        for line in told(found):
            progress.say(line)
        return finish(f"nothing was started; a run would write {workdir}", {"workdir": workdir, **found}, options.json)
    span = parse_span(options.profile) if options.profile else None
    look = HeldOut(config, shards, path_of(workdir)) if config.held_out.every else None
    manifest = train(config, shards, workdir, look, span, choose, options.until)
    if isinstance(manifest, Reached):
        summary = f"reached step {manifest.step} of {manifest.steps}: {workdir}/checkpoints"
        result = {"workdir": str(workdir), "step": manifest.step, "steps": manifest.steps}
        return finish(summary, result, options.json)
    steps, losses = manifest.counts["steps"], manifest.extra
    summary = (
        f"trained {steps} steps, loss {losses['loss_first']:.3f} to {losses['loss_last']:.3f}: {workdir}/checkpoints"
    )
    result = {"workdir": str(workdir), "steps": steps, **losses, "sources": manifest.counts["sources"]}
    return finish(summary, result, options.json)
