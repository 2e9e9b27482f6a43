"""The machines of one training of a sweep, and what an hour of them costs."""

import dataclasses

from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.prices import Prices, lines
from octomed_jax.launching.spec import Command, JobSpec
from octomed_jax.sweeps.plan import Machines
from octomed_jax.training.planning.chips import Topology, read_topology


def machines_of_job(spec: JobSpec, prices: Prices) -> Machines:
    """Return the machines of a launch config's job."""
    [line] = lines(dataclasses.replace(spec, teacher=None), prices)
    what = f"{spec.slices} x {spec.accelerator}:{spec.topology}, {spec.capacity}"
    return Machines(what, spec.chips, line.per_hour, line.what + (f": {line.why}" if line.why else ""), prices)


def topology_of_job(spec: JobSpec) -> Topology | None:
    """Return what is planned for a launch config's job; None for hosts without chips."""
    machine = ACCELERATORS[spec.accelerator]
    if not machine.resource:
        return None
    shape = spec.topology if machine.is_tpu else str(spec.chips)
    return read_topology(f"{spec.accelerator}:{shape}", spec.slices)


def machines_of_topology(topology: Topology, prices: Prices) -> Machines:
    """Return the machines of a topology, at the on-demand price of any region."""
    name, chips = topology.chip.name, topology.devices
    machine = ACCELERATORS.get(name)
    if machine is None:
        why = f"the table of {prices.read} has no price of {name}"
        return Machines(str(topology), chips, None, why, prices)
    # The price of a chip does not depend on the shape; this one is known to both tables.
    shape = next(iter(machine.hosts))
    spec = JobSpec("plan", Command("train", ""), "", accelerator=name, topology=shape)
    [line] = lines(spec, prices)
    if line.per_hour is None:
        return Machines(str(topology), chips, None, f"on_demand {name}: {line.why}", prices)
    low, high = line.per_hour
    price = low * chips / spec.chips, high * chips / spec.chips
    return Machines(str(topology), chips, price, f"{chips} chips {name}, on_demand, any region", prices)
