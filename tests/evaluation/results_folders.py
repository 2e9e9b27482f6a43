"""Makes results with their samples for the tests of their report: two models, five seeds, questions with images."""

import json
from pathlib import Path

from questions_folder import BENCHMARKS, questions
from report_run import PLANTED

from octomed_jax.evaluation.sample_files import score_files
from octomed_jax.evaluation.scoring import is_failed
from octomed_jax.schema import Question
from octomed_jax.storage import write_json
from octomed_jax.verification.check import check_response

SEEDS = 5
SECRET = "secretward"  # in every text of a credentialed question, and of the responses to it
OPTIONS = ("Atrophy", "Fibrosis", "Necrosis", "Gout")


def asked() -> list[Question]:
    """Return the held-out questions of the folder that ``questions_folder`` makes, but for one with a long name."""
    found = [one for one in questions(each=32, size=(60, 40)) if one.split == "test" and "long" not in one.benchmark]
    assert {one.benchmark for one in found} == {name for name in BENCHMARKS if "long" not in name}
    return [_secret(one) if one.access != "open" else one for one in found]


def _secret(question: Question) -> Question:
    texts = {"question": f"{question.question} {SECRET}", "id": question.id.replace("wards", f"wards-{SECRET}")}
    return Question(**{**vars(question), **texts})


def exam(count: int = 20) -> list[Question]:
    """Return questions that are called as one of the paper's benchmarks."""
    return [
        Question(
            id=f"medqa:test:{number:04d}", source="medqa", benchmark="medqa", split="test", task="mcq",
            question=f"Which change is number {number}?{PLANTED}", options=OPTIONS, answer=OPTIONS[number % 4],
        )
        for number in range(count)
    ]  # fmt: skip


def rows(given: list[Question], bad: int, longer: int = 1) -> list[dict]:
    """Return samples in the form of docs/evaluation.md: the more ``bad``, the more are wrong, and these think longer.

    Some cannot be read, some are cut off and one request fails, at places that depend on the numbers alone.
    """
    made = []
    for place, question in enumerate(given):
        for seed in range(SEEDS):
            number = place * 7 + seed * 3
            right = number % 10 >= place % 4 * bad
            mark = SECRET if question.access != "open" else "weighed"
            thought = f"<think>{mark} {PLANTED} case {place}"
            answer = question.answer if right else "no such thing" if question.task == "mcq" else "something else"
            wrong = [option for option in question.options if option not in question.answer]
            answer = answer if right or not wrong else wrong[0]
            response = f"{thought}</think>\n\n\\boxed{{{answer.replace(';', ', ')}}}"
            row = {
                "benchmark": question.benchmark, "id": question.id, "task": question.task,
                "question": question.question, "options": list(question.options), "answer": question.answer,
                "aliases": list(question.aliases), "lower_limit": question.lower_limit,
                "upper_limit": question.upper_limit, "cluster": question.cluster, "seed": seed, "response": response,
                "finish_reason": "stop", "thinking_tokens": (40 + place % 5 + (0 if right else 60)) * longer,
                "completion_tokens": 200 * longer,
            }  # fmt: skip
            if number % 41 == 5:
                row |= {"response": thought, "finish_reason": "length", "thinking_tokens": None}
            elif number % 43 == 6:
                row["response"] = f"{thought}</think>\n\nIt cannot be said."
            elif question.id == "medqa:test:0002" and seed == 1:
                row |= {"response": "", "finish_reason": "error", "error": "HTTP 500", "thinking_tokens": None}
            made.append(row)
    return made


def write(folder: Path, samples: list[dict]) -> Path:
    """Write samples, a file a benchmark, and their results; return the folder."""
    (folder / "samples").mkdir(parents=True)
    names = sorted({row["benchmark"] for row in samples})
    for name in names:
        lines = [json.dumps(row) for row in samples if row["benchmark"] == name]
        (folder / "samples" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    write_json(folder / "results.json", score_files([folder / "samples" / f"{name}.jsonl" for name in names]))
    return folder


def judged(given: list[Question], samples: list[dict]) -> dict[tuple[str, str], int]:
    """Return (benchmark, outcome) to its number of samples, counted without the report's code."""
    by_id = {question.id: question for question in given}
    counts: dict[tuple[str, str], int] = {}
    for row in samples:
        found = check_response(by_id[row["id"]], row["response"], row["finish_reason"])
        key = (row["benchmark"], "failed" if is_failed(row) else found.verdict)
        counts[key] = counts.get(key, 0) + 1
    return counts


def make_two(folder: Path) -> tuple[Path, Path]:
    """Write the results of two models on the same questions; return their folders."""
    given = asked() + exam()
    return write(folder / "before", rows(given, 3)), write(folder / "after", rows(given, 1, longer=2))
