"""The verdict on one response: correct, wrong, unparsed or truncated, with what was read and why.

Precision first: a wrong trace in the training set does harm, a lost right one costs a request. Whatever a careful
reader would call undecided is unparsed. Pure Python, linear in the response, and no input makes it raise.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

from octomed_jax.schema import OPEN_TASKS, Question, Verdict, with_option_order
from octomed_jax.verification.answer import ANSWER_CHARACTERS, read_answer
from octomed_jax.verification.candidates import explicit, split_response
from octomed_jax.verification.choices import Options
from octomed_jax.verification.labels import Labels, ShortAnswers
from octomed_jax.verification.numeric import Numbers
from octomed_jax.verification.overlap import token_f1
from octomed_jax.verification.reader import Reader
from octomed_jax.verification.text import american, plain_name
from octomed_jax.verification.yes_no import YesNo, is_yes_no

# Part of every verdict: raise it with any change that can change one.
VERIFIER_VERSION = "3"

# Every reason code with its meaning; the verdict it belongs to stands first.
REASONS = {
    "match": "correct: the answer read is the gold answer, an alias of it, or within its limits",
    "other_option": "wrong: another of the options was chosen",
    "other_number": "wrong: a number outside the limits (or unequal, where there are none)",
    "other_text": "wrong: a short answer that neither is nor contains the gold answer",
    "other_labels": "wrong: another set of labels",
    "length": "truncated: the response ended at the token limit",
    "thought_not_closed": "truncated: a thought was begun and no </think> follows, so no answer was reached",
    "request_failed": "unparsed: the request failed for good and there is no response",
    "content_filter": "unparsed: the endpoint withheld the response",
    "empty_answer": "unparsed: nothing follows the thought, or the box is empty",
    "too_long": "unparsed: the part after the thought is far too long to be an answer",
    "not_closed": "unparsed: the last box or answer tag is not closed",
    "no_answer": "unparsed: free text in which no answer is stated",
    "no_number": "unparsed: a number is asked for and none is given",
    "not_an_option": "unparsed: the answer given is none of the options",
    "undecided": "unparsed: rival answers, doubt, a negation or a range, so a careful reader would not decide",
    "partly_equal": "unparsed: a short answer that contains the gold answer or is in it, or may be the same number",
    "no_date": "unparsed: a date is asked for and none is given",
    "no_rule": "unparsed: reports and instructions have no rule unless the recipe names one; a judge model is needed",
    "overlap_reached": "correct: the token F1 with the gold answer reaches the recipe's threshold",
    "overlap_below": "wrong: the token F1 with the gold answer is below the recipe's threshold",
    "judge_correct": "correct: the rules did not accept it, a judge model did",
    "judge_wrong": "wrong: the rules could not read it, a judge model says that it is wrong",
    "no_gold": "unparsed: the source publishes no gold to compare with, and config.verify.trust does not name it",
    "published": "correct: not compared with anything: no gold is published, and config.verify.trust names the source",
    "broken_gold": "unparsed: the gold answer of the question itself cannot be read or is none of its options",
}

TRUNCATED_FINISHES = ("length", "max_tokens")
_SEEN, _SEEN_CHARACTERS = 16, 300  # short answers to a question whose verdicts are kept


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a recipe decides about verification.

    Attributes:
        open_rule: how reports and instructions are judged: ``none``, or ``token_f1``.
        threshold: the least token F1 with the gold answer that is accepted.
        trust: names of sources whose published responses to questions without gold are taken as they are, if whole.
    """

    open_rule: str = "none"
    threshold: float = 0.5
    trust: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.open_rule not in ("none", "token_f1"):
            raise ValueError(f"config.verify.open_rule is {self.open_rule!r}, one of none, token_f1")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"config.verify.threshold is {self.threshold}; it must be above 0 and at most 1")

    @property
    def name(self) -> str:
        """What belongs to the verifier's version in a table of verdicts."""
        rule = "" if self.open_rule == "none" else f"+{self.open_rule}>={self.threshold:g}"
        return VERIFIER_VERSION + rule + (f"+trust={','.join(sorted(set(self.trust)))}" if self.trust else "")

    @classmethod
    def named(cls, name: str) -> "Rules":
        """Return the rules of a verifier's name, whatever its version and judge."""
        f1 = re.search(r"\+token_f1>=([0-9.e-]+)", name)
        trust = re.search(r"\+trust=([^+]+)", name)
        rule = ("token_f1", float(f1[1])) if f1 else ("none", cls.threshold)
        return cls(*rule, tuple(trust[1].split(",")) if trust else ())


