"""Counts of attempts, as the manifest of their folder has them."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from octomed_jax.teacher.copies import Copies
from octomed_jax.teacher.settings import Teacher

FEW_ROWS = 256


class Tally:
    """Counts attempts, table by table of whole questions."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._by: dict[str, Counter[str]] = {"finish_reason": Counter(), "verdict": Counter()}
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._copies = Copies()

    def add(self, table: pa.Table) -> None:
        """Count the attempts of a table."""
        self.counts["attempts"] += table.num_rows
        self.counts["failed"] += pc.sum(pc.not_equal(table["error"], "")).as_py() or 0
        for name, counter in self._by.items():
            counter.update({pair["values"]: pair["counts"] for pair in pc.value_counts(table[name]).to_pylist()})
        self._count_copies(table)
        groups = table.group_by(["question_id", "group", "teacher"]).aggregate(
            [("completion_tokens", "sum"), ("prompt_tokens", "max")]
        )
        for group in groups.select(groups.column_names[2:]).to_pylist():
            self.counts["requests"] += 1
            for kind, column in (("prompt", "prompt_tokens_max"), ("completion", "completion_tokens_sum")):
                self._tokens[group["teacher"], kind] += group[column]

    def _count_copies(self, table: pa.Table) -> None:
        texts = table.select(["question_id", "teacher", "reasoning", "response"])
        for batch in texts.to_batches(max_chunksize=FEW_ROWS):  # as strings of Python, all would take as much again
            for question, teacher, reasoning, response in zip(*batch.to_pydict().values(), strict=True):
                self._copies.add((question, teacher), [reasoning + response])

    def dollars(self, teacher: Teacher) -> float:
        """Return what the tokens of a teacher's model cost."""
        return teacher.dollars(self._tokens[teacher.model, "prompt"], self._tokens[teacher.model, "completion"])

    def told(self) -> dict[str, Any]:
        """Return the counts of the manifest."""
        prompt, completion = (
            sum(count for (_, of), count in self._tokens.items() if of == kind) for kind in ("prompt", "completion")
        )
        return {
            **{name: self.counts[name] for name in ("attempts", "requests", "failed")},
            "long_samples": self._copies.samples,
            "copies": self._copies.copies,
            "finish_reasons": dict(sorted(self._by["finish_reason"].items())),
            "verdicts": dict(sorted(self._by["verdict"].items())),
            "prompt_tokens": prompt,
            "completion_tokens": completion,
        }
