"""Picks the worked examples that a report shows: right and wrong answers, accepted and rejected teacher attempts."""

import base64
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from etils import epath

from octomed_jax.errors import UserError
from octomed_jax.evaluation.report_data import attempt_files, read_lines, read_table
from octomed_jax.images.decode import decode_image
from octomed_jax.prompts import LETTERS
from octomed_jax.storage import sha256_bytes

MOST_TEXT = 3000  # characters of a response that are shown
MOST_IMAGES = 4
MOST_PIXELS = 40_000_000
LARGEST_SIDE = 512  # pixels; a larger image is shown smaller
SIGNATURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}

Example = dict[str, Any]


def student_examples(run: epath.Path, benchmarks: Iterable[str], each: int = 4) -> list[Example]:
    """Return up to ``each`` right and ``each`` wrong samples of the evaluation after training.

    One a benchmark at most for each verdict, benchmarks with images and without in turn, so that few examples show
    many kinds. The choice depends on the ids alone.

    Args:
        run: the run's folder.
        benchmarks: in the order of the report.
        each: how many of either kind.
    """
    heldout = run / "questions" / "heldout.parquet"
    hashes = read_table(heldout, columns=["id", "image_hash"]).to_pylist()
    with_image = {row["id"] for row in hashes if row["image_hash"]}
    right: list[Mapping[str, Any]] = []
    wrong: list[Mapping[str, Any]] = []
    for benchmark in benchmarks:
        rows = read_lines(run / "eval" / "after" / "samples" / f"{benchmark}.jsonl")
        rows.sort(key=lambda row: (sha256_bytes(row["id"].encode()), row["seed"]))
        right += [row for row in rows if row["verdict"] == "correct"][:1]
        wrong += [row for row in rows if row["verdict"] != "correct"][:1]
    chosen = _in_turn(right, with_image, each) + _in_turn(wrong, with_image, each)
    questions = _questions(heldout, {row["id"] for row in chosen})
    return [example_of(row, questions.get(row["id"], row), row["benchmark"]) for row in chosen]


def teacher_examples(run: epath.Path) -> list[Example]:
    """Return one accepted teacher attempt and one rejected for each way to be rejected, of different sources if it can.

    Args:
        run: the run's folder.
    """
    verdicts = read_table(run / "traces" / "verdicts.parquet").to_pylist()
    verdicts.sort(key=lambda row: (sha256_bytes(row["question_id"].encode()), row["sample_index"]))
    chosen: list[dict[str, Any]] = []
    for kind in ("correct", "wrong", "unparsed", "truncated"):
        of_kind = [row for row in verdicts if row["verdict"] == kind]
        used = {row["question_id"].partition(":")[0] for row in chosen}
        fresh = [row for row in of_kind if row["question_id"].partition(":")[0] not in used]
        chosen += (fresh or of_kind)[:1]
    ids = {row["question_id"] for row in chosen}
    questions = _questions(run / "questions" / "questions.parquet", ids)
    attempts = {
        (row["question_id"], row["sample_index"]): row
        for path in attempt_files(run / "attempts")
        for row in read_table(path, filters=[("question_id", "in", sorted(ids))]).to_pylist()
    }
    examples = []
    for verdict in chosen:
        attempt = attempts.get((verdict["question_id"], verdict["sample_index"]))
        question = questions.get(verdict["question_id"])
        if attempt and question:
            options = question["options"] or ()
            order = attempt["option_order"] or range(len(options))
            shown = {**question, "options": [options[place] for place in order]}
            joined = {**attempt, **verdict, "id": verdict["question_id"]}  # its response holds its thought too
            examples.append(example_of(joined, shown, shown["benchmark"]))
    return examples


def _in_turn(rows: list[Mapping[str, Any]], with_image: set[str], count: int) -> list[Mapping[str, Any]]:
    images = _spread([row for row in rows if row["id"] in with_image])
    texts = _spread([row for row in rows if row["id"] not in with_image])
    mixed = [row for pair in zip(images, texts, strict=False) for row in pair]
    return (mixed + images[len(texts) :] + texts[len(images) :])[:count]


def _spread(rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows with the first of each source before the second of any, otherwise in their order."""
    met: Counter[str] = Counter()
    ranks = []
    for row in rows:
        source = row["id"].partition(":")[0]
        ranks.append(met[source])
        met[source] += 1
    return [row for _, row in sorted(zip(ranks, rows, strict=True), key=lambda pair: pair[0])]


def _questions(path: epath.Path, ids: set[str]) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    return {row["id"]: row for row in read_table(path, filters=[("id", "in", sorted(ids))]).to_pylist()}


def example_of(
    sample: Mapping[str, Any], question: Mapping[str, Any], benchmark: str, most_text: int = MOST_TEXT
) -> Example:
    """Return what the template shows of a sample.

    Args:
        sample: ``id``, ``response``, ``finish_reason``, ``completion_tokens``, ``verdict``, ``extracted``, ``reason``.
        question: a row of QUESTION_SCHEMA, its options in the order in which they were shown.
        benchmark: named at the top.
        most_text: characters that are shown of each text.
    """
    options = list(question["options"] or ())
    answer = question["answer"]
    if question["task"] == "mcq":
        if answer in options:
            answer = f"{LETTERS[options.index(answer)]}. {answer}"
        options = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    thinking, final = split_response(sample["response"])
    images = [image["bytes"] for image in question.get("image") or ()]
    return {
        "id": sample["id"],
        "benchmark": benchmark,
        "task": question["task"],
        "question": _cut(question["question"], most_text),
        "options": options,
        "gold": answer,
        "thinking": _cut(thinking, most_text),
        "final": _cut(final, most_text),
        "extracted": sample["extracted"],
        "verdict": sample["verdict"],
        "reason": sample["reason"],
        "finish_reason": sample["finish_reason"],
        "completion_tokens": sample["completion_tokens"],
        "images": [data_url(data) for data in images[:MOST_IMAGES]],
        "n_images": len(images),
    }


def split_response(response: str) -> tuple[str, str]:
    """Return the thinking and what comes after it; a response that never closes its thinking is all thinking."""
    head, mark, tail = response.partition("</think>")
    if mark:
        return head.removeprefix("<think>").strip(), tail.strip()
    if response.startswith("<think>"):
        return response.removeprefix("<think>").strip(), ""
    return "", response.strip()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} … (cut here; {len(text):,} characters in all)"


def data_url(data: bytes) -> str:
    """Return a PNG or JPEG as a ``data:`` address, made smaller where it is large; empty where it cannot be shown.

    Only what decodes as PNG or JPEG is embedded, and sizes are checked before decoding.
    """
    try:
        image = decode_image(data, MOST_PIXELS)
    except UserError:
        return ""
    kind = next(name for start, name in SIGNATURES.items() if data.startswith(start))
    if max(image.size) > LARGEST_SIDE:
        image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
        buffer = io.BytesIO()
        image.save(buffer, "png")
        data, kind = buffer.getvalue(), "png"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
