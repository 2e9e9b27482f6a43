"""``octomed plan``: compile the training step for a pod that is not rented yet."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from octomed_jax import progress
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.training import search
from octomed_jax.training.chips import GIB, Topology, read_topology
from octomed_jax.training.plan import Job, plan_training, read_job, told
from octomed_jax.training.shape_plan import plan_for


def run(arguments: Sequence[str]) -> int:
    """Parse the options and plan."""
    parser = Parser(
        "plan",
        "Compile the training step for TPUs that are not here: does it fit, what does it send, how long may it take. "
        "For GPUs, which cannot be compiled for without one, estimate it from shapes.",
        "octomed plan --config=configs/octomed_7b.py --topology=v5e:4x4 --config.train.mesh.sequence=4",
    )
    parser.add_config()
    parser.add_argument("--topology", required=True, metavar="CHIP:SHAPE", help="v5e:4x4, v5e-16, v5p-64, h100:8, ...")
    parser.add_argument("--slices", type=int, default=1, metavar="N", help="slices of it (default 1)")
    parser.add_argument("--shards", metavar="DIR", help="what `octomed shard` wrote (default RUN/shards)")
    parser.add_argument("--search", action="store_true", help="rank meshes, rows at once and remat policies that fit")
    parser.add_argument("--compiled", type=int, default=4, metavar="N", help="of a search: so many best (default 4)")
    parser.add_argument("--full", action="store_true", help="compile with the effort of a real run, five times slower")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    options, config = parser.read_config(arguments)
    topology = read_topology(options.topology, options.slices)
    job = read_job(config, Path(options.shards or f"{config.run}/shards"))
    if options.search:
        return _search(job, topology, options)
    found = plan_for(job, topology, not options.full)
    for line in told(found):
        progress.say(line)
    peak = f"{found['peak_bytes_per_device'] / GIB:.2f} of {found['hbm_bytes_per_device'] / GIB:.2f} GiB"
    return finish(f"{topology}: {'fits' if found['fits'] else 'does not fit'}, {peak} a device", found, options.json)


def _search(job: Job, topology: Topology, options: argparse.Namespace) -> int:
    if options.compiled < 1:
        raise UserError(f"--compiled={options.compiled} is less than one")
    plans = search.search(
        job, topology, options.compiled, lambda one, where: plan_training(one, where, not options.full)
    )
    for line in search.told(plans):
        progress.say(line)
    best = plans[0]
    axes = " x ".join(f"{axis} {size}" for axis, size in best["mesh"].items())
    if not best["fits"]:
        return finish(f"{topology}: none of the {len(plans)} best by their shapes fits", plans, options.json)
    return finish(
        f"{topology}: {axes}, {best['rows_at_once']} row(s) at once, remat {best['remat']}", plans, options.json
    )
