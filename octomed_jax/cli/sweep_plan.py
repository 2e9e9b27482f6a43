"""``octomed sweep plan``: what a sweep would take and cost. Nothing is started, and nothing is written."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import configuration, manifests, progress
from octomed_jax.cli.options import Parser, finish, mesh_or_auto
from octomed_jax.cli.sweep_expand import RECIPE, add_sweep, read_sweep
from octomed_jax.cli.sweep_launch import add_launch, read_place
from octomed_jax.cli.sweep_run import add_given, default_output, given_of
from octomed_jax.errors import UserError
from octomed_jax.launching.placeholders import placeholders
from octomed_jax.launching.prices import TABLE, read_prices
from octomed_jax.launching.spec import PLACEHOLDER
from octomed_jax.sweeps.expand import Point, Sweep
from octomed_jax.sweeps.job_runner import TRAIN, trainings_of
from octomed_jax.sweeps.machines import machines_of_job, machines_of_topology, topology_of_job
from octomed_jax.sweeps.plan import Load, Machines, PlannedPoint, PlannedStage, plan_sweep
from octomed_jax.sweeps.plan_text import spent, told
from octomed_jax.sweeps.run import plans_of
from octomed_jax.sweeps.stages import Given, Work, given_to
from octomed_jax.sweeps.train_spec import Place, Training, job_spec
from octomed_jax.training.planning.chips import Topology, read_topology


def plan_command(arguments: Sequence[str]) -> int:
    """Say what a sweep would take and cost; nothing is started, and nothing is written."""
    parser = Parser(
        "sweep plan",
        "Says what a sweep would run: stages that are shared or there already, steps, and with --launch or --topology\n"
        "chips, memory (from `octomed plan`, once for each shape; for TPUs it compiles, a minute or two each),\n"
        "chip-hours, and cost from a dated price table (an estimate). Nothing is started or written.",
        f"octomed sweep plan --config={RECIPE}\n  octomed sweep plan --config={RECIPE} --topology=h100:8 --at-once=4",
    )
    add_sweep(parser)
    parser.add_argument("--output", metavar="DIR", default="", help="folder of the sweep (default runs/sweeps/NAME)")
    parser.add_argument("--at-once", metavar="N", type=int, default=1, help="stages that run at a time (default 1)")
    add_given(parser)
    add_launch(parser)
    parser.add_argument("--topology", metavar="CHIP:SHAPE", help="chips of a training, instead of --launch: v5e:16x16")
    parser.add_argument("--slices", type=int, default=1, metavar="N", help="slices of the topology (default 1)")
    parser.add_mesh("the topology")
    parser.add_argument("--prices", metavar="FILE", default=str(TABLE), help="price table instead of the bundled one")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    options, sweep = read_sweep(parser, arguments)
    if options.at_once < 1:
        raise UserError(f"--at-once={options.at_once}: at least 1")
    if options.launch and (options.topology or options.mesh):
        raise UserError("--topology and --mesh are for a plan without --launch, whose file names both; leave them out")
    plan = _plan(options, sweep, read_place(options), Path(options.output or default_output(options.config)))
    if not options.json:
        print("\n".join(told(plan)))
    return finish(_summary(plan), plan, options.json)


def _plan(options: argparse.Namespace, sweep: Sweep, place: Place | None, root: Path) -> dict[str, Any]:
    given = given_of(options)
    works = plans_of(sweep, given)
    trainings = trainings_of(sweep.points, works, {one.folder for one in given.values()}, root)
    points = [_planned(point, works[point.id], given, root, place) for point in sweep.points]
    machines, topology = _machines(options, place)
    loads, plans = _loads(sweep, works, {one.key: one for one in trainings}, place, topology, _mesh(options, place))
    plan = plan_sweep(points, loads, machines, options.at_once, plans)
    return plan | {"output": str(root), **_looked_at(place, trainings)}


def _planned(
    point: Point, works: Sequence[Work], given: Mapping[str, Given], root: Path, place: Place | None
) -> PlannedPoint:
    stages = [PlannedStage(stage, one.folder, True) for stage, one in given_to(point.config, given).items()]
    for work in works:
        home = place.spec.workdir.rstrip("/") if place and work.stage == TRAIN else str(root)
        folder = f"{home}/stages/{work.key}"
        stages.append(PlannedStage(work.stage, folder, _is_there(folder)))
    return PlannedPoint(point.id, point.changes, tuple(stages), str(root / "runs" / point.id))


def _is_there(folder: str) -> bool:
    """Return whether a stage is finished; one in a bucket that cannot be read from here counts as not."""
    if PLACEHOLDER.search(folder):
        return False
    try:
        return manifests.is_finished(folder)
    except (OSError, ImportError, ValueError) as error:
        progress.say(f"plan: {folder} cannot be read from here ({' '.join(str(error).split())}); taken as not there")
        return False


def _machines(options: argparse.Namespace, place: Place | None) -> tuple[Machines | None, Topology | None]:
    """Return the machines of a training, and what is planned for; None and None for this machine."""
    prices = read_prices(Path(options.prices))
    if options.topology:
        topology = read_topology(options.topology, options.slices)
        return machines_of_topology(topology, prices), topology
    if place is None or place.backend.name == "local":
        return None, None
    return machines_of_job(place.spec, prices), topology_of_job(place.spec)


def _mesh(options: argparse.Namespace, place: Place | None) -> Mapping[str, int] | str | None:
    """Return the mesh that the launch config's command or an option names; None: each config's own."""
    named = [option for option in place.spec.command.options if option.startswith("mesh=")] if place else []
    return mesh_or_auto(named[-1].partition("=")[2]) if named else options.mesh


def _loads(
    sweep: Sweep,
    works: Mapping[str, Sequence[Work]],
    trainings: Mapping[str, Training],
    place: Place | None,
    topology: Topology | None,
    mesh: Mapping[str, int] | str | None,
) -> tuple[dict[str, Load], int]:
    """Return what the trainings take, by point id, and how many plans were made."""
    from octomed_jax.sweeps import loads  # with JAX, which takes seconds

    placed = place.spec.command.overrides if place else ()
    asked = []
    for point in sweep.points:
        for work in works[point.id]:
            if work.stage == TRAIN:
                config = configuration.load(point.spec, (*placed, *point.overrides))
                asked.append(loads.Asked(point.id, config, Path(trainings[work.key].shards)))
    if topology is None:
        found, plans = loads.steps_only(asked), 0
    else:
        found, plans = loads.loads(asked, topology, loads.default_planner(mesh))
    return {point.id: found.get(point.id, Load(None, "it trains nothing")) for point in sweep.points}, plans


def _looked_at(place: Place | None, trainings: Sequence[Training]) -> dict[str, list[str]]:
    """Return what of the launch config is still to be replaced, and why a job could not be."""
    replace: set[str] = set()
    problems: dict[str, None] = {}
    for training in trainings if place else ():
        assert place
        try:
            spec = job_spec(place, training)
            place.backend.check(place.backend.files(spec))
            replace |= {*placeholders(spec, place.backend)}
        except UserError as error:
            problems.setdefault(str(error))
    return {"to_replace": sorted(replace), "problems": list(problems)}


def _summary(plan: Mapping[str, Any]) -> str:
    totals, machines = plan["totals"], plan["machines"]
    left = sum(stage["left"] for stage in plan["stages"].values())
    parts = [f"{totals['points']} points, {left} stages to run, {totals['trainings_left']} of them trainings"]
    if machines:
        least = "at least " if totals["unknown"] else ""
        hours = totals["chip_hours"]
        parts.append(f"{least}{spent(hours)} chip-hours (estimate)" if hours else "chip-hours unknown")
    if totals["do_not_fit"]:
        parts.append(f"{len(totals['do_not_fit'])} points DO NOT FIT")
    return f"{', '.join(parts)}; nothing was started or written; it would go to {plan['output']}"
