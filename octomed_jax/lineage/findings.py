"""What a check of folders has proven, and what does not hold."""

import dataclasses
from collections import Counter
from typing import Any

from octomed_jax.lineage.folders import Found

MOST = 5  # problems of one kind that are told of a folder; the others are counted


@dataclasses.dataclass
class Findings:
    """Of one folder.

    Attributes:
        found: the folder.
        files, bytes: of its manifest.
        proven: what holds, a few words each.
        broken: names of files that are missing or are not as they were written.
    """

    found: Found
    files: int = 0
    bytes: int = 0
    proven: list[str] = dataclasses.field(default_factory=list)
    broken: set[str] = dataclasses.field(default_factory=set)
    _problems: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    _counts: "Counter[str]" = dataclasses.field(default_factory=Counter)

    def problem(self, kind: str, what: str, cure: str = "") -> None:
        """Note what does not hold.

        Args:
            kind: of the problem; after some of a kind the others are only counted.
            what: does not hold; one line that names the folder or file.
            cure: what to do; by default the folder is to be made again.
        """
        self._counts[kind] += 1
        if self._counts[kind] <= MOST:
            self._problems.append((kind, what, cure or self.cure))

    def prove(self, what: str, kinds: tuple[str, ...]) -> None:
        """Note what holds, if there is no problem of these kinds."""
        if not any(self._counts[kind] for kind in kinds):
            self.proven.append(what)

    @property
    def kinds(self) -> set[str]:
        """The kinds of problems there are."""
        return set(self._counts)

    @property
    def cure(self) -> str:
        """What to do with a folder that is not as it was."""
        return f"put it back as it was, or move {self.found.folder} away and run {self.found.again} again"

    @property
    def problems(self) -> list[str]:
        """A line for each problem, with the cure."""
        lines = [f"{what}; {cure}" for _, what, cure in self._problems]
        for kind, count in self._counts.items():
            if count > MOST:
                lines.append(f"{self.found.folder}: and {count - MOST:,} more of this kind ({kind})")
        return lines

    def table(self) -> dict[str, Any]:
        """Return the findings as plain data."""
        return {
            "stage": self.found.stage,
            "folder": str(self.found.folder),
            "identity": self.found.manifest.identity,
            "files": self.files,
            "bytes": self.bytes,
            "proven": self.proven,
            "problems": self.problems,
        }
