"""What Cloud TPU calls the machines, for the back ends that ask for them by type and not by topology."""

import math

from octomed_jax.launching.spec import JobSpec

_TYPES = {"v5e": "v5litepod", "v6e": "v6e"}
RUNTIMES = {"v5e": "v2-alpha-tpuv5-lite", "v6e": "v2-alpha-tpuv6e"}
# One machine holds eight chips of either kind there; larger slices are made of machines with four.
_ONE_MACHINE = ("2x2", "2x4")


def accelerator_type(spec: JobSpec) -> str:
    """Return the type of one slice, such as ``v5litepod-256``."""
    return f"{_TYPES[spec.accelerator]}-{math.prod(int(side) for side in spec.topology.split('x'))}"


def runtime_version(spec: JobSpec) -> str:
    """Return the system image of the TPU's machines."""
    return RUNTIMES[spec.accelerator]


def workers(spec: JobSpec) -> int:
    """Return the machines of one slice; on Kubernetes a slice of 2x4 has two, here one."""
    return 1 if spec.topology in _ONE_MACHINE else spec.hosts
