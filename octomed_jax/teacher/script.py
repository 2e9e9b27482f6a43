"""What the programmatic teacher writes: the source's worked explanation and the gold answer, spoilt at given rates.

It is no model: it knows the answers. It stands in for one so that the whole recipe runs, rejection included.
"""

import dataclasses
import hashlib
import re
from collections.abc import Sequence

from octomed_jax.errors import UserError
from octomed_jax.prompts import LETTERS
from octomed_jax.schema import Question
from octomed_jax.verification.numeric import decimal_of, within

NAME = "programmatic teacher"


@dataclasses.dataclass(frozen=True)
class Rates:
    """The shares of responses that are spoilt on purpose: wrong answers, malformed ones, truncated ones."""

    wrong: float = 0.0
    malformed: float = 0.0
    truncated: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            rate = getattr(self, field.name)
            if not 0.0 <= rate <= 1.0:
                raise UserError(f"distill.scripted.{field.name}={rate} is no share between 0 and 1")
        if self.wrong + self.malformed + self.truncated > 1.0:
            raise UserError("distill.scripted: wrong, malformed and truncated add up to more than 1")

    def __str__(self) -> str:
        return f"{self.wrong:.0%} wrong, {self.malformed:.0%} malformed, {self.truncated:.0%} truncated on purpose"


def draw(seed: int, choice: int) -> tuple[float, int]:
    """Return a number in [0, 1) and a large integer, fixed by the request's seed and the choice's index."""
    digest = hashlib.sha256(f"{seed}:{choice}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56, int.from_bytes(digest[8:16], "big")


def fate(rates: Rates, seed: int, choice: int, temperature: float) -> str:
    """Return what becomes of a response: clean, wrong, malformed or truncated; always clean at temperature 0."""
    if temperature == 0:
        return "clean"
    at, _ = draw(seed, choice)
    for name in ("wrong", "malformed", "truncated"):
        at -= getattr(rates, name)
        if at < 0:
            return name
    return "clean"


def write_response(
    question: Question, rates: Rates, seed: int, choice: int, temperature: float, pool: Sequence[str] = ()
) -> tuple[str, str]:
    """Write one response; return it with its finish reason.

    Args:
        question: with gold answer and, where the source has one, a worked explanation.
        rates, seed, choice, temperature: see ``fate``.
        pool: other answers of the same benchmark, to be wrong with where there are no options.
    """
    _, variant = draw(seed, choice)
    answer = spoken(question, question.answer)
    thought = (
        question.explanation.strip()
        or f"I read the question and compare what it offers. It comes to {question.answer}."
    )
    clean = f"<think>{thought}</think>\n\n\\boxed{{{answer}}}"
    kind = fate(rates, seed, choice, temperature)
    if kind == "wrong":
        wrong = wrong_answer(question, variant, pool)
        thought = f"{thought} Looking at it again, I settle on {wrong}."
        return f"<think>{thought}</think>\n\n\\boxed{{{spoken(question, wrong)}}}", "stop"
    if kind == "malformed":
        other = spoken(question, wrong_answer(question, variant, pool))
        return malformed(thought, answer, other, variant), "stop"
    if kind == "truncated":
        words = re.findall(r"\S+\s*", clean)
        keep = max(1, len(words) * (20 + variant % 60) // 100)
        return "".join(words[:keep]).rstrip(), "length"
    return clean, "stop"


def malformed(thought: str, answer: str, other: str, variant: int) -> str:
    """Return one of four malformed responses: no box, two rival boxes, an empty box, no ``</think>``."""
    return (
        f"<think>{thought}</think>\n\nMy reasoning above speaks for itself, so I leave the conclusion to the reader. "
        "Please ask again if it should be stated in another form.",
        f"<think>{thought}</think>\n\nIt is either \\boxed{{{answer}}} or \\boxed{{{other}}}.",
        f"<think>{thought}</think>\n\n\\boxed{{}}",
        f"<think>{thought}\n\n\\boxed{{{answer}}}",
    )[variant // 97 % 4]


def spoken(question: Question, answer: str) -> str:
    """Return an answer as it stands in the box: the letter in multiple choice, else the text.

    Raises:
        UserError: the gold answer is none of the options.
    """
    if question.task == "mcq":
        if answer not in question.options:
            raise UserError(
                f"question {question.id}: the answer {answer!r} is none of its options; build the questions again"
            )
        return LETTERS[question.options.index(answer)]
    if question.task == "multi_label":
        return "; ".join(part.strip() for part in answer.split(";"))
    return answer


def wrong_answer(question: Question, variant: int, pool: Sequence[str] = ()) -> str:
    """Return a plausible answer that is not right."""
    if question.task == "numeric":
        return _wrong_number(question, variant)
    if question.task == "multi_label":
        return _wrong_labels(question, variant)
    options = question.options or (("yes", "no") if question.task == "yes_no" else tuple(pool))
    right = {text.lower() for text in (question.answer, *question.aliases)}
    others = [option for option in options if option.lower() not in right]
    return others[variant % len(others)] if others else f"something other than {question.answer}"


def _wrong_number(question: Question, variant: int) -> str:
    gold = decimal_of(question.answer)
    if gold is None:
        return "0"
    places = max(0, -int(gold.as_tuple().exponent))
    low, high = question.lower_limit, question.upper_limit
    width = (high - low) if low is not None and high is not None else 0.0
    for step in range(1, 9):
        distance = max(width, 10.0**-places) * (1 + (variant + step) % 3) + width * step
        for sign in (1, -1) if variant % 4 else (-1, 1):
            wrong = f"{float(gold) + sign * distance:.{places}f}"
            if (sign > 0 or float(gold) >= distance) and within(wrong, gold, low, high) is False:
                return wrong
    return f"{float(gold) + 1000 * (1 + width):.{places}f}"


def _wrong_labels(question: Question, variant: int) -> str:
    gold = [part.strip() for part in question.answer.split(";")]
    others = [option for option in question.options if option not in gold]
    if others:
        return "; ".join([*gold, others[variant % len(others)]])
    return "; ".join(gold[:-1]) or "something else"
