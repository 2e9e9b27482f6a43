"""Makes a small finished run whose numbers agree with each other, for the tests of the report."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from octomed_jax.evaluation.report_data import TIMED
from octomed_jax.evaluation.scoring import score_samples
from octomed_jax.manifests import Manifest, write_manifest
from octomed_jax.schema import ATTEMPT_SCHEMA, QUESTION_SCHEMA, VERDICT_SCHEMA, Question, question_to_row
from octomed_jax.storage import sha256_bytes, write_json, write_text

PLANTED = "<script>document.title='broken in'</script><img src=x onerror=alert(1)>"

# benchmark: source, task, options, images a question, training questions, test questions, right before, right after
BENCHMARKS: dict[str, tuple[str, str, tuple[str, ...], int, int, int, float, float]] = {
    "plane": ("brain", "classification", ("axial", "coronal", "sagittal"), 1, 12, 40, 0.0, 0.97),
    "lobe": ("brain", "classification", ("frontal", "temporal", "parietal", "occipital"), 1, 8, 40, 0.05, 0.4),
    "side": ("brain", "classification", ("left", "right"), 1, 8, 40, 0.1, 0.5),
    "cha2ds2_vasc": ("medcalc", "numeric", (), 0, 10, 30, 0.0, 1.0),
    "has_bled": ("medcalc", "numeric", (), 0, 10, 30, 0.03, 0.96),
    "anion_gap": ("medcalc", "numeric", (), 0, 10, 30, 0.0, 0.06),
    "mean_arterial_pressure": ("medcalc", "numeric", (), 0, 0, 30, 0.0, 0.0),
    "corrected_calcium": ("medcalc", "numeric", (), 0, 0, 30, 0.0, 0.03),
    "icd10_chapter": ("icd10", "mcq", ("Neoplasms", "Injury", "Digestive", "Nervous"), 0, 12, 30, 0.2, 0.55),
    "modality": ("dicom", "classification", ("CT", "MR", "US", "CR"), 2, 6, 12, 0.0, 0.5),
    "medmcqa": ("medmcqa", "mcq", ("Atrophy", "Fibrosis", "Necrosis", "Oedema"), 0, 0, 60, 0.22, 0.25),
}
OUTCOMES = [
    ("correct", "match"),
    ("wrong", "other_text"),
    ("unparsed", "no_answer"),
    ("truncated", "length"),
    ("unparsed", "request_failed"),
]
CARD = """# Questions

