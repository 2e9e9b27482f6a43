"""What a folder of one's own questions holds: the counts for its manifest, and its card."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from octomed_jax.questions.adapter import Adapter
from octomed_jax.questions.reading.rows import UNKNOWN
from octomed_jax.schema import Question


@dataclasses.dataclass
class Contents:
    """The questions of a folder, counted.

    Attributes:
        benchmarks: benchmark and split to number of questions; likewise licences, tasks and access classes.
        without_gold: source to number of questions without gold.
    """

    benchmarks: "Counter[tuple[str, str]]" = dataclasses.field(default_factory=Counter)
    licences: "Counter[str]" = dataclasses.field(default_factory=Counter)
    tasks: "Counter[str]" = dataclasses.field(default_factory=Counter)
    access: "Counter[str]" = dataclasses.field(default_factory=Counter)
    without_gold: "Counter[str]" = dataclasses.field(default_factory=Counter)

    def add(self, question: Question) -> None:
        """Count a question."""
        self.benchmarks[question.benchmark, question.split] += 1
        self.licences[question.licence] += 1
        self.tasks[question.task] += 1
        self.access[question.access] += 1
        if question.without_gold:
            self.without_gold[question.source] += 1

    def table(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        names = sorted({name for name, _ in self.benchmarks})
        by_split = {name: {split: self.benchmarks[name, split] for split in ("train", "test")} for name in names}
        return {
            "train": sum(counts["train"] for counts in by_split.values()),
            "test": sum(counts["test"] for counts in by_split.values()),
            "benchmarks": by_split,
            "tasks": dict(sorted(self.tasks.items())),
            "licence_unknown": self.licences[UNKNOWN],
            **({"without_gold": dict(sorted(self.without_gold.items()))} if self.without_gold else {}),
        }


def write_card(
    adapter: Adapter,
    contents: Contents,
    left_out: Mapping[str, int],
    twice: int,
    unseen: int,
    met: Mapping[str, Any],
) -> str:
    """Return the card as Markdown: licences, access, what was left out, counts.

    Args:
        adapter: what read it.
        contents: what the folder holds.
        left_out: column to number of rows that were left out for it.
        twice: rows that stood twice.
        unseen: characters that nobody sees, which were taken out.
        met: other counts, by name: the published splits, what was passed over, and what stands in both splits.
    """
    counts = contents.table()
    lines = [
        "# Questions",
        "",
        f"Made by `octomed questions build --source={adapter.name}`: {adapter.title}. Not for clinical use.",
        "Answers are as published; nobody here checked them.",
        "",
        f"{counts['train'] + counts['test']} questions; `manifest.json` has the SHA-256 of what was read.",
        "",
        f"- Published: <{adapter.home}>",
        f"- Cite: {adapter.citation}",
        "- Format: " + ("read with true files" if adapter.seen else "as its card or its makers' code describes it"),
    ]
    for name, rows in met.items():
        lines += [f"- {name.replace('_', ' ').capitalize()}: {_plain(what)} ({count})" for what, count in rows.items()]
    lines += [f"- Licence: {_plain(licence)} ({count})" for licence, count in sorted(contents.licences.items())]
    lines += [f"- Access: {access} ({count})" for access, count in sorted(contents.access.items())]
    lines += [f"- Task: {task} ({count})" for task, count in sorted(contents.tasks.items())]
    lines += [f"- Without gold: {source} ({count})" for source, count in sorted(contents.without_gold.items())]
    lines += [f"- Left out: {count} ({about})" for about, count in left_out.items()]
    lines += [f"- Stood twice, kept once: {twice}"] if twice else []
    lines += [f"- Characters that nobody sees, taken out: {unseen}"] if unseen else []
    lines += ["", "| benchmark | train | test |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {row['train']} | {row['test']} |" for name, row in counts["benchmarks"].items()]
    return "\n".join([*lines, ""])


def _plain(text: str) -> str:
    """Return a text of the file as one line that Markdown does not read."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"
