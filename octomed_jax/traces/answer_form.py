"""The final answer of an accepted response in another form: ``\\boxed{...}``, ``<answer>...</answer>``, or alone.

Only the mark that the verifier read is written otherwise, in its place; a response without one gets one more line. The
thought is never touched. What the verifier would then read otherwise is left out, with a reason.
"""

import re
from collections.abc import Mapping
from typing import Any

from octomed_jax.prompts import LETTERS
from octomed_jax.schema import OPEN_TASKS, Question, Verdict
from octomed_jax.verification.answer import final_marks, searched
from octomed_jax.verification.candidates import Candidate, explicit, split_response
from octomed_jax.verification.check import Checker, Rules
from octomed_jax.verification.labels import short_name
from octomed_jax.verification.text import american

MARKS = {"boxed": ("\\boxed{", "}"), "tag": ("<answer>", "</answer>")}
# Why a response is left out, with what it means.
LEFT_OUT = {
    "unmarked": "a judge accepted it, and no box or tag says which of its words are the answer",
    "otherwise": "with its answer marked so, the verifier would not accept it, or read another answer",
    "changed": "the verifier of today does not accept it as it stands: verify again",
}
# What stands around a box alone, and is of no use around a tag.
_MATH = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
_WRAPPED = re.compile(r"\s*\\(?:text\w{0,6}|mathrm|mathbf|mbox)\s{0,3}\{([^{}\\]*)\}\s*")


class Marker:
    """Marks the answers of accepted responses to one question, as one of its option orders showed it."""

    def __init__(self, shown: Question, form: str):
        """Take the question as the teacher saw it, and ``boxed`` or ``tag``."""
        self._question, self._form = shown, form
        self._checkers: dict[Rules, Checker] = {}

    def mark(self, response: str, verdict: Mapping[str, Any]) -> tuple[str, str]:
        """Return the response with its answer marked in the form, or an empty text and one of LEFT_OUT.

        Args:
            response: that was accepted.
            verdict: its entry of ``verdicts`` in the lake.
        """
        checker = self._checker(verdict)
        before = checker.check(response, "stop")
        if before.verdict != "correct" and not verdict["judge"]:
            return "", "changed"
        answer = split_response(response).answer
        end = len(response.rstrip())
        head = response[: end - len(answer)]
        marks = self._final_marks(answer, checker, before)
        if marks:
            forms = [_rewritten(answer, marks, self._form)]
        elif self._question.task in OPEN_TASKS:
            return response, ""  # a report has no one answer to be marked, and no teacher is asked to mark it
        elif before.verdict != "correct":
            return "", "unmarked"
        else:
            forms = self._with_line(answer, before.extracted)
        for form in forms:
            if form == answer:
                return response, ""
            if _same(checker.check(head + form, "stop"), before):
                return head + form, ""
        return "", "otherwise"

    def _with_line(self, answer: str, extracted: str) -> list[str]:
        """Return the answer part with a last line that marks the answer: the ways to write it, the best first."""
        forms = []
        for words in dict.fromkeys((spelled(self._question, extracted), self._question.answer)):
            line = words.join(MARKS[self._form])
            if _name(words) == _name(answer):
                return [line]
            # With a full stop, which keeps "None of the above" from denying the line after it.
            forms += [f"{answer}\n\n{line}", f"{answer}.\n\n{line}"]
        return forms

    def _checker(self, verdict: Mapping[str, Any]) -> Checker:
        rules = Rules.named(verdict["verifier"]) if self._question.task in OPEN_TASKS else Rules()
        if rules not in self._checkers:
            self._checkers[rules] = Checker(self._question, rules)
        return self._checkers[rules]

    def _final_marks(self, answer: str, checker: Checker, before: Verdict) -> list[tuple[Candidate, str]]:
        """Return the marks that state the answer, each with its words; none where something else states it."""
        plain = searched(answer, checker.reader) if checker.reader else answer
        marks = final_marks(plain, explicit(plain)[0])
        if not marks:
            return []
        if before.verdict == "correct" and checker.reader:
            alone = checker.check(answer[marks[0].start : marks[-1].end], "stop")
            if not _same(alone, before):
                return []  # a step on the way to what is stated after it
        return [(mark, _words(plain, answer, mark)) for mark in marks]


def spelled(question: Question, value: str) -> str:
    """Return an answer that was read as it is asked for: the letter in multiple choice, else in the gold's spelling."""
    if question.task == "mcq" and value in question.options[: len(LETTERS)]:
        return LETTERS[question.options.index(value)]
    if question.task == "numeric":
        return value
    several = question.task == "multi_label"
    known = (*(question.answer.split(";") if several else (question.answer,)), *question.aliases, *question.options)
    spellings = {_name(text): text.strip() for text in reversed(known)}
    parts = value.split(";") if several else [value]
    return "; ".join(spellings.get(_name(part), part.strip()) for part in parts) or "none"


def direct_answer(shown: Question, response: str) -> str:
    """Return the answer alone, as a student that does not reason is to write it.

    It is the gold answer, which is what was accepted: the letter in multiple choice, else the text. A report and an
    instruction have none: it is what the teacher wrote after its thought.
    """
    if shown.task in OPEN_TASKS:
        return split_response(response).answer
    golds = {_name(gold) for gold in (shown.answer, *shown.aliases)}
    options = (option for option in shown.options if _name(option) in golds)
    closed = shown.task in ("mcq", "yes_no", "classification")
    return spelled(shown, next(options, shown.answer) if closed else shown.answer)


def _name(text: str) -> str:
    """Return the one spelling under which two answers are compared."""
    return american(short_name(text))


def _same(one: Verdict, other: Verdict) -> bool:
    """Say whether two verdicts came of the same answer; an overlap may be another one that is accepted too."""
    if one.reason == other.reason == "overlap_reached":
        return True
    return one == other


def _words(plain: str, answer: str, mark: Candidate) -> str:
    """Return what stands in a mark, as the response has it."""
    seen = plain[mark.start : mark.end]
    if mark.kind == "tag":
        return answer[mark.start + seen.index(">") + 1 : mark.start + seen.rindex("<")]
    if not seen.endswith("}"):  # "\\boxed B"
        return answer[mark.end - 1 : mark.end]
    return answer[mark.start + seen.index("{") + 1 : mark.end - 1]


def _rewritten(answer: str, marks: list[tuple[Candidate, str]], form: str) -> str:
    """Return the answer part with the marks in the form; those that have it stay as they are."""
    opening, closing = MARKS[form]
    for mark, words in reversed(marks):
        start, end = mark.start, mark.end
        if answer[start:end] == f"{opening}{words}{closing}":
            continue
        start, end = _with_shell(answer, start, end, form)
        if form == "tag" and (wrapped := _WRAPPED.fullmatch(words)):
            words = wrapped[1]  # LaTeX is of no use outside of a box
        answer = answer[:start] + f"{opening}{words.strip()}{closing}" + answer[end:]
    return answer


def _with_shell(answer: str, start: int, end: int, form: str) -> tuple[int, int]:
    """Return a mark's place with what stands around it and it alone: dollars, or a mark of the other kind."""
    shells = [*MARKS.values(), *(_MATH if form == "tag" else ())]
    while True:
        for opening, closing in shells:
            before, after = answer[:start].rstrip(), answer[end:].lstrip()
            if before.endswith(opening) and after.startswith(closing):
                start, end = len(before) - len(opening), len(answer) - len(after) + len(closing)
                break
        else:
            return start, end
