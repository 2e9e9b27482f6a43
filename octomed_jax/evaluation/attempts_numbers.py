"""The numbers of an attempts folder, counted a question at a time: counters and small histograms, never all rows."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation.attempts_data import Row
from octomed_jax.evaluation.letters import Letters
from octomed_jax.evaluation.statistics import bin_width, summary, wilson
from octomed_jax.schema import VERDICTS
from octomed_jax.teacher.copies import Copies

STEPS = ("asked", "answered", "parsed", "correct")
MOST_SINGLE = 16  # samples a question up to which every number of right ones has a column of its own
SHARES = ("0", "1–19", "20–39", "40–59", "60–79", "80–99", "100")  # per cent
MOST_BINS = 60  # of the histogram of lengths
MOST_FAILURES = 1000  # kinds of failure that are told apart
FAILURE_CHARACTERS = 200
OTHER_FAILURES = "(other texts)"


class Outcomes:
    """What became of the attempts of one source, task or teacher, or of all."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, attempts: Sequence[Row]) -> None:
        """Count the attempts at one question."""
        verdicts = Counter(attempt["verdict"] for attempt in attempts if not attempt["error"])
        parsed = verdicts["correct"] + verdicts["wrong"]
        self.counts.update(
            asked=len(attempts),
            answered=verdicts.total(),
            parsed=parsed,
            correct=verdicts["correct"],
            truncated=verdicts["truncated"],
            questions=bool(attempts),
            questions_answered=verdicts.total() > 0,
            questions_parsed=parsed > 0,
            questions_correct=verdicts["correct"] > 0,
        )

    def table(self) -> dict[str, Any]:
        """Return the counts, the share of the attempts that is correct, and its interval.

        The interval is Wilson's over questions, not attempts: samples of one question are no independent trials.
        """
        names = (*STEPS, "truncated", "questions", *(f"questions_{step}" for step in STEPS[1:]))
        asked, questions = self.counts["asked"], self.counts["questions"]
        rate = self.counts["correct"] / asked if asked else 0.0
        return {
            **{name: self.counts[name] for name in names},
            "rate": rate,
            "wilson": list(wilson(rate * questions, questions)),
        }


class Passes:
    """How many of a question's samples are right; samples that failed are left out."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[int, int]] = Counter()  # (samples, right ones) -> questions

    def add(self, attempts: Sequence[Row]) -> None:
        """Count one question; one without a response has no pass rate."""
        verdicts = [attempt["verdict"] for attempt in attempts if not attempt["error"]]
        if verdicts:
            self.counts[len(verdicts), verdicts.count("correct")] += 1

    def table(self) -> dict[str, Any]:
        """Return the questions by samples and right ones, and as columns; empty where there are none.

        Where all questions have the same few samples, a column is a number of right ones; else it is a share, since
        so many of four and of sixteen cannot stand side by side.
        """
        if not self.counts:
            return {}
        sizes = {samples for samples, _ in self.counts}
        single = len(sizes) == 1 and max(sizes) <= MOST_SINGLE
        if single:
            size = max(sizes)
            columns = {str(right): self.counts[size, right] for right in range(size + 1)}
        else:
            columns = dict.fromkeys(SHARES, 0)
            for (samples, right), questions in self.counts.items():
                place = 0 if not right else 6 if right == samples else 1 + 5 * right // samples
                columns[SHARES[place]] += questions
        return {
            "questions": self.counts.total(),
            "samples": {"fewest": min(sizes), "most": max(sizes)},
            "columns_are": "correct samples" if single else "per cent of the samples",
            "columns": columns,
            "counts": [[*key, count] for key, count in sorted(self.counts.items())],
        }


class Lengths:
    """Completion tokens by source and verdict; as many entries as there are lengths, so at most the token limit."""

    def __init__(self) -> None:
        self.sources: dict[str, dict[str, Counter[int]]] = {}

    def add(self, source: str, attempts: Sequence[Row]) -> None:
        """Count the attempts at one question that came back."""
        verdicts = self.sources.setdefault(source, {verdict: Counter() for verdict in VERDICTS})
        for attempt in attempts:
            if not attempt["error"]:
                verdicts[attempt["verdict"]][attempt["completion_tokens"] or 0] += 1

    def table(self) -> dict[str, Any]:
        """Return summaries and histograms of correct attempts and others; empty where no token was counted."""
        verdicts = {name: sum((of[name] for of in self.sources.values()), Counter()) for name in VERDICTS}
        total = sum(verdicts.values(), Counter())
        if not any(total):
            return {}
        width = bin_width(max(total), MOST_BINS)
        bins: dict[str, list[int]] = {}
        for name, counts in _halves(verdicts).items():
            bins[name] = [0] * (max(total) // width + 1)
            for tokens, count in counts.items():
                bins[name][tokens // width] += count
        return {
            "tokens": sum(tokens * count for tokens, count in total.items()),
            "truncated_share": verdicts["truncated"].total() / total.total(),
            "verdicts": {name: summary(counts) for name, counts in verdicts.items() if counts},
            "halves": _summaries(verdicts),
            "sources": {name: _summaries(of) for name, of in sorted(self.sources.items())},
            "histogram": {"width": width, **bins},
        }


def _halves(verdicts: Mapping[str, "Counter[int]"]) -> dict[str, "Counter[int]"]:
    others = sum((counts for verdict, counts in verdicts.items() if verdict != "correct"), Counter())
    return {"correct": verdicts["correct"], "others": others}


def _summaries(verdicts: Mapping[str, "Counter[int]"]) -> dict[str, Any]:
    return {name: summary(counts) for name, counts in _halves(verdicts).items()}


class Duplicates:
    """Samples of one question that are equal byte for byte; failed and empty ones are left out."""

    def __init__(self) -> None:
        self.sources: dict[str, Counter[str]] = {}
        self.long = Copies()

    def add(self, source: str, attempts: Sequence[Row]) -> None:
        """Count one question; one with fewer than two texts can have no equal ones."""
        for attempt in attempts:
            if not attempt["error"]:
                text = attempt["reasoning"] + attempt["response"]
                self.long.add((attempt["question_id"], attempt["teacher"]), [text])
        texts = [attempt["response"] for attempt in attempts if attempt["response"] and not attempt["error"]]
        if len(texts) < 2:
            return
        distinct = len(set(texts))
        kind = "all_different" if distinct == len(texts) else "all_identical" if distinct == 1 else "some_identical"
        counts = self.sources.setdefault(source, Counter())
        counts.update({"questions": 1, kind: 1, "samples": len(texts), "copies": len(texts) - distinct})

    def table(self) -> dict[str, Any]:
        """Return counts of questions and of long samples; empty where no question has two texts."""
        if not self.sources:
            return {}
        names = ("questions", "all_different", "some_identical", "all_identical", "samples", "copies")
        total = sum(self.sources.values(), Counter())
        return {
            **{name: total[name] for name in names},
            "sources": {name: {key: counts[key] for key in names} for name, counts in sorted(self.sources.items())},
            "long": {"samples": self.long.samples, "copies": self.long.copies},
        }


class Failures:
    """Why requests failed for good, by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, attempts: Sequence[Row]) -> None:
        """Count the attempts that failed."""
        for attempt in attempts:
            if attempt["error"]:
                kind = failure_kind(attempt["error"])
                known = kind in self.counts or len(self.counts) < MOST_FAILURES
                self.counts[kind if known else OTHER_FAILURES] += 1

    def table(self) -> dict[str, int]:
        """Return kind to the number of attempts, most frequent first."""
        return by_count(self.counts)


