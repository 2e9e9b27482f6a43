"""The cells of one row as a question, with everything that later stages rely on checked.

Cells have the columns of OctoMed's published schema and ours; an adapter makes them of any other row.
"""

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from octomed_jax import storage
from octomed_jax.errors import did_you_mean
from octomed_jax.prompts import LETTERS
from octomed_jax.questions.reading.conversations import from_conversations
from octomed_jax.questions.reading.row_images import Known, ReadFile, images_of, read_images
from octomed_jax.questions.reading.unseen import without_unseen
from octomed_jax.schema import OPEN_TASKS, Question
from octomed_jax.verification.check import check_response
from octomed_jax.verification.rows import RowError, question_of
from octomed_jax.verification.text import plain_name

NAME = "octomed"  # the source of a row that does not say it
UNKNOWN = "unknown"  # the licence of a row that does not say it
COLUMNS = (
    "id", "source", "benchmark", "split", "task", "question", "options", "answer", "aliases", "lower_limit",
    "upper_limit", "image", "explanation", "cluster", "modality", "body_region", "licence", "license", "access",
    "conversations", "option_order",
)  # fmt: skip
RESPONSES = ("responses", "finish_reason")  # a teacher's, and never gold: attempts, where those are asked for
UNUSED = ("image_hash",)  # we hash images ourselves: which hash is published is not known
ID_CHARACTERS = 128
CONTENT_DIGITS = 24  # 96 bits of SHA-256: two contents of a billion would share an id with a chance of 1 in 10^11
_PARSED = ("conversations", "option_order")  # no texts of the question
_ID = re.compile(rf"[a-z0-9_.:-]{{1,{ID_CHARACTERS}}}")
_NOT_ID = re.compile(r"[^a-z0-9_.:-]+")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")  # a benchmark's name becomes a file's name


@dataclasses.dataclass(frozen=True)
class Defaults:
    """What holds for rows that do not say it themselves; ``place``, where it is given, is the id of one without."""

    licence: str = ""
    access: str = "open"
    source: str = NAME
    split: str = "train"
    modality: str = ""
    body_region: str = ""
    place: str = ""


@dataclasses.dataclass(frozen=True)
class Given:
    """A row that was read.

    Attributes:
        question: with its options in their own order.
        own_id: the id it came with, if any, as it was spelt.
        option_order: how the row shows the options, as in ``Attempt``; empty: as they are.
        read: SHA-256 of the files that its images were read from.
        repeats: options that were taken out because another one is the same.
        unseen: how many characters were taken out of its texts that nobody sees.
    """

    question: Question
    own_id: str
    option_order: tuple[int, ...] = ()
    read: tuple[str, ...] = ()
    repeats: int = 0
    unseen: int = 0


def read_question(row: Mapping[str, Any], where: str, read_file: ReadFile, known: Known, defaults: Defaults) -> Given:
    """Return the question of a row.

    Args:
        row: column to value; other columns than COLUMNS are passed over.
        where: names the row in an error.
        read_file: name of an image file, and whether an error may say it, to its bytes.
        known: hash of an image file to what is kept of it, if it was read before.
        defaults: what holds where the row says nothing.

    Raises:
        RowError: the row cannot be used; the message names what is wrong and the cure.
    """
    cells = {name: _filled(row.get(name)) for name in COLUMNS}
    if cells["question"] is None and cells["conversations"] is not None:
        cells = from_conversations(cells, where, len(images_of(cells["image"])))
    cells, unseen = _seen(cells, where)
    _check_asked(row, cells, where)
    base, escaped = _seen_question(question_of(cells, where), where)
    order = _option_order(cells["option_order"], len(base.options), where)
    base = (
        dataclasses.replace(base, options=tuple(base.options[order.index(place)] for place in range(len(order))))
        if order
        else base
    )
    _check_options(base, where)
    shown = len(base.options)
    if not order and not _has_responses(row):
        base = _without_repeats(base, where)
    _check_gold(base, where)
    fields = _fields(cells, where, defaults)
    own = _word(cells, "id", where) or defaults.place
    _check_spelling([*base.options, *base.aliases, base.question, base.answer, own, *fields.values()], where)
    if base.without_gold and fields["split"] == "test":
        raise RowError(f"{where} is held out and has no answer to be measured by; fill the column answer", "answer")
    images = read_images(cells["image"], read_file, where, known, named=fields["access"] == "open")
    hashes = tuple(image.digest for image in images)
    identity = clean_id(own) if own else content_id(fields["source"], base, hashes)
    question = dataclasses.replace(
        base,
        **{**fields, "cluster": fields["cluster"] or (hashes[0] if hashes else identity)},
        id=identity,
        images=tuple(image.data for image in images),
        image_hashes=hashes,
    )
    read = tuple(image.read for image in images)
    return Given(question, own, order, read, shown - len(base.options), unseen + escaped)


