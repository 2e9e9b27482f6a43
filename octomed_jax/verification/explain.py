"""How one verdict came about, for a person to read: what was found in the response, what was used, and the verdict."""

from collections.abc import Iterator

from octomed_jax.prompts import LETTERS
from octomed_jax.schema import Question
from octomed_jax.verification.answer import ANSWER_CHARACTERS, read_answer, read_line, searched
from octomed_jax.verification.candidates import Candidate, explicit, split_response, statements
from octomed_jax.verification.check import REASONS, Checker, Rules
from octomed_jax.verification.reader import Reader
from octomed_jax.verification.text import Reading

SHOWN = 400  # characters of an answer


def explain(question: Question, response: str, finish_reason: str, rules: Rules) -> Iterator[str]:
    """Yield the lines that tell how the verdict on a response came about."""
    checker = Checker(question, rules)
    verdict = checker.check(response, finish_reason)
    parts = split_response(response)
    yield f"task      {question.task}"
    if question.question:
        yield f"question  {_shown(question.question)}"
    for number, option in enumerate(question.options):
        letter = f"{LETTERS[number]}. " if question.task == "mcq" and number < len(LETTERS) else ""
        yield f"{'options' if not number else '':<9} {letter}{option}"
    limits = (question.lower_limit, question.upper_limit)
    accepted = f", accepted from {limits[0]} to {limits[1]}" if limits != (None, None) else ""
    aliases = f", also {', '.join(question.aliases)}" if question.aliases else ""
    yield f"gold      {question.answer or '(none is published)'}{accepted}{aliases}"
    ended = f"; the request ended with {finish_reason!r}" if finish_reason else ""
    length = f"{len(parts.thought):,} characters, {'closed' if parts.closed else 'NOT closed'}"
    yield f"thought   {length if parts.thought or not parts.closed else 'none'}{ended}"
    yield f"answer    {_shown(parts.answer) or '(nothing)'}"
    if verdict.verdict != "truncated" and verdict.reason != "content_filter" and checker.reader:
        yield from _search(checker.reader, parts.answer)
    yield f"verdict   {verdict.verdict}, {verdict.reason} ({REASONS[verdict.reason].split(': ', 1)[1]})"
    yield f"verifier  {rules.name}"


def _search(reader: Reader, answer: str) -> Iterator[str]:
    plain = searched(answer, reader)
    strong, unclosed = explicit(plain)
    places = [*strong, *statements(plain)] if len(plain) <= ANSWER_CHARACTERS else []
    for number, place in enumerate(sorted(places, key=lambda place: place.start)):
        reading = reader.read(place.text) if place in strong else read_line(place.text, reader)
        yield f"{'found' if not number else '':<9} {_place(place)} -> {_read(reading)}"
    if unclosed:
        yield f"{'found' if not places else '':<9} {_place(unclosed)} -> never closed"
    finding = read_answer(answer, reader)
    if finding.place:
        yield f"used      {_place(finding.place)}"
    yield f"read      {_read(finding.reading)}"


def _place(place: Candidate) -> str:
    return f"{place.kind} at {place.start}: {_shown(place.text, 80)}"


def _read(reading: Reading) -> str:
    return repr(reading.value) if reading.value is not None else f"nothing ({reading.reason})"


def _shown(text: str, limit: int = SHOWN) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text):,} characters)"
