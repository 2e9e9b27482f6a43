"""What a launch would be, before anything is paid for: machines, memory, time, cost, files, and what has changed."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.placeholders import placeholders
from octomed_jax.launching.prices import Prices, lines
from octomed_jax.launching.render import refuse_secret_values
from octomed_jax.launching.spec import JobSpec

GIB = 2**30
DIFFERENCE_LINES = 40  # so many are shown; all are in the JSON


def plan_launch(
    spec: JobSpec,
    backend: Backend,
    prices: Prices,
    training: Mapping[str, Any] | None,
    no_training: str,
    last: Mapping[str, str] | None,
    no_last: str,
) -> dict[str, Any]:
    """Return the plan as plain data. Nothing is written, and no cloud is asked.

    Args:
        spec: the job.
        backend: where it would run.
        prices: of chips.
        training: what `octomed plan` says of its training; None: nothing.
        no_training: why.
        last: text of the files of its last launch, by name; None: there was none.
        no_last: why.

    Raises:
        UserError: the back end cannot do the job, or its files do not pass their check.
    """
    files = dict(backend.files(spec))
    backend.check(files)
    for text in files.values():
        refuse_secret_values(text, spec)
    here = backend.name == "local"
    return {
        "backend": backend.name,
        "name": spec.name,
        "machines": (
            {"processes": spec.processes, "devices": spec.processes * spec.devices}
            if here
            else machines(spec, backend.teacher_aside)
        ),
        "training": None if training is None else dict(training),
        "training_missing": no_training or None,
        "hours": spec.hours,
        "cost": None if here else cost(spec, prices, training, backend.teacher_aside),
        "files": {name: len(text.encode()) for name, text in files.items()},
        "difference": None if last is None else difference(last, files),
        "difference_missing": no_last or None,
        "to_replace": placeholders(spec, backend),
        "commands": [list(words) for words in backend.up(spec, Path("DIR"))],
    }


def machines(spec: JobSpec, teacher_aside: bool = True) -> dict[str, Any]:
    """Return what a job takes; a teacher that is not aside has the job's own GPUs, a teacher on each host."""
    found: dict[str, Any] = {
        "accelerator": spec.accelerator,
        "topology": spec.topology,
        "capacity": spec.capacity,
        "slices": spec.slices,
        "hosts": spec.slices * spec.hosts,
        "chips": spec.chips,
    }
    if teacher := spec.teacher:
        replicas = teacher.replicas * (1 if teacher_aside else spec.hosts)
        found["teacher"] = {
            "model": teacher.model,
            "accelerator": teacher.accelerator,
            "replicas": replicas,
            "nodes": teacher.nodes * replicas if teacher_aside else spec.hosts,
            "gpus": teacher.nodes * replicas * teacher.gpus,
            "of_the_job": not teacher_aside,
        }
    return found


def cost(
    spec: JobSpec, prices: Prices, training: Mapping[str, Any] | None, teacher_aside: bool = True
) -> dict[str, Any]:
    """Return what a job costs for its hours, and for the hours that `octomed plan` estimates; an estimate."""
    parts = lines(spec, prices, teacher_aside)
    known = [part.per_hour for part in parts if part.per_hour]
    hour = [sum(low for low, _ in known), sum(high for _, high in known)]
    run = training["run"] if training and training.get("run") else None
    estimated = None
    if run and run.get("hours_low"):
        estimated = [hour[0] * run["hours_low"], hour[1] * run["hours_high"]]
    return {
        "estimate": True,
        "currency": prices.currency,
        "prices_read": prices.read,
        "prices_source": prices.source,
        "parts": [{"what": part.what, "per_hour": part.per_hour, "missing": part.why or None} for part in parts],
        "complete": len(known) == len(parts),
        "per_hour": hour if known else None,
        "for_its_hours": [spec.hours * one for one in hour] if known else None,
        "for_the_estimated_run": estimated if known else None,
    }