def content_id(source: str, question: Question, image_hashes: tuple[str, ...]) -> str:
    """Return the id of a question that came without one: of its text, options and images, wherever it stood."""
    asked = {"question": question.question, "options": question.options, "images": image_hashes}
    digest = storage.sha256_bytes(storage.canonical_json(asked).encode())
    return f"{_NOT_ID.sub('_', source.lower())}:{digest[:CONTENT_DIGITS]}"


def clean_id(text: str) -> str:
    """Return an id as it is if later stages take it, else its plain letters and a hash of how it was spelt.

    Ids of people hold capitals, blanks and slashes; refusing them would stop most files. The hash keeps two of them
    apart that differ in such letters only.
    """
    if _ID.fullmatch(text):
        return text
    plain = _NOT_ID.sub("_", text.lower())[: ID_CHARACTERS - 16]
    return f"{plain}-{storage.sha256_bytes(text.encode())[:12]}"


def _filled(value: Any) -> Any:
    """Return a cell, None for the ways in which tables spell that there is nothing."""
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if value == "" else value


def _seen(cells: Mapping[str, Any], where: str) -> tuple[dict[str, Any], int]:
    """Return cells whose texts hold nothing that nobody sees, and how many characters were taken out."""
    texts = {name: without_unseen(cells[name], where, name) for name in COLUMNS if name not in ("image", *_PARSED)}
    seen = {name: _filled(value) for name, (value, _) in texts.items()}
    return {**cells, **seen}, sum(count for _, count in texts.values())


def _seen_question(question: Question, where: str) -> tuple[Question, int]:
    """Do the same with what a cell may have held as JSON, in which such characters can be escaped."""
    texts = {name: without_unseen(getattr(question, name), where, name) for name in ("options", "aliases")}
    seen: dict[str, Any] = {name: tuple(value) for name, (value, _) in texts.items()}
    answer, _ = without_unseen(question.answer, where, "answer")  # which may be an option, where they are counted
    return dataclasses.replace(question, answer=answer, **seen), sum(count for _, count in texts.values())


def _check_asked(row: Mapping[str, Any], cells: Mapping[str, Any], where: str) -> None:
    """Check that there is a question and an answer, and that both are what question_of reads as such."""
    if "images" in row and cells["image"] is None:
        raise RowError(f"{where} has a column images; call it image", "image")
    for name in ("question", "answer"):
        if cells[name] is None:
            near = did_you_mean(name, [str(key) for key in row if key not in COLUMNS])
            if name == "answer" and cells["task"] in OPEN_TASKS and not near:
                continue  # a report or an instruction, where the row says that it is one, may come without gold
            hint = f"{near}; rename that column" if near else f"; fill the column {name}"
            raise RowError(f"{where} has no {name}{hint}", name)
    if not isinstance(cells["question"], str) or not cells["question"].strip():
        raise RowError(
            f"{where}: question {str(cells['question'])[:40]!r} is no text; write the question there", "question"
        )
    if cells["answer"] is not None:
        _check_answer(cells["answer"], cells["task"], where)
    if isinstance(cells["options"], bytes):
        raise RowError(f"{where}: options is no list", "options")
    if cells["task"] == "mcq" and cells["options"] is None:
        raise RowError(f"{where} is mcq without options; give them as a list, not in the question's text", "options")


def _check_answer(answer: Any, task: Any, where: str) -> None:
    parts = answer if isinstance(answer, list | tuple) else [answer]
    if not parts or not all(isinstance(part, str | int | float | Decimal) and str(part).strip() for part in parts):
        raise RowError(f"{where}: answer {str(answer)[:40]!r} is no text; write the gold answer there", "answer")
    if len(parts) > 1 and task != "multi_label":
        raise RowError(
            f"{where}: answer holds {len(parts)} texts; give one, its other spellings as aliases, "
            "or say task multi_label",
            "answer",
        )


def _option_order(value: Any, options: int, where: str) -> tuple[int, ...]:
    """Return the order in which a row shows its options: one that `octomed data write` wrote says it."""
    try:
        order = tuple(json.loads(value) if isinstance(value, str) else value or ())
    except (TypeError, ValueError, RecursionError):
        order = (value,)
    if order and sorted(map(str, order)) != sorted(map(str, range(options))):
        shown = str(value)[:40]
        raise RowError(f"{where}: option_order {shown} is no order of {options} options; leave it out", "option_order")
    return tuple(map(int, order))


def _check_options(question: Question, where: str) -> None:
    options = question.options
    for number, option in enumerate(options, 1):
        if not option.strip():
            raise RowError(f"{where}: option {number} is empty; fill it, or take it out", "options")
    if question.task == "classification" and not options:
        raise RowError(f"{where} is a classification without options; give all labels as options", "options")
    if question.task == "mcq" and len(options) > len(LETTERS):
        raise RowError(
            f"{where} has {len(options)} options, more than letters; say task classification, which has none", "options"
        )


