"""Makes finished attempts folders for the tests of their report: several sources, tasks, teachers and failures."""

import dataclasses
import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from report_run import PLANTED, picture

from octomed_jax.manifests import Manifest, write_manifest
from octomed_jax.prompts import LETTERS
from octomed_jax.schema import ATTEMPT_SCHEMA, QUESTION_SCHEMA, Question, question_to_row
from octomed_jax.storage import sha256_bytes
from octomed_jax.verification.check import Checker

# source: task, options, licence, access, share of right answers
SOURCES: dict[str, tuple[str, tuple[str, ...], str, str, float]] = {
    "chest": ("classification", ("normal", "pneumonia", "effusion"), "CC0-1.0", "credentialed", 0.45),
    "exam": ("mcq", ("Atrophy", "Fibrosis", "Necrosis", "Oedema", "Stenosis"), "MIT", "open", 0.7),
    "literature": ("yes_no", (), "CC-BY-4.0", "open", 0.6),
    "medcalc": ("numeric", (), "Apache-2.0", "open", 0.85),
    "pathology": ("mcq", ("Adenoma", "Carcinoma", "Lymphoma", "Sarcoma"), "CC-BY-NC-4.0", "open", 0.35),
    "wards": ("short_answer", (), "CC0-1.0", "open", 0.2),
}
TEACHERS = ("gpt-oss-120b", "Qwen/Qwen2.5-VL-72B-Instruct")
ERRORS = (
    "HTTP 400: This model's maximum context length is {n} tokens, but 40{n} were asked for",
    "HTTP 503: no healthy upstream (request 3f2a{n}bc9d)",
    "timed out after 600 s",
)
WORDS = (
    "dense", "lesion", "margins", "sharp", "benign", "contrast", "likely", "although", "the", "patient", "so", "it",
)  # fmt: skip


def make_attempts(
    folder: Path, seed: int = 7, each: int = 20, preference: float = 0.0, samples: tuple[int, ...] = (4, 8, 16)
) -> Path:
    """Write a folder and return it.

    Args:
        folder: to be made.
        seed: of everything random.
        each: questions of a source.
        preference: share of wrong answers at multiple choice that take the third letter shown.
        samples: numbers of samples, of which each question has one.
    """
    chance = random.Random(seed)
    questions = sorted(
        (_question(source, index, chance) for source in SOURCES for index in range(each)), key=lambda one: one.id
    )
    attempts = [row for one in questions for row in _attempts(one, chance.choice(samples), preference, chance)]
    return write_folder(folder, questions, attempts)


def write_folder(
    folder: Path,
    questions: list[Question],
    attempts: list[dict[str, Any]],
    counts: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    row_group: int = 100,
) -> Path:
    """Write questions and attempts, in two parts, with a manifest."""
    (folder / "attempts").mkdir(parents=True)
    table = pa.Table.from_pylist([question_to_row(one) for one in questions], QUESTION_SCHEMA)
    pq.write_table(table, folder / "questions.parquet", row_group_size=row_group)
    half = len(attempts) // 2
    for number, rows in enumerate((attempts[:half], attempts[half:])):
        table = pa.Table.from_pylist(rows, ATTEMPT_SCHEMA)
        pq.write_table(table, folder / "attempts" / f"part-{number:05d}.parquet", row_group_size=row_group)
    manifest = Manifest(
        stage="distill",
        config={"temperature": 0.7, "model": "several"} if config is None else config,
        counts={"questions": len(questions), "attempts": len(attempts), **(counts or {})},
        licences=tuple(sorted({one.licence for one in questions})),
        access="credentialed" if any(one.access == "credentialed" for one in questions) else "open",
        extra=extra or {},
        code_commit="x",
    )
    write_manifest(folder, manifest)
    return folder


def attempt_at(
    question: Question, index: int, response: str, order: Sequence[int] = (), finish_reason: str = "stop", **fields: Any
) -> dict[str, Any]:
    """Return one attempt, judged by the real verifier on the question as it was shown.

    Args:
        question: with its options as they stand in the source.
        index: of the sample.
        response: as it came back.
        order: in which the options were shown; empty: as they stand.
        finish_reason: why the response ended.
        **fields: other columns.
    """
    shown = dataclasses.replace(question, options=tuple(question.options[place] for place in order or _all(question)))
    verdict = Checker(shown).check(response, finish_reason)
    return {
        "question_id": question.id,
        "sample_index": index,
        "teacher": TEACHERS[0],
        "response": response,
        "reasoning": "",
        "finish_reason": finish_reason,
        "prompt_tokens": 120,
        "completion_tokens": 60,
        "verdict": verdict.verdict,
        "extracted": verdict.extracted,
        "reason": verdict.reason,
        "verifier": "2",
        "option_order": list(order),
        "group": 0,
        "seed": 1,
        "request_hash": sha256_bytes(question.id.encode())[:16],
        "error": "",
        **fields,
    }


