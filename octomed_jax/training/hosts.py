"""The hosts of a job: who is there, and who keeps the others waiting."""

import socket
import statistics
from collections import deque

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from octomed_jax import progress
from octomed_jax.models.mesh import AXES
from octomed_jax.training.guards import slowest

WINDOW = 20  # steps whose median is compared
NAME_BYTES = 64


def host_names() -> list[str]:
    """Return the name of each process's host, by process; all processes call this together."""
    name = np.zeros(NAME_BYTES, np.uint8)
    own = socket.gethostname().encode()[:NAME_BYTES]
    name[: len(own)] = list(own)
    names = multihost_utils.process_allgather(name).reshape(-1, NAME_BYTES)
    return [f"{bytes(one).rstrip(bytes(1)).decode(errors='replace')} (process {i})" for i, one in enumerate(names)]


class HostReports:
    """What each process says of itself at every step, spread by the devices and read a step late, as metrics are."""

    def __init__(self, mesh: Mesh, names: list[str]):
        self._mesh, self._names = mesh, names
        # One place on the batch axes belongs to one device, and so to one process.
        self._processes = np.array([device.process_index for device in mesh.devices.reshape(-1)])
        self._own = [deque[float](maxlen=WINDOW) for _ in names]
        self._late = [deque[float](maxlen=WINDOW) for _ in names]
        self._steps = 0
        self._spread = jax.jit(lambda reports: reports, out_shardings=NamedSharding(mesh, PartitionSpec()))

    def send(self, seconds: float, bad_records: int, late: bool) -> jax.Array:
        """Send this process's report of a step.

        Args:
            seconds: that it spent on its own.
            bad_records: that it could not read.
            late: whether its devices had nothing left to do when it had sent its rows.

        Returns:
            The reports of all: [devices, 3].
        """
        mine = int((self._processes == jax.process_index()).sum())
        reports = np.tile(np.array([[seconds, bad_records, late]], np.float32), (mine, 1))
        sharding = NamedSharding(self._mesh, PartitionSpec(AXES))
        return self._spread(jax.make_array_from_process_local_data(sharding, reports))

    def read(self, reports: jax.Array) -> int:
        """Return how many records no process could read at this step; name a slow host where there is one."""
        values = np.asarray(reports)
        firsts = [int(np.argmax(self._processes == process)) for process in range(len(self._names))]
        for own, late, first in zip(self._own, self._late, firsts, strict=True):
            own.append(float(values[first, 0]))
            late.append(float(values[first, 2]))
        self._steps += 1
        if self._steps % WINDOW == 0:
            self._name_slowest()
        return int(values[firsts, 1].sum())

    def _name_slowest(self) -> None:
        medians = {name: statistics.median(own) for name, own in zip(self._names, self._own, strict=True)}
        slow = slowest(medians)
        # Time on its own keeps nobody waiting while the devices work on the step before.
        if slow and sum(self._late[self._names.index(slow)]) > WINDOW / 2:
            others = statistics.median(seconds for name, seconds in medians.items() if name != slow)
            progress.say(
                f"train: {slow} keeps the others waiting: it takes {medians[slow]:.2f} s a step to read and send its "
                f"rows, the others {others:.2f} s; look at its disk and its neighbours"
            )
