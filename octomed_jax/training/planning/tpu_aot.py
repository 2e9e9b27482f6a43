"""TPUs that are not here: XLA's compiler for them needs none (libtpu; extra ``tpu-aot``, or ``make tpu-aot``)."""

import contextlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from jax.experimental import topologies

from octomed_jax.errors import UserError
from octomed_jax.training.planning.chips import Topology

TOOLS = Path(__file__).parents[3] / ".tools" / "libtpu"  # where `make tpu-aot` puts it
# What libtpu would otherwise ask a machine's metadata for, and say that it did not find.
NO_TPU_HERE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # nothing is run: two plans may be made at once
}


def tpu_devices(topology: Topology) -> list[Any]:
    """Return the devices of a topology that is not there.

    Raises:
        UserError: libtpu is not installed, or knows no such topology.
    """
    more: dict[str, Any] = {"num_slices": topology.slices} if topology.slices > 1 else {}
    if topology.chip.name == "v4":
        more["chip_config_name"] = "megacore"  # both cores of a chip as one device, as it is run
    name = f"{topology.chip.name}:{'x'.join(map(str, topology.shape))}"
    library = libtpu()[0]
    try:
        with _environment({**NO_TPU_HERE, "TPU_LIBRARY_PATH": str(library)}):
            return list(topologies.get_topology_desc(platform="tpu", topology_name=name, **more).devices)
    except RuntimeError as error:
        raise UserError(f"there is no topology {name}: {str(error).splitlines()[0]}") from error


def libtpu() -> tuple[Path, str]:
    """Return the library with the TPU compiler, and its version.

    Raises:
        UserError: it is not installed.
    """
    for found in _installed():
        return Path(str(found.locate_file("libtpu/libtpu.so"))), found.version
    raise UserError("planning for TPUs needs libtpu: `make tpu-aot`, or pip install 'octomed-jax[tpu-aot]'")


def versions() -> dict[str, str]:
    """Return the versions of what compiles for TPUs."""
    return {"jax": jax.__version__} | dict([("libtpu", found.version) for found in _installed()][:1])


def _installed() -> Iterator[importlib.metadata.Distribution]:
    return iter(importlib.metadata.distributions(name="libtpu", path=[*sys.path, str(TOOLS)]))


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a block; JAX, which looks for TPUs where it finds these, does not see them afterwards."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
