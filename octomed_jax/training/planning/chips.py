"""Accelerators: what a chip computes, holds and sends, and the shapes in which they are rented.

TPU figures are those of the vendor's data sheets (Cloud TPU documentation, system architecture of each version); memory
is what the compiler says a program may use of it. A link's figure is one direction of one port: the documented
bidirectional figure of a chip, divided by its ports and by two.
"""

import dataclasses
import math
import re

from octomed_jax.errors import UserError, did_you_mean

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator, as JAX sees one device.

    Attributes:
        name: as in a topology.
        kinds: what JAX calls it.
        flops: dense bfloat16 operations a second.
        memory: bytes that a program may use.
        memory_speed: bytes a second between memory and cores.
        link_speed: bytes a second in one direction of one link to a neighbour; of all links together on a GPU.
        network_speed: bytes a second between slices, or between GPU machines, of one chip.
        ring: how many chips of a row close it to a ring; shorter rows have ends. 0 on a GPU.
        cores: that the number in a name like v5p-8 counts.
    """

    name: str
    kinds: tuple[str, ...]
    flops: float
    memory: float
    memory_speed: float
    link_speed: float
    network_speed: float
    ring: int = 0
    cores: int = 1


TPUS = (
    Chip("v4", ("TPU v4",), 275e12, 30.75 * GIB, 1228e9, 50e9, 6.25e9, 4, 2),
    Chip("v5e", ("TPU v5 lite",), 197e12, 15.75 * GIB, 819e9, 50e9, 3.125e9, 16),
    Chip("v5p", ("TPU v5", "TPU v5p"), 459e12, 95.74 * GIB, 2765e9, 100e9, 6.25e9, 4, 2),
    Chip("v6e", ("TPU v6 lite",), 918e12, 31.25 * GIB, 1638e9, 100e9, 12.5e9, 16),
)
GPUS = (
    Chip("a100-40", ("NVIDIA A100-SXM4-40GB",), 312e12, 39 * GIB, 1555e9, 300e9, 25e9),
    Chip("a100-80", ("NVIDIA A100-SXM4-80GB",), 312e12, 79 * GIB, 2039e9, 300e9, 25e9),
    Chip("h100", ("NVIDIA H100 80GB HBM3",), 989e12, 79 * GIB, 3350e9, 450e9, 50e9),
    Chip("h200", ("NVIDIA H200",), 989e12, 140 * GIB, 4800e9, 450e9, 50e9),
)
# Peaks of devices that are run on and not planned for.
OTHER_PEAKS = {"TPU7x": 2307e12}
PEAKS = {kind: chip.flops for chip in TPUS + GPUS for kind in chip.kinds} | OTHER_PEAKS

# Chips of a slice to its shape, where a name gives a number only.
FLAT = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
SOLID = {4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8"}


@dataclasses.dataclass(frozen=True)
class Topology:
    """What is rented: ``slices`` slices of a shape, or machines of so many GPUs.

    Attributes:
        chip: of which all are.
        shape: of a slice, such as (4, 4).
        slices: how many.
    """

    chip: Chip
    shape: tuple[int, ...]
    slices: int

    @property
    def devices(self) -> int:
        """Chips in all."""
        return math.prod(self.shape) * self.slices

    @property
    def is_tpu(self) -> bool:
        """Whether it can be compiled for without one."""
        return self.chip in TPUS

    @property
    def platform(self) -> str:
        """What JAX calls such devices."""
        return "tpu" if self.is_tpu else "gpu"

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"{self.chip.name}:{shape}" + (f" x {self.slices} slices" if self.slices > 1 else "")


def read_topology(text: str, slices: int = 1) -> Topology:
    """Return what a name says: ``v5e:4x4``, ``v5e-16``, ``v5p-64`` (cores, as in Google's names), ``h100:8``.

    Raises:
        UserError: an unknown chip, or a shape that there is none of.
    """
    found = re.fullmatch(r"([a-z0-9]+(?:-(?:40|80))?)(?::([\dx]+)|-(\d+))", text.lower())
    names = [chip.name for chip in TPUS + GPUS]
    if not found:
        raise UserError(f"--topology={text} is none; write for example v5e:4x4, v5p-64 or h100:8")
    chip = next((chip for chip in TPUS + GPUS if chip.name == found[1]), None)
    if chip is None:
        raise UserError(f"unknown chip {found[1]!r}{did_you_mean(found[1], names)}; known: {', '.join(names)}")
    if slices < 1:
        raise UserError(f"--slices={slices} is less than one")
    shapes = SOLID if chip.cores == 2 else FLAT
    if found[3] and chip in TPUS:
        chips = int(found[3]) // chip.cores
        if chips not in shapes:
            known = ", ".join(f"{chip.name}-{count * chip.cores}" for count in shapes)
            raise UserError(f"there is no slice {text}; there are {known}")
        return Topology(chip, tuple(map(int, shapes[chips].split("x"))), slices)
    shape = tuple(int(side) for side in (found[2] or found[3]).split("x") if side)
    wanted = {0: 1, 4: 3, 16: 2}[chip.ring]
    if len(shape) != wanted or min(shape) < 1:
        example = {1: f"{chip.name}:8", 2: f"{chip.name}:4x4", 3: f"{chip.name}:2x2x2"}[wanted]
        raise UserError(f"--topology={text} has {len(shape)} sides, {chip.name} has {wanted}; for example {example}")
    return Topology(chip, shape, slices)
