"""The one answer that would score best on a benchmark if it were always given: what an accuracy stands beside."""

import math
import statistics as median_of
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from octomed_jax.prompts import LETTERS
from octomed_jax.verification.dates import gold_date, read_weeks
from octomed_jax.verification.numeric import gold_number

Sample = Mapping[str, Any]


def best_constant(samples: Iterable[Sample]) -> tuple[str, float]:
    """Return the one answer that would score best on these questions, and its accuracy; see ``BestConstant``.

    Args:
        samples: rows of one benchmark; several seeds of a question count once.

    Raises:
        ValueError: as ``BestConstant``; or several tasks at once.
    """
    questions = {sample["id"]: sample for sample in samples}
    constant = BestConstant()
    for row in questions.values():
        constant.add(row)
    if len(constant.tasks) > 1:
        raise ValueError(
            f"samples of several tasks ({', '.join(constant.tasks)}) have no best constant answer together"
        )
    return constant.best()


class BestConstant:
    """Counts the gold answers of questions that come one after the other, and says which is the best constant one.

    Multiple choice: the most frequent gold letter, since a constant answer is a letter. Numbers: the median, judged by
    each question's own limits (exactly where it has none); where all gold values are whole, the better of median and
    mode. Anything else, and dates: the most frequent gold text, an alias counting as the text it stands for.

    Attributes:
        tasks: task to its number of questions.
    """

    def __init__(self) -> None:
        self.tasks: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._spelling: dict[str, tuple[str, str]] = {}
        self._numbers: list[tuple[float, float | None, float | None]] = []

    def add(self, row: Sample) -> None:
        """Count a question.

        Raises:
            ValueError: its gold option is not among the options, or its gold number is none.
        """
        self.tasks[row["task"]] += 1
        if row["task"] == "mcq":
            self._counts[_gold_letter(row)] += 1
        elif row["task"] == "numeric" and (gold := _gold_number(row)) is not None:
            self._numbers.append((gold, row.get("lower_limit"), row.get("upper_limit")))
        else:
            self._add_text(row)

    def _add_text(self, row: Sample) -> None:
        name, written = _normal(row["answer"]), (row["id"], row["answer"])
        self._spelling[name] = min(self._spelling.get(name, written), written)
        self._counts.update({_normal(text) for text in (row["answer"], *(row.get("aliases") or ()))})

    def best(self) -> tuple[str, float]:
        """Return the answer and its accuracy.

        Raises:
            ValueError: there are no questions.
        """
        n = self.tasks.total()
        if not n:
            raise ValueError("no samples, so there is no best constant answer")
        found = [self._best_number()] if self._numbers else []
        found += [self._best_text()] if self._counts else []
        answer, right = max(found, key=lambda pair: pair[1])
        return answer, right / n

    def _best_text(self) -> tuple[str, int]:
        # An alias may fit more questions than any gold; on a tie the gold spelling is the one to show.
        best = min(self._counts, key=lambda name: (-self._counts[name], name not in self._spelling, name))
        return self._spelling.get(best, ("", best))[1], self._counts[best]

    def _best_number(self) -> tuple[str, int]:
        gold = [value for value, _, _ in self._numbers]
        if all(value.is_integer() for value in gold):
            candidates = [float(median_of.median_low(gold)), min(median_of.multimode(gold))]
        else:
            candidates = [float(median_of.median(gold))]
        scores = [sum(_fits(value, *own) for own in self._numbers) for value in candidates]
        best = scores.index(max(scores))
        return f"{candidates[best]:g}", scores[best]


def _gold_letter(row: Sample) -> str:
    options = list(row["options"] or ())
    if row["answer"] not in options[: len(LETTERS)]:
        raise ValueError(f"question {row['id']}: its answer {row['answer']!r} is not among its options")
    return LETTERS[options.index(row["answer"])]


def _normal(text: str) -> str:
    """Return a text with case and spacing evened out; the labels of ``a; b`` in sorted order."""
    return ";".join(sorted(" ".join(part.casefold().split()) for part in text.split(";")))


def _gold_number(row: Sample) -> float | None:
    """Return the gold number of a question; None where it is a date or an age."""
    text = row["answer"]
    limited = row.get("lower_limit") is not None or row.get("upper_limit") is not None
    if not limited and (gold_date(text) or read_weeks(text).value):
        return None
    value = gold_number(text)[0]
    if value is None or not math.isfinite(float(value)):
        raise ValueError(f"question {row['id']}: its answer {text!r} is not a finite number")
    return float(value)


def _fits(value: float, gold: float, low: float | None, high: float | None) -> bool:
    if low is None and high is None:
        return math.isclose(value, gold, rel_tol=1e-9, abs_tol=1e-12)
    return (low is None or value >= low) and (high is None or value <= high)
