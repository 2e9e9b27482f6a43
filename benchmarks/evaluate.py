"""Scoring a million responses on one core: `octomed eval score`, from files of samples to results.json.

    .venv/bin/python benchmarks/evaluate.py --responses 1000000 --output benchmarks/results/evaluate.json

Responses are made up: a thought of sentences drawn from a small bank, some 800 tokens at four to five characters a
token, an answer part in the forms that students use, and an answer that is right about two times of three. Six
benchmarks of as many tasks, five seeds a question, clusters of one to four questions. Rows are in the order of a run
that answers one seed after the other (what was opened for a question is then gone when it comes again) in half of the
benchmarks, and sorted by question in the others. They hold no count of tokens: words of thoughts are counted.

The command runs alone in a process of its own, held to one core. Seconds are of the wall, and the processor's beside
them: where others use the machine too, only these tell anything. The peak is of its memory.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
from bare_package import ROOT  # first: it makes the project importable

from octomed_jax.prompts import LETTERS
from octomed_jax.verification.check import VERIFIER_VERSION

SEEDS = 5
SENTENCES = 400
WORDS = """the patient presents with fever cough and dyspnea of three days which suggests an infection rather than heart
    failure however the image shows opacity in right lower lobe so pneumonia remains likely while effusion is less
    probable given sharp costophrenic angles let me consider each option again before deciding on what would be best
    next step in management of this condition because renal function was reduced and potassium level elevated"""
CLOSINGS = (
    "\n\n\\boxed{{{answer}}}",
    "\n\nThe findings fit this best, and the other choices do not explain them.\n\n\\boxed{{{answer}}}",
    "\n\n**Final Answer:** \\boxed{{{answer}}}",
    "\n\nThe history, the course and the image agree. The answer is:\n\n\\[\\boxed{{\\text{{{answer}}}}}\\]",
    "\n\nThe correct answer is **{answer}**.\n\n\\boxed{{{answer}}}",
)
OPTIONS = (
    "Pneumonia", "Pulmonary embolism", "Pleural effusion", "Congestive heart failure", "Pneumothorax", "Lung abscess",
    "Sarcoidosis", "Tuberculosis", "Bronchiectasis", "Asthma", "Aortic dissection", "Acute pericarditis",
)  # fmt: skip


def question_of(task: str, number: int, draw: random.Random) -> tuple[dict[str, Any], Callable[[bool], str]]:
    """Return the columns of a question, and what answers it rightly or wrongly."""
    question = " ".join(draw.choices(WORDS.split(), k=90)) + f" (case {number})?"
    row: dict[str, Any] = {"task": task, "question": question, "options": []}
    if task in ("mcq", "classification"):
        options = draw.sample(OPTIONS, 4 + number % 7 if task == "mcq" else 4)
        place = draw.randrange(len(options))
        names = [f"{LETTERS[p]}. {option}" if number % 3 else LETTERS[p] for p, option in enumerate(options)]
        names = names if task == "mcq" else options
        row |= {"options": options, "answer": options[place]}
        return row, lambda right: names[place] if right else draw.choice(names[:place] + names[place + 1 :])
    if task == "yes_no":
        gold = draw.choice(["yes", "no"])
        return row | {"answer": gold}, lambda right: gold.capitalize() if right else {"yes": "No", "no": "Yes"}[gold]
    if task == "numeric":
        value = draw.randrange(10, 900) / 10
        row |= {"answer": str(value), "lower_limit": value * 0.95, "upper_limit": value * 1.05}
        return row, lambda right: f"{value * (1.01 if right else draw.choice([0.5, 1.5])):.2f} mg"
    if task == "multi_label":
        labels = sorted(draw.sample(OPTIONS, 2))
        row |= {"options": list(OPTIONS), "answer": ";".join(labels)}
        return row, lambda right: ", ".join(labels if right else labels[:1])
    gold = draw.choice(OPTIONS)
    return row | {"answer": gold}, lambda right: gold.lower() if right else draw.choice(OPTIONS[:5])


TASKS = ("mcq", "classification", "yes_no", "numeric", "multi_label", "short_answer")


def write_samples(folder: Path, responses: int) -> dict[str, Any]:
    """Write the samples of six benchmarks; return what they hold."""
    draw = random.Random(0)
    bank = [" ".join(draw.choices(WORDS.split(), k=draw.randrange(8, 22))).capitalize() + "." for _ in range(SENTENCES)]
    characters = written = 0
    for place, task in enumerate(TASKS):
        questions = [question_of(task, number, draw) for number in range(responses // len(TASKS) // SEEDS)]
        order = [(number, seed) for number in range(len(questions)) for seed in range(SEEDS)]
        if place % 2:
            order.sort(key=lambda pair: (pair[1], pair[0]))
        with (folder / f"{task}.jsonl").open("wb") as file:
            for row in _rows(f"{task}_set", questions, order, bank, draw):
                characters += len(row["response"])
                written += 1
                file.write(orjson.dumps(row) + b"\n")
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "responses": written,
        "characters_a_response": round(characters / written),
        "gigabytes": round(size / 1e9, 2),
    }


def _rows(
    benchmark: str,
    questions: list[tuple[dict[str, Any], Callable[[bool], str]]],
    order: list[tuple[int, int]],
    bank: list[str],
    draw: random.Random,
) -> Iterator[dict[str, Any]]:
    for number, seed in order:
        question, answered = questions[number]
        thought = " ".join(draw.choices(bank, k=max(4, int(draw.gauss(40, 14)))))
        cut = draw.random() < 0.01
        answer = "" if cut else "</think>" + draw.choice(CLOSINGS).format(answer=answered(draw.random() < 0.67))
        yield {
            "benchmark": benchmark, "id": f"{benchmark}:test:{number:07d}", **question, "seed": seed,
            "response": f"<think>\n{thought}\n{answer}", "finish_reason": "length" if cut else "stop",
            "cluster": f"image-{number // (1 + number % 4)}",
        }  # fmt: skip


def score(folder: Path) -> dict[str, Any]:
    """Score the samples in a process that may use one core; return its seconds, its memory and what it found."""
    core = {min(os.sched_getaffinity(0))}
    command = [
        sys.executable,
        "-m",
        "octomed_jax.cli.main",
        "eval",
        "score",
        str(folder),
        "--output=" + str(folder / "results.json"),
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, core)
    )
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    results = json.loads((folder / "results.json").read_text())["benchmarks"]
    shown = ("n", "samples", "accuracy", "unparsed", "truncated")
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_mb": round(after.ru_maxrss / 1024),
        "found": {name: {key: figures[key] for key in shown} for name, figures in results.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=int, default=1_000_000)
    parser.add_argument("--folder", help="where the samples are made, and removed again (5 GB for a million)")
    parser.add_argument("--output", help="write the figures here as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        made = write_samples(Path(folder), arguments.responses)
        figures = {"samples": made, **score(Path(folder))}
    figures["responses_a_second"] = round(made["responses"] / figures["seconds"])
    figures["responses_a_processor_second"] = round(made["responses"] / figures["processor_seconds"])
    figures["load_of_the_machine"] = round(os.getloadavg()[0], 1)  # others' work too: then its seconds say little
    print(json.dumps(figures, indent=1))
    if arguments.output:
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        machine = {
            "command": " ".join(["benchmarks/evaluate.py", *sys.argv[1:]]),
            "commit": commit or None,
            "verifier": VERIFIER_VERSION,
            "device": f"cpu {platform.machine()}, one of {os.cpu_count()} cores, Python {platform.python_version()}",
            "versions": {name: importlib.metadata.version(name) for name in ("numpy", "orjson")},
        }
        Path(arguments.output).write_text(json.dumps(machine | figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
