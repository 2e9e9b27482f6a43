"""How a checkpoint is exported."""

import dataclasses
import math

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.hf.shards import DTYPES

LEVELS = ("structure", "roundtrip", "transformers", "vllm")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a checkpoint is exported.

    Attributes:
        dtype: of the weights, one of ``DTYPES``; None: what was imported, or what the student's config.json says.
        max_shard_gb: most GB (10^9 bytes) of a file; None: 5, or as an imported model's own files were cut.
        verify: levels, of ``LEVELS``.
        adapter: write LoRA adapters as a PEFT folder instead of merging them.
        vllm: the ``vllm`` command, for the level of that name.

    Raises:
        UserError: a value that makes no sense.
    """

    dtype: str | None = None
    max_shard_gb: float | None = None
    verify: tuple[str, ...] = ("structure", "roundtrip")
    adapter: bool = False
    vllm: str = "vllm"

    def __post_init__(self) -> None:
        if self.dtype is not None and self.dtype not in DTYPES:
            hint = did_you_mean(self.dtype, tuple(DTYPES))
            raise UserError(f"dtype {self.dtype!r} is not supported{hint}; one of: {', '.join(DTYPES)}")
        if self.max_shard_gb is not None and not 0 < self.max_shard_gb < math.inf:
            raise UserError(f"max_shard_gb={self.max_shard_gb} must be more than 0, and a number")
        for level in self.verify:
            if level not in LEVELS:
                hint = did_you_mean(level, LEVELS)
                raise UserError(f"verify knows no level {level!r}{hint}; one of: {', '.join(LEVELS)}")
        if self.adapter and (beyond := [level for level in self.verify if level in LEVELS[2:]]):
            raise UserError(f"adapters are not verified at level {beyond[0]!r}; export once without --adapter for that")
