"""Letters of gold against letters of the teacher: does it prefer a place among the options?

The letter is the one that the teacher saw: where the options were shown in another order, that order counts.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import chdtrc

from octomed_jax.evaluation.attempts_data import Row, options_shown
from octomed_jax.prompts import LETTERS

LEAST_EXPECTED = 5.0  # wrong answers in a cell of the test, the usual rule for a chi-square
LEVEL = 0.001  # a report is read often: chance alone should hardly ever name a bias
LEAST_POINTS = 0.05  # a preference that is smaller is not named, however certain it is


class Letters:
    """Counts letters over the attempts at multiple choice from which an option was read."""

    def __init__(self) -> None:
        self.pairs: Counter[tuple[int, int]] = Counter()  # (place of gold, place of the teacher's choice)
        self.reordered = 0
        self.wrong_questions = 0
        self.observed: defaultdict[int, float] = defaultdict(float)  # place of a wrong choice -> questions
        self.expected: defaultdict[int, float] = defaultdict(float)  # the same if no place were preferred

    def add(self, question: Row, attempts: Sequence[Row]) -> None:
        """Count the attempts at one question."""
        options = list(question["options"] or ())
        if question["task"] != "mcq" or question["answer"] not in options or len(options) > len(LETTERS):
            return
        if len(set(options)) < len(options):
            return  # which of two equal options was meant cannot be told
        wrong = []
        for attempt in attempts:
            shown = options_shown(question, attempt)
            if attempt["verdict"] in ("correct", "wrong") and attempt["extracted"] in options:
                gold, chosen = shown.index(question["answer"]), shown.index(attempt["extracted"])
                self.pairs[gold, chosen] += 1
                self.reordered += shown != options
                if gold != chosen:
                    wrong.append((gold, chosen))
        self._add_wrong(wrong, len(options))

    def _add_wrong(self, wrong: Sequence[tuple[int, int]], n_options: int) -> None:
        """Count each question once: its samples resemble each other, and are no independent draws."""
        self.wrong_questions += bool(wrong)
        for gold, chosen in wrong:
            self.observed[chosen] += 1 / len(wrong)
            for place in range(n_options):
                if place != gold:
                    self.expected[place] += 1 / len(wrong) / (n_options - 1)

    def table(self) -> dict[str, Any]:
        """Return the counts by letter; empty where no letter was read."""
        if not self.pairs:
            return {}
        names = LETTERS[: 1 + max(max(pair) for pair in self.pairs)]
        confusion = {
            gold: {chosen: self.pairs[row, column] for column, chosen in enumerate(names)}
            for row, gold in enumerate(names)
        }
        return {
            "read": self.pairs.total(),
            "reordered": self.reordered,
            "gold": {name: sum(confusion[name].values()) for name in names},
            "teacher": {name: sum(row[name] for row in confusion.values()) for name in names},
            "confusion": confusion,
            "bias": self.bias(),
        }

    def bias(self) -> dict[str, Any]:
        """Test whether wrong answers prefer a letter.

        Without a preference each of the other options is as likely: a chi-square test of how often each letter was
        the wrong choice, every question with wrong answers counting once. ``biased`` says that the test is beyond
        LEVEL and the letter most above what is expected lies at least LEAST_POINTS above it; None: too few to say.
        """
        cells = _cells(self.observed, self.expected)
        if len(cells) < 2:
            return {"wrong_questions": self.wrong_questions, "biased": None}
        statistic = sum((seen - expected) ** 2 / expected for _, seen, expected in cells)
        p = float(chdtrc(len(cells) - 1, statistic))
        letter, seen, expected = max(cells, key=lambda cell: (cell[1] - cell[2]) / cell[2] ** 0.5)
        share, usual = seen / self.wrong_questions, expected / self.wrong_questions
        return {
            "wrong_questions": self.wrong_questions,
            "biased": p < LEVEL and share - usual >= LEAST_POINTS,
            "statistic": statistic,
            "degrees": len(cells) - 1,
            "p": p,
            "letter": letter,
            "share": share,
            "expected_share": usual,
        }


def _cells(observed: Mapping[int, float], expected: Mapping[int, float]) -> list[tuple[str, float, float]]:
    """Return (letters, observed, expected); letters of which few are expected join the last that has enough."""
    cells: list[tuple[str, float, float]] = []
    for place in sorted(expected):
        cell = (LETTERS[place], observed.get(place, 0.0), expected[place])
        if cells and (cell[2] < LEAST_EXPECTED or cells[-1][2] < LEAST_EXPECTED):
            cell = (f"{cells[-1][0]}/{cell[0]}", cells[-1][1] + cell[1], cells[-1][2] + cell[2])
            cells.pop()
        cells.append(cell)
    return cells if all(expected >= LEAST_EXPECTED for *_, expected in cells) else []