class Checker:
    """Checks responses to one question."""

    def __init__(self, question: Question, rules: Rules = Rules()):
        self.question, self.rules = question, rules
        self.reader = None if question.task in OPEN_TASKS else reader_of(question)
        self._seen: dict[str, Verdict] = {}  # samples of one question often end alike
        if isinstance(self.reader, Options):
            golds = {american(plain_name(gold)) for gold in (question.answer, *question.aliases)}
            self._broken = american(plain_name(question.answer)) not in self.reader.plain
            named = zip(self.reader.options, self.reader.plain, strict=True)
            self._right = {option for option, name in named if name in golds}

    @property
    def broken_gold(self) -> str:
        """Why no response can be compared with the gold: what it is; empty where one can be."""
        if isinstance(self.reader, ShortAnswers):
            return "no text to compare with" if self.reader.unsure == "broken_gold" else ""
        return "none of its options" if isinstance(self.reader, Options) and self._broken else ""

    def check(self, response: str, finish_reason: str) -> Verdict:
        """Judge one response. Never raises, whatever the response.

        Args:
            response: ``<think>...</think>`` and the answer, or an answer alone.
            finish_reason: as the endpoint gave it; ``length`` means cut.

        Returns:
            The verdict; ``extracted`` is the option's text, the number, the text or the labels that were read.
        """
        if finish_reason in TRUNCATED_FINISHES:
            return Verdict("truncated", "", "length")
        if finish_reason == "content_filter":
            return Verdict("unparsed", "", "content_filter")
        parts = split_response(response)
        if not parts.closed:
            return Verdict("truncated", "", "thought_not_closed")
        if self.question.without_gold:
            return self._check_without_gold(parts.answer)
        if self.reader is None:
            return self._check_open(parts.answer)
        if (known := self._seen.get(parts.answer)) is not None:
            return known
        reading = read_answer(parts.answer, self.reader).reading
        if reading.value is None:
            verdict = Verdict("unparsed", "", reading.reason or "no_answer")
        else:
            verdict = self._compare(reading.value)
        if len(parts.answer) <= _SEEN_CHARACTERS and len(self._seen) < _SEEN:
            self._seen[parts.answer] = verdict
        return verdict

    def _check_without_gold(self, answer: str) -> Verdict:
        """Take a whole answer as it was published where the recipe says so; nobody knows whether it is right."""
        if not answer:
            return Verdict("unparsed", "", "empty_answer")
        if len(answer) > ANSWER_CHARACTERS:
            return Verdict("unparsed", "", "too_long")
        if explicit(answer)[1]:
            return Verdict("unparsed", "", "not_closed")
        if self.question.source not in self.rules.trust:
            return Verdict("unparsed", "", "no_gold")
        return Verdict("correct", "", "published")

    def _check_open(self, answer: str) -> Verdict:
        if self.rules.open_rule == "none":
            return Verdict("unparsed", "", "no_rule")
        if not answer:
            return Verdict("unparsed", "", "empty_answer")
        if len(answer) > ANSWER_CHARACTERS:
            return Verdict("unparsed", "", "too_long")
        score = token_f1(answer, [self.question.answer, *self.question.aliases])
        if score is None:
            return Verdict("unparsed", "", "broken_gold")
        reached = score >= self.rules.threshold
        return Verdict(
            "correct" if reached else "wrong", f"{score:.3f}", f"overlap_{'reached' if reached else 'below'}"
        )

    def _compare(self, value: str) -> Verdict:
        reader = self.reader
        if isinstance(reader, Options):
            return _verdict(value, None if self._broken else value in self._right, "other_option", "broken_gold")
        if isinstance(reader, Numbers):
            return _verdict(value, reader.grade(value), "other_number", "broken_gold")
        if isinstance(reader, ShortAnswers):
            return _verdict(value, reader.grade(value), "other_text", reader.unsure)
        assert isinstance(reader, Labels)
        return _verdict(value, reader.grade(value), "other_labels", "broken_gold")


class Checkers:
    """Checks attempts at one question, each with the options in the order in which its teacher saw them."""

    def __init__(self, question: Question, rules: Rules = Rules()):
        self._question, self._rules = question, rules
        self._checkers: dict[tuple[int, ...], Checker] = {}

    def check(self, attempt: Mapping[str, Any]) -> Verdict:
        """Judge a row of ATTEMPT_SCHEMA; a request that failed for good is unparsed."""
        if attempt["error"]:
            return Verdict("unparsed", "", "request_failed")
        order = tuple(attempt["option_order"] or ())
        if order not in self._checkers:
            self._checkers[order] = Checker(with_option_order(self._question, order), self._rules)
        return self._checkers[order].check(attempt["response"], attempt["finish_reason"])


def check_response(question: Question, response: str, finish_reason: str, rules: Rules = Rules()) -> Verdict:
    """Judge one response to one question; see ``Checker.check``."""
    return Checker(question, rules).check(response, finish_reason)


def reader_of(question: Question) -> Reader:
    """Return what reads the answers of a question whose task has a rule."""
    if question.task == "numeric":
        return Numbers(question)
    if question.task == "short_answer":
        return ShortAnswers((question.answer, *question.aliases), question.question)
    if question.task == "multi_label":
        return Labels(question.options, (question.answer, *question.aliases))
    lettered = question.task == "mcq"
    if question.task == "yes_no" or is_yes_no(question.options):
        return YesNo(question.options, lettered, question.question)
    # A classification may also be answered by an alias of the gold label.
    aliases = question.aliases if question.task == "classification" else ()
    return _options(question.options + aliases, lettered)


@functools.lru_cache(maxsize=256)  # attempts at one question come one after the other
def _options(options: tuple[str, ...], lettered: bool) -> Options:
    return Options(options, lettered)


def _verdict(extracted: str, right: bool | None, wrong: str, unsure: str) -> Verdict:
    if right is None:
        return Verdict("unparsed", extracted, unsure)
    return Verdict("correct", extracted, "match") if right else Verdict("wrong", extracted, wrong)