def difference(last: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    """Return the lines in which the files differ from those of the last launch; none: they are the same."""
    found: list[str] = []
    for name in sorted({*last, *files}):
        before, after = last.get(name, "").splitlines(), files.get(name, "").splitlines()
        old, new = (f"last/{name}" if name in last else "nothing"), (f"now/{name}" if name in files else "nothing")
        found += difflib.unified_diff(before, after, old, new, lineterm="", n=2)
    return found


def told(plan: Mapping[str, Any]) -> list[str]:
    """Return the plan as lines for a person."""
    found = [*_told_machines(plan), *_told_training(plan)]
    if plan["cost"]:
        found += _told_cost(plan)
    found += _told_grace(plan.get("grace"))
    found.append("files   " + ", ".join(f"{name} ({size:,} bytes)" for name, size in plan["files"].items()))
    changed = plan["difference"]
    if changed is None:
        found.append(f"last    no launch to compare with: {plan['difference_missing']}")
    elif not changed:
        found.append("last    the files are those of the last launch")
    else:
        found.append(f"last    the files differ from those of the last launch in {len(changed)} lines of a diff:")
        found += [f"        {line}" for line in changed[:DIFFERENCE_LINES]]
        if len(changed) > DIFFERENCE_LINES:
            found.append(f"        ... {len(changed) - DIFFERENCE_LINES} more (--json has all)")
    found += [f"replace {text}" for text in plan["to_replace"]]
    return found


def _told_machines(plan: Mapping[str, Any]) -> list[str]:
    size = plan["machines"]
    if "processes" in size:
        return [
            f"job     {plan['name']} by local: {size['processes']} process(es), {size['devices']} simulated device(s)"
        ]
    per_host = ACCELERATORS[size["accelerator"]].chips_per_host
    each = f"{size['chips']} chips on {size['hosts']} hosts of {per_host}" if per_host else f"{size['hosts']} hosts"
    shape = f"{size['slices']} x {size['accelerator']}:{size['topology']}"
    found = [f"job     {plan['name']} by {plan['backend']}: {shape}, {each}, {size['capacity']}"]
    if teacher := size.get("teacher"):
        whose = "of the job itself, " if teacher["of_the_job"] else ""
        gpus = f"{teacher['gpus']} GPUs {teacher['accelerator']} {whose}on {teacher['nodes']} node(s)"
        found.append(f"teacher {teacher['model']}: {teacher['replicas']} copies, {gpus}")
    return found


def _told_training(plan: Mapping[str, Any]) -> list[str]:
    training = plan["training"]
    if training is None:
        return [f"train   no figures: {plan['training_missing']}"]
    axes = " x ".join(f"{axis} {size}" for axis, size in training["mesh"].items())
    peak = f"{training['peak_bytes_per_device'] / GIB:.2f} of {training['hbm_bytes_per_device'] / GIB:.2f} GiB a chip"
    found = [f"mesh    {axes}", f"memory  {'fits' if training['fits'] else 'DOES NOT FIT'}: {peak} (octomed plan)"]
    run = training.get("run")
    if run and run.get("hours_low"):
        hours = f"{run['hours_low']:.0f} to {run['hours_high']:.0f} h"
        found.append(f"time    estimate: {run['steps']:,} steps in {hours}; the job may take {plan['hours']} h")
        if run["hours_high"] > plan["hours"]:
            found.append(f"        hours={plan['hours']} may be too few")
    return found


def _told_grace(grace: Mapping[str, Any] | None) -> list[str]:
    if not grace or grace["slowest_checkpoint_seconds"] is None:
        return []
    slowest = grace["slowest_checkpoint_seconds"]
    short = "; TOO SHORT to save one" if grace["seconds"] < slowest else ""
    return [f"grace   {grace['seconds']} s; the slowest checkpoint of the run took {slowest:.1f} s{short}"]


def _told_cost(plan: Mapping[str, Any]) -> list[str]:
    spent = plan["cost"]
    money = spent["currency"]
    found = []
    for part in spent["parts"]:
        price = f"{amounts(part['per_hour'])} {money} an hour" if part["per_hour"] else part["missing"]
        found.append(f"cost    {part['what']}: {price}")
    least = "" if spent["complete"] else "without what has no price, "
    if spent["per_hour"]:
        found.append(f"        estimate: {least}{amounts(spent['for_its_hours'])} {money} for {plan['hours']} h")
        if spent["for_the_estimated_run"]:
            found.append(
                f"        estimate: {least}{amounts(spent['for_the_estimated_run'])} {money} for the run as planned"
            )
    found.append(
        f"        list prices read on {spent['prices_read']} ({spent['prices_source']}); --prices=FILE for yours"
    )
    return found


def amounts(lowest_and_highest: Sequence[float]) -> str:
    """Return two amounts as a person writes them; one where they are the same."""
    low, high = (f"{amount:,.0f}" for amount in lowest_and_highest)
    return low if low == high else f"{low} to {high}"
