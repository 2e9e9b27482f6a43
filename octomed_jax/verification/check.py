"""The verdict on one response: correct, wrong, unparsed or truncated, with what was read and why.

Precision first: a wrong trace in the training set does harm, a lost right one costs a request. Whatever a careful
reader would call undecided is unparsed. Pure Python, linear in the response, and no input makes it raise.
"""

from octomed_jax.schema import Question, Verdict
from octomed_jax.verification.answer import Reader, read_answer, split_response
from octomed_jax.verification.choices import Options, YesNo
from octomed_jax.verification.labels import (
    Labels,
    gold_labels,
    grade_short,
    join_labels,
    read_short,
    read_short_loosely,
)
from octomed_jax.verification.numeric import read_number, read_number_loosely, within
from octomed_jax.verification.text import Reading, plain_name

# Part of every verdict table's manifest: raise it with any change that can change a verdict.
VERIFIER_VERSION = "1"

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
    "partly_equal": "unparsed: a short answer that contains the gold answer or is contained in it",
    "no_rule": "unparsed: reports and instructions have no rule; a judge model is needed",
    "broken_gold": "unparsed: the gold answer of the question itself cannot be read or is none of its options",
}

TRUNCATED_FINISHES = ("length", "max_tokens")


def judge_response(question: Question, response: str, finish_reason: str) -> Verdict:
    """Judge one response to one question. Never raises, whatever the response.

    Args:
        question: with its gold answer.
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
    if question.task in ("report", "instruction"):
        return Verdict("unparsed", "", "no_rule")
    return _JUDGES[question.task](question, parts.answer)


def _read(answer: str, read: Reader, loosely: Reader, joins: bool = False, emphasis: bool = True) -> Reading:
    reading = read_answer(answer, read, loosely, joins, emphasis)
    return Reading(None, reading.reason or "no_answer") if reading.value is None else reading


def _verdict(extracted: str, right: bool | None, wrong: str, unsure: str) -> Verdict:
    if right is None:
        return Verdict("unparsed", extracted, unsure)
    return Verdict("correct", extracted, "match") if right else Verdict("wrong", extracted, wrong)


def _judge_choice(question: Question, answer: str) -> Verdict:
    if question.task == "yes_no":
        options: Options = YesNo(question.options)
    else:
        # A classification may also be answered by an alias of the gold label.
        aliases = question.aliases if question.task == "classification" else ()
        options = Options(question.options + aliases, lettered=question.task == "mcq")
    reading = _read(answer, options.read, options.read_loosely)
    if reading.value is None:
        return Verdict("unparsed", "", reading.reason)
    golds = {plain_name(gold) for gold in (question.answer, *question.aliases)}
    known = {plain_name(option) for option in options.options}
    right = plain_name(reading.value) in golds if plain_name(question.answer) in known else None
    return _verdict(reading.value, right, "other_option", "broken_gold")


def _judge_number(question: Question, answer: str) -> Verdict:
    reading = _read(answer, read_number, read_number_loosely)
    if reading.value is None:
        return Verdict("unparsed", "", reading.reason)
    right = within(reading.value, question.answer, question.lower_limit, question.upper_limit)
    return _verdict(reading.value, right, "other_number", "broken_gold")


def _judge_short(question: Question, answer: str) -> Verdict:
    reading = _read(answer, read_short, read_short_loosely, emphasis=False)
    if reading.value is None:
        return Verdict("unparsed", "", reading.reason)
    if not plain_name(question.answer):
        return Verdict("unparsed", reading.value, "broken_gold")
    right = grade_short(reading.value, (question.answer, *question.aliases))
    return _verdict(reading.value, right, "other_text", "partly_equal")


def _judge_labels(question: Question, answer: str) -> Verdict:
    labels = Labels(question.options)
    reading = _read(answer, labels.read, labels.read_loosely, joins=True, emphasis=False)
    if reading.value is None:
        return Verdict("unparsed", "", reading.reason)
    golds = {join_labels(gold_labels(gold)) for gold in (question.answer, *question.aliases)}
    return _verdict(reading.value, reading.value in golds, "other_labels", "broken_gold")


_JUDGES = {
    "mcq": _judge_choice,
    "classification": _judge_choice,
    "yes_no": _judge_choice,
    "numeric": _judge_number,
    "short_answer": _judge_short,
    "multi_label": _judge_labels,
}
