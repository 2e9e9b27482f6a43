"""What another version of the verifier changed: verdicts before and after, counted, with examples."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

from octomed_jax.schema import Verdict

EXAMPLES = 3  # of each kind of change


@dataclasses.dataclass
class Changes:
    """Compares verdicts with earlier ones.

    Attributes:
        compared: how many had an earlier verdict.
        counts: (before, after) to how many changed so.
        examples: (before, after) to the names of some.
        versions: of the earlier verdicts.
    """

    compared: int = 0
    counts: "Counter[tuple[str, str]]" = dataclasses.field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = dataclasses.field(default_factory=dict)
    versions: set[str] = dataclasses.field(default_factory=set)

    def add(self, before: str, version: str, after: Verdict, name: str) -> None:
        """Compare one verdict with an earlier one of another version."""
        self.compared += 1
        self.versions.add(version or "unknown")
        if before != after.verdict:
            self.counts[before, after.verdict] += 1
            examples = self.examples.setdefault((before, after.verdict), [])
            if len(examples) < EXAMPLES:
                examples.append(name)

    def told(self, now: str) -> Iterator[str]:
        """Yield lines for a person; none where there was nothing to compare with."""
        if not self.compared:
            return
        total = self.counts.total()
        before = ", ".join(sorted(self.versions))
        yield f"verifier {before} -> {now}: {total:,} of {self.compared:,} verdicts changed"
        for (old, new), count in self.counts.most_common():
            yield f"  {old} -> {new}: {count:,}, such as {', '.join(self.examples[old, new])}"

    def table(self) -> dict[str, Any]:
        """Return the same as JSON."""
        return {
            "versions": sorted(self.versions),
            "compared": self.compared,
            "changed": {f"{old} -> {new}": count for (old, new), count in sorted(self.counts.items())},
        }