def failed_at(question: Question, index: int, error: str, **fields: Any) -> dict[str, Any]:
    """Return an attempt whose request failed for good."""
    failed = {"verdict": "unparsed", "reason": "request_failed", "extracted": "", "completion_tokens": 0}
    return attempt_at(question, index, "", finish_reason="error", error=error, **{**failed, **fields})


def _all(question: Question) -> range:
    return range(len(question.options))


def _question(source: str, index: int, chance: random.Random) -> Question:
    task, options, licence, access, _ = SOURCES[source]
    if source == "exam":
        options = options[: chance.choice((4, 5))]
    if task == "yes_no":
        answer = chance.choice(("yes", "no"))
    elif task == "numeric":
        answer = str(chance.randrange(2, 40))
    elif task == "short_answer":
        answer = chance.choice(("appendicitis", "asthma", "gout"))
    else:
        answer = chance.choice(options)
    images = (picture(index, side=64),) if source in ("chest", "pathology") else ()
    return Question(
        id=f"{source}:{index:05d}",
        source=source,
        benchmark=f"{source}_{task}",
        split="train",
        task=task,
        question=f"Question {index} of {source}: what do you conclude?{PLANTED}",
        options=options,
        answer=answer,
        images=images,
        image_hashes=tuple(sha256_bytes(image) for image in images),
        licence=licence,
        access=access,
    )


def _attempts(question: Question, samples: int, preference: float, chance: random.Random) -> list[dict[str, Any]]:
    skill = min(0.97, max(0.02, chance.gauss(SOURCES[question.source][4], 0.3)))
    rows: list[dict[str, Any]] = []
    for group, first in enumerate(range(0, samples, 4)):
        fields = {"teacher": chance.choice(TEACHERS), "group": group}
        order = list(_all(question)) if question.task == "mcq" and chance.random() < 0.5 else []
        chance.shuffle(order)
        error = chance.choice(ERRORS).format(n=chance.randrange(32768, 99999)) if chance.random() < 0.03 else ""
        for index in range(first, min(first + 4, samples)):
            if error:
                rows.append(failed_at(question, index, error, order=order, **fields))
                continue
            shown = [question.options[place] for place in order or _all(question)]
            response, finish = _response(question, shown, chance.random() < skill, preference, chance)
            if index > first and chance.random() < 0.01:
                response, finish = rows[-1]["response"], rows[-1]["finish_reason"]
            tokens = 4096 if finish == "length" else int(chance.lognormvariate(6.3, 0.5))
            rows.append(attempt_at(question, index, response, order, finish, completion_tokens=tokens, **fields))
    return rows


def _response(
    question: Question, shown: list[str], right: bool, preference: float, chance: random.Random
) -> tuple[str, str]:
    """Return a response to a question whose options were shown so, and why it ended."""
    thought = " ".join(chance.choices(WORDS, k=chance.randrange(20, 90)))
    if chance.random() < 0.04:
        return f"<think>{thought}", "length"
    if chance.random() < 0.05:
        return f"<think>{thought}</think>\n\n" + chance.choice(("I cannot say.", "\\boxed{}", "It is hard.")), "stop"
    others = {"yes_no": ["yes", "no"], "numeric": ["1", "77"], "short_answer": ["migraine", "sepsis"]}
    wrong = [text for text in shown or others[question.task] if text != question.answer]
    answer = question.answer if right else chance.choice(wrong)
    if question.task == "mcq":
        if not right and chance.random() < preference and shown[2] != question.answer:
            answer = shown[2]
        letter = LETTERS[shown.index(answer)]
        answer = f"{letter}. {answer}" if chance.random() < 0.3 else letter
    return f"<think>{thought}{PLANTED}</think>\n\n\\boxed{{{answer}}}", "stop"


def read_rows(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return all questions and all attempts of a folder as plain rows."""
    questions = pq.read_table(folder / "questions.parquet").to_pylist()
    parts = [pq.read_table(path).to_pylist() for path in sorted((folder / "attempts").glob("part-*.parquet"))]
    return questions, list(itertools.chain(*parts))


def read_report(folder: Path) -> dict[str, Any]:
    """Return report.json."""
    return json.loads((folder / "report.json").read_text())
