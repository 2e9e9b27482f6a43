"""Rows as people have them: OctoMed's published columns, or one attempt a row, made into questions and responses."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.prompts import LETTERS
from octomed_jax.schema import ACCESS_CLASSES, OPEN_TASKS, TASKS, Question
from octomed_jax.verification.numeric import decimal_of
from octomed_jax.verification.text import plain_name
from octomed_jax.verification.yes_no import is_yes_no


class RowError(UserError):
    """A row that cannot be used; ``column`` is where in it the trouble lies."""

    def __init__(self, message: str, column: str):
        super().__init__(message)
        self.column = column


_PREFIX = re.compile(r"^\s*[(\[]?([A-Z])(?:[)\].:]\s*|\s+-\s+)")


def question_of(row: Mapping[str, Any], where: str) -> Question:
    """Return the question of a row.

    Args:
        row: ``answer``, and what is there of ``task, question, options, aliases, lower_limit, upper_limit``. Options
            may carry their letters ("A. Asthma"); the answer may be an option's text, its letter, or both. One whose
            task is said to be open may have none.
        where: names the row in an error.

    Raises:
        UserError: a column is missing, or holds what it cannot hold.
    """
    if row.get("answer") is None and row.get("task") not in OPEN_TASKS:
        raise RowError(f"{where} has no answer; a row needs answer, and responses or response", "answer")
    options, prefixed = without_letters(_texts(row, "options", where))
    limits = [_limit(row, name, where) for name in ("lower_limit", "upper_limit")]
    answer = row.get("answer")
    answer = ";".join(map(_scalar, answer)) if isinstance(answer, list | tuple) else _scalar(answer)
    access = str(row.get("access") or "open")
    if access not in ACCESS_CLASSES:
        raise RowError(f"{where}: unknown access class {access!r}; one of {', '.join(ACCESS_CLASSES)}", "access")
    task = str(row.get("task") or "") or _task(options, prefixed, limits, answer)
    if task not in TASKS:
        hint = did_you_mean(task, TASKS)
        raise RowError(f"{where}: unknown task {task!r}{hint}; one of {', '.join(TASKS)}", "task")
    if task == "mcq" and not options and answer.strip().upper() in LETTERS:
        # The options stand in the question's text: their letters are all there is to read.
        options = tuple(LETTERS[: max(10, LETTERS.index(answer.strip().upper()) + 1)])
    if task in ("mcq", "classification", "yes_no") and options:
        if prefixed and _letter_or_text(answer, options):
            raise RowError(
                f"{where}: answer {answer.strip()!r} is the letter of one option and the text of another; "
                "give the letter with its text",
                "answer",
            )
        answer = gold_option(answer, options)
    elif task == "multi_label":
        answer = ";".join(gold_option(part, options) if options else part for part in answer.split(";"))
    return Question(
        id=str(row.get("id") or where), source=str(row.get("source") or ""), benchmark="", split="train", task=task,
        question=str(row.get("question") or ""), answer=answer, options=options,
        aliases=tuple(_texts(row, "aliases", where, single=True)), lower_limit=limits[0], upper_limit=limits[1],
        access=access,
    )  # fmt: skip


def responses_of(row: Mapping[str, Any], where: str) -> list[tuple[str, str]]:
    """Return the (response, finish_reason) pairs of a row, which has ``responses`` or one ``response``.

    Raises:
        UserError: neither is there, or they hold no texts.
    """
    finish = row.get("finish_reason")
    if (responses := row.get("responses")) is not None:
        if isinstance(responses, str) or not isinstance(responses, Sequence):
            raise UserError(f"{where}: responses is no list")
        ends = finish if isinstance(finish, list | tuple) else [finish] * len(responses)
        if len(ends) != len(responses):
            raise UserError(f"{where}: {len(responses)} responses, but {len(ends)} of finish_reason")
        pairs = list(zip(responses, ends, strict=True))
    elif "response" in row:
        pairs = [(row["response"], finish)]
    else:
        raise UserError(f"{where} has neither responses nor response")
    for response, _ in pairs:
        if response is not None and not isinstance(response, str):
            raise UserError(f"{where}: a response is no text but {type(response).__name__}")
    return [(response or "", str(end or "")) for response, end in pairs]


def without_letters(options: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return options without their letters ("A. Asthma"), and whether they had them: all of them, in order."""
    matches = [_PREFIX.match(option) for option in options]
    if not 0 < len(options) <= len(LETTERS) or any(
        match is None or match[1] != letter or not option[match.end() :].strip()
        for option, match, letter in zip(options, matches, LETTERS, strict=False)
    ):
        return tuple(options), False
    return tuple(option[match.end() :].strip() for option, match in zip(options, matches, strict=True) if match), True


def gold_option(answer: str, options: Sequence[str]) -> str:
    """Return the option that a gold answer names by its text, its letter, or both; the answer itself if none."""
    if answer in options:
        return answer
    names = [plain_name(option) for option in options]
    if plain_name(answer) in names:
        return options[names.index(plain_name(answer))]
    if (index := _letter(answer, len(options))) is not None:
        return options[index]
    if (match := _PREFIX.match(answer)) and match[1] in LETTERS[: len(options)]:
        index = LETTERS.index(match[1])
        if plain_name(answer[match.end() :]) == names[index]:
            return options[index]
    return answer


def _letter(answer: str, count: int) -> int | None:
    """Return the place of the option whose letter an answer is, and nothing else."""
    bare = answer.strip().strip("()[]. ").upper()
    return LETTERS.index(bare) if len(bare) == 1 and bare in LETTERS[:count] else None


def _letter_or_text(answer: str, options: Sequence[str]) -> bool:
    """Say whether an answer is the letter of one option and the text of another one."""
    index = _letter(answer, len(options))
    name = plain_name(answer)
    return index is not None and plain_name(options[index]) != name and name in map(plain_name, options)


def _task(options: Sequence[str], prefixed: bool, limits: Sequence[float | None], answer: str) -> str:
    """Guess the task of a row that does not say it."""
    if any(limit is not None for limit in limits):
        return "numeric"
    if is_yes_no(options) and not prefixed:
        return "yes_no"
    if options:
        return "mcq"
    if plain_name(answer) in ("yes", "no"):
        return "yes_no"
    return "numeric" if decimal_of(answer) is not None else "short_answer"


def _texts(row: Mapping[str, Any], name: str, where: str, single: bool = False) -> list[str]:
    """Return a column that is a list, JSON of one, or letters with their texts; with ``single`` also one text."""
    value = row.get(name)
    if value is None or value == "":
        return []
    if isinstance(value, str):
        parsed = _json_of(value)
        if not isinstance(parsed, list | dict):
            if single:
                return [value]
            raise RowError(f"{where}: {name} is no list but the text {value[:40]!r}", name)
        value = parsed
    if isinstance(value, Mapping):
        ordered = [value[key] for key in sorted(value, key=lambda key: (len(str(key)), str(key)))]
        while ordered and ordered[-1] is None:
            ordered.pop()
        value = ordered
    if not isinstance(value, Sequence):
        raise RowError(f"{where}: {name} is no list", name)
    return [_scalar(item) for item in value]


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if not isinstance(value, bool) else ("yes" if value else "no")


def _limit(row: Mapping[str, Any], name: str, where: str) -> float | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        limit = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise RowError(f"{where}: {name} is no number ({str(value)[:40]!r})", name) from error
    return None if math.isnan(limit) else limit  # how a table spells that there is none