def _has_responses(row: Mapping[str, Any]) -> bool:
    """Return whether a row has responses, whose letters belong to the options as it shows them."""
    talk = _filled(row.get("question")) is None and row.get("conversations") is not None
    return talk or _filled(row.get("responses")) not in (None, [], ())


def _without_repeats(question: Question, where: str) -> Question:
    """Return a question with every option once; those that differ in more than blanks are two ("Aa" and "AA").

    Raises:
        RowError: all of its options are one.
    """
    kept: dict[str, str] = {}
    for option in question.options:
        kept.setdefault(" ".join(option.split()), option)
    if len(kept) == len(question.options):
        return question
    if len(kept) == 1:
        only = question.options[0][:60]
        raise RowError(f"{where}: all options are {only!r}; give what else may be chosen", "options")
    golds = question.answer.split(";") if question.task == "multi_label" else [question.answer]
    answer = ";".join(kept.get(" ".join(gold.split()), gold) for gold in golds)
    return dataclasses.replace(question, options=tuple(kept.values()), answer=answer)


def _check_gold(question: Question, where: str) -> None:
    """Check that the gold answer is one that the verifier can accept."""
    gold, options, names = question.answer, question.options, [plain_name(option) for option in question.options]
    golds = gold.split(";") if question.task == "multi_label" else [gold]
    for one in golds if options else []:
        if one not in options:
            shown = "; ".join(options)[:120]
            raise RowError(
                f"{where}: answer {one[:60]!r} is none of the options ({shown}); give an option's text or letter",
                "answer",
            )
        if names.count(plain_name(one)) > 1:
            raise RowError(f"{where}: options hold the answer {one[:60]!r} more than once; take one out", "options")
    if question.task == "yes_no" and not options and plain_name(gold) not in ("yes", "no"):
        raise RowError(f"{where}: answer {gold[:60]!r} is neither yes nor no; give options, or another task", "answer")
    if question.task == "numeric":
        _check_number(question, where)


def _check_number(question: Question, where: str) -> None:
    limits = (question.lower_limit, question.upper_limit)
    if not all(limit is None or math.isfinite(limit) for limit in limits):
        raise RowError(f"{where}: lower_limit or upper_limit is infinite; leave the limit out", "lower_limit")
    verdict = check_response(question, f"\\boxed{{{question.answer}}}", "stop")
    if verdict.verdict == "wrong":
        raise RowError(
            f"{where}: answer {question.answer[:40]!r} is not from {limits[0]} to {limits[1]}, its limits; mend one",
            "answer",
        )
    if verdict.verdict != "correct":
        raise RowError(
            f"{where}: answer {question.answer[:40]!r} is no number; write it as 4.5, or say another task", "answer"
        )


def _fields(cells: Mapping[str, Any], where: str, defaults: Defaults) -> dict[str, Any]:
    """Return the columns that are texts of their own, each with its default."""
    source = _name(cells, "source", where) or defaults.source
    split = _word(cells, "split", where) or defaults.split
    if split == "train" and defaults.split == "test":
        raise RowError(f"{where}: split is train, but the file is the split test; move the row, or mend one", "split")
    if split not in ("train", "test"):
        raise RowError(f"{where}: split {split[:40]!r} is neither train nor test; say one of them", "split")
    licences = {text for name in ("licence", "license") if (text := _word(cells, name, where))}
    if len(licences) > 1:
        raise RowError(f"{where}: licence and license differ; keep one", "licence")
    access = {str(cells["access"] or "open"), defaults.access}
    return {
        "source": source,
        "benchmark": _name(cells, "benchmark", where) or source,
        "split": split,
        "licence": next(iter(licences), "") or defaults.licence or UNKNOWN,
        "access": "credentialed" if "credentialed" in access else "open",
        "explanation": _word(cells, "explanation", where),
        "cluster": _word(cells, "cluster", where),
        "modality": _word(cells, "modality", where) or defaults.modality,
        "body_region": _word(cells, "body_region", where) or defaults.body_region,
    }


def _name(cells: Mapping[str, Any], column: str, where: str) -> str:
    name = _word(cells, column, where)
    if name and not _NAME.fullmatch(name):
        raise RowError(f"{where}: {column} {name[:60]!r} may hold letters, digits, _ . - only; rename it", column)
    return name


def _word(cells: Mapping[str, Any], column: str, where: str) -> str:
    value = cells[column]
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float | Decimal)):
        raise RowError(f"{where}: {column} is no text but {type(value).__name__}; write a text", column)
    return "" if value is None else str(value).strip()


def _check_spelling(texts: Iterable[str], where: str) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        problem = f"{error.object[error.start]!r} is half a character, which UTF-8 cannot spell; mend it"
        raise RowError(f"{where}: {problem}", "question") from error