Built from **real inputs**. See [the project](https://example.org/about).

| source | licence | attribution |
| --- | --- | --- |
| brain | BSD-3-Clause | Colin27 <b>T1</b> with AAL |
| medmcqa | MIT | 300 items, https://example.org/medmcqa |

- counted by source
- fetched once
"""


def make_run(folder: Path) -> Path:
    """Write every folder of a finished run under ``folder`` and return it."""
    chance = random.Random(7)
    questions = {split: _questions(split, chance) for split in ("train", "test")}
    _write_questions(folder / "questions", questions)
    attempts = _attempts(questions["train"], chance)
    _write_attempts(folder, attempts, questions["train"])
    _write_training(folder, chance)
    train_counts = {name: row[4] for name, row in BENCHMARKS.items()}
    for when, column in (("before", 6), ("after", 7)):
        samples = _samples(questions["test"], column, chance)
        for name in BENCHMARKS:
            lines = [json.dumps(row) for row in samples if row["benchmark"] == name]
            write_text(folder / "eval" / when / "samples" / f"{name}.jsonl", "\n".join(lines) + "\n")
        results = {"benchmarks": score_samples(samples, train_counts), "settings": {"temperature": 0.0}}
        write_json(folder / "eval" / when / "results.json", results)
        write_manifest(folder / "eval" / when, Manifest(stage="eval", config={"temperature": 0.0}, code_commit="x"))
    write_manifest(folder / "export", Manifest(stage="export", config={}, code_commit="x"))
    write_json(folder / "export" / "provenance.json", {"figures": {"transformers": {"max_logit_diff": 2.5e-6}}})
    for index, stage in enumerate(TIMED):
        write_json(
            folder / "timing" / f"{stage}.json", {"seconds": 10.5 + 40 * index, "peak_rss_mb": 900.0 + 100 * index}
        )
    return folder


def picture(index: int, side: int = 112) -> bytes:
    """Return a small PNG that differs with ``index``."""
    image = Image.new("L", (side, side), 12)
    draw = ImageDraw.Draw(image)
    draw.ellipse((14, 8 + index % 9, 98 - index % 13, 104), fill=120, outline=210, width=4)
    draw.ellipse((40, 40, 60 + index % 11, 66), fill=60 + index % 90)
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def _questions(split: str, chance: random.Random) -> list[Question]:
    made = []
    for name, (source, task, options, n_images, n_train, n_test, _, _) in BENCHMARKS.items():
        for index in range(n_train if split == "train" else n_test):
            images = tuple(picture(index + 31 * view) for view in range(n_images))
            answer = chance.choice(options) if options else str(chance.randrange(0, 7))
            text = f"Question {index} of {name}: an 82-year-old with hypertension and a previous stroke. What is it?"
            made.append(
                Question(
                    id=f"{source}:{name}:{split}-{index:03d}",
                    source=source,
                    benchmark=name,
                    split=split,
                    task=task,
                    question=text + (PLANTED if split == "test" else ""),
                    answer=answer,
                    options=options,
                    images=images,
                    image_hashes=tuple(sha256_bytes(image) for image in images),
                    licence="BSD-3-Clause",
                    cluster=name,
                )
            )
    return sorted(made, key=lambda question: question.id)


def _write_questions(folder: Path, questions: dict[str, list[Question]]) -> None:
    folder.mkdir(parents=True)
    for split, name in (("train", "questions.parquet"), ("test", "heldout.parquet")):
        rows = [question_to_row(question) for question in questions[split]]
        pq.write_table(pa.Table.from_pylist(rows, QUESTION_SCHEMA), folder / name)
    write_text(folder / "card.md", CARD)
    manifest = Manifest(
        stage="questions", config={"brain": {"plane": 12}}, licences=("BSD-3-Clause", "MIT"), code_commit="x"
    )
    write_manifest(folder, manifest)


def _attempts(questions: list[Question], chance: random.Random) -> list[dict[str, Any]]:
    """Return attempts with their verdicts joined to them."""
    rows = []
    for question in questions:
        for index in range(4):
            verdict, reason = chance.choices(OUTCOMES, [80, 10, 5, 4, 1])[0]
            failed = reason == "request_failed"
            answer = {"correct": question.answer, "wrong": "something else"}.get(verdict, "")
            final = f"</think>\n\\boxed{{{answer}}}" if answer else ""
            rows.append(
                {
                    "question_id": question.id,
                    "sample_index": index,
                    "group": 0,
                    "seed": index,
                    "request_hash": "0" * 16,
                    "teacher": "scripted",
                    "response": "" if failed else f"<think>{question.benchmark}. Stroke +2.{PLANTED}{final}",
                    "reasoning": "",
                    "finish_reason": "length" if verdict == "truncated" else "stop",
                    "prompt_tokens": 60,
                    "completion_tokens": 40,
                    "error": "connection lost" if failed else "",
                    "verdict": verdict,
                    "extracted": answer,
                    "reason": reason,
                    "verifier": "2",
                    "option_order": [],
                }
            )
    return rows


def _write_attempts(run: Path, attempts: list[dict[str, Any]], questions: list[Question]) -> None:
    (run / "attempts" / "attempts").mkdir(parents=True)
    (run / "traces").mkdir(parents=True)
    facts = [{name: row[name] for name in ATTEMPT_SCHEMA.names} for row in attempts]
    pq.write_table(pa.Table.from_pylist(facts, ATTEMPT_SCHEMA), run / "attempts" / "attempts" / "part-00000.parquet")
    judged = [{name: row.get(name) for name in VERDICT_SCHEMA.names} for row in attempts]
    pq.write_table(pa.Table.from_pylist(judged, VERDICT_SCHEMA), run / "traces" / "verdicts.parquet")
    source_of = {question.id: question.source for question in questions}
    sources = {
        name: _funnel([row for row in attempts if source_of[row["question_id"]] == name])
        for name in sorted(set(source_of.values()))
    }
    write_json(run / "traces" / "funnel.json", {"sources": sources, "total": _funnel(attempts)})
    config = {"model": "scripted", "samples": 4, "scripted": {"wrong": 0.1}}
    extra = {"teacher": "programmatic teacher (wrong 10 %)"}
    write_manifest(run / "attempts", Manifest(stage="distill", config=config, extra=extra, code_commit="x"))
    write_manifest(run / "traces", Manifest(stage="verify", config={"per_question": 2}, code_commit="x"))


def _funnel(attempts: list[dict[str, Any]], per_question: int = 2) -> dict[str, Any]:
    right: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for row in attempts:
        if row["verdict"] == "correct":
            right[row["question_id"]] = right.get(row["question_id"], 0) + 1
        reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
    return {
        "asked": len(attempts),
        "answered": sum(not row["error"] for row in attempts),
        "parsed": sum(row["verdict"] in ("correct", "wrong") for row in attempts),
        "correct": sum(right.values()),
        "kept": sum(min(count, per_question) for count in right.values()),
        "questions": len({row["question_id"] for row in attempts}),
        "questions_kept": len(right),
        "reasons": reasons,
    }


def _write_training(run: Path, chance: random.Random) -> None:
    write_manifest_in(run / "shards", "shard")
    lines = [
        {
            "step": step,
            "loss": 0.2 + 6.3 * 0.985**step + chance.random() * 0.15,
            "grad_norm": 1.0,
            "learning_rate": 1e-3,
        }
        for step in range(1, 401)
    ]
    # A run that was killed and went on writes some steps twice.
    lines = lines[:120] + lines[100:]
    write_text(run / "train" / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_manifest_in(run / "train", "train")


def write_manifest_in(folder: Path, stage: str) -> None:
    """Write a bare manifest, as a finished stage would."""
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, Manifest(stage=stage, config={"steps": 400}, code_commit="x"))


def _samples(questions: list[Question], column: int, chance: random.Random) -> list[dict[str, Any]]:
    rows = []
    for question in questions:
        right = chance.random() < BENCHMARKS[question.benchmark][column]
        verdict = "correct" if right else chance.choice(["wrong", "wrong", "unparsed", "truncated"])
        answer = {"correct": question.answer, "wrong": "something else"}.get(verdict, "")
        thinking = int(14 + 50 * (1 - BENCHMARKS[question.benchmark][7]) + chance.randrange(9) + (0 if right else 5))
        rows.append(
            {
                "benchmark": question.benchmark,
                "id": question.id,
                "task": question.task,
                "question": question.question,
                "options": list(question.options),
                "answer": question.answer,
                "aliases": [],
                "lower_limit": None,
                "upper_limit": None,
                "cluster": question.cluster,
                "seed": 0,
                "response": f"<think>{question.benchmark}. Stroke +2, total 5.{PLANTED}</think>\n\\boxed{{{answer}}}",
                "finish_reason": "length" if verdict == "truncated" else "stop",
                "verdict": verdict,
                "extracted": answer,
                "reason": {"correct": "match", "wrong": "other_text", "unparsed": "no_answer"}.get(verdict, "length"),
                "thinking_tokens": None if verdict == "truncated" else thinking,
                "completion_tokens": thinking + 6,
            }
        )
    return rows
