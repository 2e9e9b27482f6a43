"""What a curated folder holds: the counts for its manifest and its card."""

import dataclasses
from collections import Counter
from typing import Any

import pyarrow as pa


@dataclasses.dataclass
class Contents:
    """The questions of a curated folder, counted by benchmark and split, licence and access class."""

    benchmarks: "Counter[tuple[str, str]]" = dataclasses.field(default_factory=Counter)
    licences: "Counter[str]" = dataclasses.field(default_factory=Counter)
    access: "Counter[str]" = dataclasses.field(default_factory=Counter)

    def add(self, table: pa.Table) -> None:
        """Count the questions of a table."""
        columns = {name: table[name].to_pylist() for name in ("benchmark", "split", "licence", "access")}
        self.benchmarks.update(zip(columns["benchmark"], columns["split"], strict=True))
        self.licences.update(columns["licence"])
        self.access.update(columns["access"])

    def table(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        names = sorted({name for name, _ in self.benchmarks})
        by_split = {name: {split: self.benchmarks[name, split] for split in ("train", "test")} for name in names}
        return {
            "train": sum(counts["train"] for counts in by_split.values()),
            "test": sum(counts["test"] for counts in by_split.values()),
            "benchmarks": by_split,
        }
