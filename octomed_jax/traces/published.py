"""Questions and traces as rows of the schema in which OctoMed publishes its sets, and back again without loss.

Theirs are ``image, image_hash, question, options, answer, responses``, with lettered options ("A: text") and the gold
as letter and text ("E: text"); ours come after them. The letters in a response belong to the options in the order in
which its teacher saw them. A row shows one such order: a question that was shown in several stands in as many rows,
each with the responses of that order, so that whoever reads ``options`` and ``responses`` alone reads them rightly.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from octomed_jax.errors import UserError
from octomed_jax.prompts import LETTERS
from octomed_jax.schema import Question, Record, with_option_order
from octomed_jax.verification.rows import RowError, question_of

SUFFIXES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg"}
TEXT, TEXTS, NUMBER, ORDER, IMAGE = "string", "strings", "float64", "int8s", "image"
# Column to its kind. The first six are OctoMed's; the others are ours, each a column of `questions build`.
COLUMNS = {
    "image": IMAGE, "image_hash": TEXT, "question": TEXT, "options": TEXTS, "answer": TEXT, "responses": TEXTS,
    "id": TEXT, "split": TEXT, "task": TEXT, "source": TEXT, "benchmark": TEXT, "aliases": TEXTS,
    "lower_limit": NUMBER, "upper_limit": NUMBER, "option_order": ORDER, "explanation": TEXT, "cluster": TEXT,
    "modality": TEXT, "body_region": TEXT, "licence": TEXT, "access": TEXT,
}  # fmt: skip
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_ARROW = {
    TEXT: pa.string(),
    TEXTS: pa.list_(pa.string()),
    NUMBER: pa.float64(),
    ORDER: pa.list_(pa.int8()),
    IMAGE: _IMAGE,
}
_SINGLE = {TEXTS: "string", ORDER: "int8"}  # kind of a list to what it holds


def features(several_images: bool) -> list[tuple[str, str, bool]]:
    """Return the columns as the datasets library knows them: name, type, and whether it is a list of these.

    Args:
        several_images: whether a question has more than one; then ``image`` and ``image_hash`` are lists in every row.
    """
    lists = {"image", "image_hash"} if several_images else set()
    return [(name, _SINGLE.get(kind, kind), kind in _SINGLE or name in lists) for name, kind in COLUMNS.items()]


def schema(several_images: bool) -> pa.Schema:
    """Return the Arrow schema, with what makes ``datasets.load_dataset`` show images as images.

    A list is called Sequence there: version 4 of that library knows it as List too, those before know no List.
    """
    fields, described = [], {}
    for name, kind, is_list in features(several_images):
        arrow = pa.int8() if kind == "int8" else _ARROW[kind]
        fields.append((name, pa.list_(arrow) if is_list else arrow))
        one = {"_type": "Image"} if kind == IMAGE else {"dtype": kind, "_type": "Value"}
        described[name] = {"feature": one, "_type": "Sequence"} if is_list else one
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": described}})})


def orders_of(option_orders: Sequence[Sequence[int]]) -> int:
    """Return in how many rows a question stands whose responses saw the options so."""
    return len({tuple(order) for order in option_orders}) or 1


def rows_of(record: Record, several_images: bool) -> Iterator[dict[str, Any]]:
    """Yield the rows of a question with its responses, of which there may be none.

    Raises:
        UserError: it cannot be written so that it reads back the same.
    """
    orders = record.option_orders or ((),) * len(record.responses)
    groups: dict[tuple[int, ...], list[str]] = {}
    for order, response in zip(orders, record.responses, strict=True):
        groups.setdefault(tuple(order), []).append(response)
    common = _row(record.question, several_images)
    for order, responses in (groups or {(): []}).items():
        shown = with_option_order(record.question, order)
        # Said also where they are as they are, if the question stands in other rows: it did not come twice.
        said = order or (tuple(range(len(shown.options))) if len(groups) > 1 else ())
        yield {**common, **_choices(shown), "responses": responses, "option_order": said}


def _row(question: Question, several_images: bool) -> dict[str, Any]:
    images = [
        {"bytes": data, "path": f"{digest}.{_suffix(data)}"}
        for data, digest in zip(question.images, question.image_hashes, strict=True)
    ]
    hashes = list(question.image_hashes)
    row = {name: getattr(question, name, None) for name in COLUMNS}
    if several_images:
        return {**row, "image": images, "image_hash": hashes}
    return {**row, "image": images[0] if images else None, "image_hash": hashes[0] if hashes else None}


def _suffix(data: bytes) -> str:
    return next((suffix for mark, suffix in SUFFIXES.items() if data.startswith(mark)), "bin")


def _choices(question: Question) -> dict[str, Any]:
    """Return ``options`` and ``answer`` of a question, with letters where its options are shown with letters.

    Options that themselves begin like letters are written the other way round, since they would be read wrongly.
    """
    plain = {"options": question.options, "answer": question.answer}
    forms = [plain]
    if 0 < len(question.options) <= len(LETTERS):
        forms.insert(0 if question.task == "mcq" else 1, _lettered(question))
    for form in forms:
        if _reads_back(question, form):
            return form
    raise UserError(
        f"question {question.id} cannot be written so that its answer {question.answer[:60]!r} reads back the same; "
        "mend its options"
    )


def _lettered(question: Question) -> dict[str, Any]:
    options = [f"{letter}: {option}" for letter, option in zip(LETTERS, question.options, strict=False)]
    gold = question.answer
    return {"options": options, "answer": options[question.options.index(gold)] if gold in question.options else gold}


def _reads_back(question: Question, form: dict[str, Any]) -> bool:
    try:
        read = question_of({"task": question.task, **form}, question.id)
    except RowError:
        return False
    return (read.options, read.answer) == (question.options, question.answer)