class Numbers:
    """All the numbers that a report of attempts is made of."""

    def __init__(self) -> None:
        self.questions = 0
        self.total = Outcomes()
        self.by: dict[str, dict[str, Outcomes]] = {"source": {}, "task": {}, "teacher": {}}
        self.origin: dict[str, dict[str, Counter[str]]] = {}
        self.reasons: Counter[str] = Counter()
        self.passes, self.lengths, self.letters = Passes(), Lengths(), Letters()
        self.duplicates, self.failures = Duplicates(), Failures()

    def add(self, question: Row, attempts: Sequence[Row]) -> None:
        """Count one question with the attempts at it."""
        source = question["source"]
        self.questions += 1
        origin = self.origin.setdefault(source, {"licence": Counter(), "access": Counter()})
        for name, counts in origin.items():
            counts[question[name]] += 1
        self.total.add(attempts)
        self._of("source", source).add(attempts)
        self._of("task", question["task"]).add(attempts)
        for teacher in sorted({attempt["teacher"] for attempt in attempts}):
            self._of("teacher", teacher).add([attempt for attempt in attempts if attempt["teacher"] == teacher])
        self.reasons.update(attempt["reason"] for attempt in attempts)
        self.passes.add(attempts)
        self.lengths.add(source, attempts)
        self.letters.add(question, attempts)
        self.duplicates.add(source, attempts)
        self.failures.add(attempts)

    def _of(self, kind: str, name: str) -> Outcomes:
        return self.by[kind].setdefault(name, Outcomes())

    def table(self) -> dict[str, Any]:
        """Return everything as plain data; a part without data is empty."""
        return {
            "questions": self.questions,
            "sources": {
                name: {
                    "questions": origin["access"].total(),
                    "attempts": self.by["source"][name].counts["asked"],
                    "licences": sorted(origin["licence"]),
                    "access": sorted(origin["access"]),
                }
                for name, origin in sorted(self.origin.items())
            },
            "funnel": self.total.table(),
            "acceptance": {
                kind: {name: one.table() for name, one in sorted(members.items()) if one.counts["asked"]}
                for kind, members in self.by.items()
            },
            "reasons": by_count(self.reasons),
            "pass_rate": self.passes.table(),
            "lengths": self.lengths.table(),
            "letters": self.letters.table(),
            "duplicates": self.duplicates.table(),
            "failures": self.failures.table(),
        }


def by_count(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts with the largest first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def failure_kind(error: str) -> str:
    """Return an error's text without what differs from request to request: long numbers and identifiers."""
    text = re.sub(r"\b(?=[\w-]*\d)[0-9a-fA-F-]{8,}\b|\d{4,}", "N", " ".join(error[:2000].split()))
    return text if len(text) <= FAILURE_CHARACTERS else f"{text[:FAILURE_CHARACTERS]} …"
