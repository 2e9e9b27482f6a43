"""How long a compiled program takes at the least and, without any overlap, at the most: an estimate.

An instruction takes as long as its products at the chip's peak, or as its traffic at the memory's speed, whichever is
longer. Collectives take as long as their bytes on the links between the devices of a group. At best they are hidden
behind the computation; at worst nothing is. Kernels never reach a chip's peak, and launches and host work are left out.
"""

import dataclasses
from collections.abc import Sequence

from octomed_jax.training.planning.chips import Chip
from octomed_jax.training.planning.program import Message, Program

# What a step took, over its estimate with measured ceilings: benchmarks/plan_truth.py, of two students on a CPU. A test
# holds these to benchmarks/results/plan_truth_cpu.json.
MEASURED_TO_ESTIMATED = {"cpu": (0.81, 0.95)}

Place = tuple[int, tuple[int, ...]]  # slice, and coordinates within it


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds of a program on one device.

    Attributes:
        compute: of all products at the peak.
        memory: of all traffic at the memory's speed.
        network: of the collectives within a slice, or within a machine.
        between_slices: of those that leave it.
        device: of the instructions one after the other, each limited by products or traffic.
    """

    compute: float
    memory: float
    network: float
    between_slices: float
    device: float

    def each(self, times: int) -> "Roofline":
        """Return the seconds of one of so many times that it was done."""
        return Roofline(*[seconds / times for seconds in dataclasses.astuple(self)])

    @property
    def low(self) -> float:
        """All collectives are hidden behind the computation, or the other way round."""
        return max(self.device, self.network, self.between_slices)

    @property
    def high(self) -> float:
        """Nothing is hidden."""
        return self.device + self.network + self.between_slices


def roofline(program: Program, chip: Chip, places: Sequence[Place]) -> Roofline:
    """Return the seconds of a program.

    Args:
        program: of one device.
        chip: which it is.
        places: of the devices, in the program's order.
    """
    network, between = 0.0, 0.0
    for message in program.messages:
        seconds = message.bytes * message.times
        # What leaves a slice goes through the hosts, and is written as sent by them.
        if message.kind == "send" or len({places[at][0] for at in message.group if at < len(places)}) > 1:
            between += seconds / chip.network_speed
        else:
            network += seconds / group_speed(message, chip, places)
    device = sum(one.times * max(one.flops / chip.flops, one.bytes / chip.memory_speed) for one in program.done)
    return Roofline(program.flops / chip.flops, program.bytes / chip.memory_speed, network, between, device)


def group_speed(message: Message, chip: Chip, places: Sequence[Place]) -> float:
    """Return at how many bytes a second each device of a group receives, over the links of the sides it spans."""
    if not chip.ring:
        return chip.link_speed
    corners = [places[at][1] for at in message.group if at < len(places)]
    spans = [len({corner[side] for corner in corners}) for side in range(len(corners[0]))]
    links = sum(2 if span % chip.ring == 0 else 1 for span in spans if span > 1)
    return max(links, 1) * chip.link_speed
