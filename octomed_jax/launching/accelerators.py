"""The machines a job may run on: how clusters name them, and how many hosts a topology has."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """A kind of machine.

    Attributes:
        selector: value of the node label by which Google Kubernetes Engine names the accelerator; empty: none.
        resource: the resource that a container asks for; empty: none but processors.
        chips_per_host: accelerators one host holds.
        hosts: topology to number of hosts of one slice.
    """

    selector: str
    resource: str
    chips_per_host: int
    hosts: Mapping[str, int]

    @property
    def is_tpu(self) -> bool:
        """Whether jax finds the other hosts by itself."""
        return self.resource == "google.com/tpu"

    @property
    def is_gpu(self) -> bool:
        """Whether the chips are NVIDIA's."""
        return self.resource == "nvidia.com/gpu"


# Topologies of hosts with four chips each (GKE machine types ct5lp-hightpu-4t and ct6e-standard-4t).
_FOUR_CHIP_HOSTS = {"2x2": 1, "2x4": 2, "4x4": 4, "4x8": 8, "8x8": 16, "8x16": 32, "16x16": 64}
_NODES = (1, 2, 4, 8, 16, 32)
ACCELERATORS = {
    "v5e": Accelerator("tpu-v5-lite-podslice", "google.com/tpu", 4, _FOUR_CHIP_HOSTS),
    "v6e": Accelerator("tpu-v6e-slice", "google.com/tpu", 4, _FOUR_CHIP_HOSTS),
    # GPU hosts have no topology label; HOSTSx8 only says how many there are.
    "h100": Accelerator("nvidia-h100-80gb", "nvidia.com/gpu", 8, {f"{n}x8": n for n in _NODES}),
    # Stages that need no chip: questions, curate, verify, shard.
    "cpu": Accelerator("", "", 0, {str(n): n for n in _NODES}),
}
