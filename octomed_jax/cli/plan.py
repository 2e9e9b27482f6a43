"""``octomed plan``: compile the training step, or generation, for a pod that is not rented yet."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import progress
from octomed_jax.cli.options import AUTO, Parser, finish
from octomed_jax.configuration import plain
from octomed_jax.errors import UserError
from octomed_jax.evaluation.protocol import CLOSING
from octomed_jax.images.patches import PatchSpec
from octomed_jax.storage import fingerprint
from octomed_jax.training.planning import generation_plan, plan, search
from octomed_jax.training.planning.chips import GIB, Topology, read_topology
from octomed_jax.training.planning.expected import expected_model
from octomed_jax.training.planning.plan import Job, read_job, with_mesh
from octomed_jax.training.planning.shape_plan import plan_for

TRAIN, GENERATE = "train", "generate"


def run(arguments: Sequence[str]) -> int:
    """Parse the options and plan."""
    parser = Parser(
        "plan",
        "Compile the training step, or generation, for TPUs that are not here: does it fit, what does it send, how "
        "long may it take. For GPUs, which cannot be compiled for without one, estimate it from shapes.",
        "octomed plan --config=configs/octomed_7b.py --topology=v5e:4x4 --mesh=fsdp=4,sequence=4",
    )
    parser.add_config()
    parser.add_argument("--topology", required=True, metavar="CHIP:SHAPE", help="v5e:4x4, v5e-16, v5p-64, h100:8, ...")
    parser.add_argument("--slices", type=int, default=1, metavar="N", help="slices of it (default 1)")
    parser.add_argument("--what", choices=(TRAIN, GENERATE), default=TRAIN, help="train (default) or generate")
    parser.add_mesh("the topology")
    parser.add_argument("--shards", metavar="DIR", help="what `octomed shard` wrote (default RUN/shards)")
    parser.add_argument("--search", action="store_true", help="rank meshes, rows at once and remat policies that fit")
    parser.add_argument(
        "--compiled",
        type=int,
        default=search.COMPILED,
        metavar="N",
        help=f"of a search: so many that fit (default {search.COMPILED})",
    )
    parser.add_argument(
        "--prompt-tokens", type=int, default=1024, metavar="N", help="of generation: of a prompt (default 1024)"
    )
    parser.add_argument("--full", action="store_true", help="compile with the effort of a real run, five times slower")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    options, config = parser.read_config(arguments)
    topology = read_topology(options.topology, options.slices)
    shards = Path(options.shards or f"{config.run}/shards")
    if options.compiled < 1:
        raise UserError(f"--compiled={options.compiled} is less than one")
    if options.what == GENERATE:
        return _generation(config, shards, topology, options)
    job = read_job(config, shards)
    if options.search:
        return _search(job, topology, options)
    if options.mesh == AUTO:
        found = search.best_plan(job, topology, _planner(options), options.compiled)
    else:
        found = plan_for(with_mesh(job, options.mesh or config.train.mesh), topology, not options.full)
    return _told(found | {"planned": identity(config, options.mesh)}, topology, plan.told, options)


def identity(config: ConfigDict, mesh: dict[str, int] | str | None) -> str:
    """Return a name of what is planned, equal for equal configs and meshes, wherever the run is kept."""
    return fingerprint([{**plain(config), "run": ""}, mesh])


def _told(
    found: dict[str, Any], topology: Topology, told: Callable[[dict[str, Any]], list[str]], options: argparse.Namespace
) -> int:
    for line in told(found):
        progress.say(line)
    peak = f"{found['peak_bytes_per_device'] / GIB:.2f} of {found['hbm_bytes_per_device'] / GIB:.2f} GiB"
    return finish(f"{topology}: {'fits' if found['fits'] else 'does not fit'}, {peak} a device", found, options.json)


def _planner(options: argparse.Namespace) -> search.Planner:
    return lambda job, topology: plan.plan_training(job, topology, not options.full)


def _generation(config: ConfigDict, shards: Path, topology: Topology, options: argparse.Namespace) -> int:
    """Plan the answers of the config's evaluation."""
    if options.search:
        raise UserError("--search is for training; --mesh=auto tries meshes for generation")
    model = expected_model(config, shards, {})
    work = generation_plan.read_answering(
        config, model, PatchSpec(max_pixels=config.shard.max_pixels), options.prompt_tokens
    )
    forced = None
    if config.eval.force_end_of_thinking:
        # A token has a letter at least, so that the closing text has no more tokens than these.
        written = config.eval.max_new_tokens + len(CLOSING)
        forced = generation_plan.with_forced(work, written, config.eval.forced_answer_tokens)
    if options.mesh == AUTO:
        found = generation_plan.best_generation(work, topology, options.compiled, not options.full)
    else:
        sizes = options.mesh or config.train.mesh
        found = generation_plan.plan_generation(work, topology, sizes, not options.full)
    if forced:
        found = _with_forced(found, generation_plan.plan_generation(forced, topology, found["mesh"], not options.full))
    return _told(found, topology, generation_plan.told, options)


def _with_forced(found: dict[str, Any], forced: dict[str, Any]) -> dict[str, Any]:
    """Return a plan that fits only where the answers after thoughts that were ended fit too."""
    return found | {
        "forced": forced,
        "fits": found["fits"] and forced["fits"],
        "peak_bytes_per_device": max(found["peak_bytes_per_device"], forced["peak_bytes_per_device"]),
        "short_by_bytes": max(found["short_by_bytes"], forced["short_by_bytes"]),
    }


def _search(job: Job, topology: Topology, options: argparse.Namespace) -> int:
    plans = search.search(job, topology, options.compiled, _planner(options))
    for line in search.told(plans):
        progress.say(line)
    best = plans[0]
    axes = " x ".join(f"{axis} {size}" for axis, size in best["mesh"].items())
    if not best["fits"]:
        return finish(f"{topology}: none of the {len(plans)} best by their shapes fits", plans, options.json)
    return finish(
        f"{topology}: {axes}, {best['rows_at_once']} row(s) at once, remat {best['remat']}", plans, options.json
    )
