"""The verifier beside two public parsers: what each makes of the same multiple-choice rows, and verdicts a second.

    pip install --target peers math-verify==0.9.0
    pip install --target peers --no-deps lmms-eval==0.7.3
    .venv/bin/python benchmarks/verify.py --peers peers --output benchmarks/results/verify.json

Rows are the multiple-choice cases of tests/verification: the hand-written table, and unseen.jsonl, whose writers did
not see the code. They are meant to be hard; the shares are no rates of a population. Each parser gets what follows
the thought. math-verify reads option letters (its StringExtractionConfig), lmms-eval is its MMMU rule, which also
matches option texts and draws an option at random where it finds none (its seed is set here).

Speed is of one core, in verdicts a second: 16 responses to a question, in the forms that teachers use, after a
thought of 3,000 characters; and one response a question. The peers read the same responses without their thoughts.
Each is timed in turn, three times; the fastest counts.
"""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bare_package import ROOT  # first: it makes the project importable

from octomed_jax.prompts import LETTERS
from octomed_jax.schema import Question
from octomed_jax.verification.candidates import split_response
from octomed_jax.verification.check import VERIFIER_VERSION, Checker
from octomed_jax.verification.rows import question_of, responses_of

TESTS = Path(ROOT) / "tests" / "verification"
THOUGHT = (
    "<think>"
    + "The patient has a fever and a cough, so the second may be right, but the first too. " * 36
    + "</think>\n\n"
)
FORMS = (
    "\\boxed{{{letter}}}",
    "The findings decide.\n\n\\boxed{{{letter}}}",
    "\\[\\boxed{{\\text{{{letter}}}}}\\]",
    "\\boxed{{{letter}. {option}}}",
    "\\boxed{{\\text{{{option}}}}}",
    "**Answer: {letter}**",
    "**Final Answer:** {letter}. {option}",
    "<answer>{letter}</answer>",
    "The answer is {letter}.",
    "The correct answer is **{letter}. {option}**.",
    "### Final Answer\n\n$\\boxed{{{letter}}}$",
    "Answer: {option}",
    "The film shows an infiltrate and the fever fits.\n\nFinal answer: \\boxed{{{letter}}}",
    "\\boxed{{({letter})}}",
    "{letter}. {option}",
    "{letter}",
)

Read = Callable[[Question, str], str]  # the letter that is read; empty: none


@dataclasses.dataclass(frozen=True)
class Row:
    """A response, and the verdict of a careful reader: correct, wrong, unparsed or truncated."""

    question: Question
    response: str
    finish_reason: str
    expected: str


def table_rows() -> list[Row]:
    """Return the multiple-choice cases of the table."""
    sys.path.insert(0, str(TESTS))
    from verdict_table import QUESTIONS, TABLE, TRUNCATED, UNPARSED

    rows = []
    for case in TABLE:
        question, expected = QUESTIONS[case.question], case.expected
        if question.task != "mcq":
            continue
        if expected not in (UNPARSED, TRUNCATED):
            expected = "correct" if question.options[LETTERS.index(expected)] == question.answer else "wrong"
        rows.append(Row(question, case.response, "stop", expected))
    return rows


def unseen_rows() -> list[Row]:
    """Return the multiple-choice cases of unseen.jsonl."""
    rows = []
    for number, line in enumerate((TESTS / "unseen.jsonl").read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        if row["task"] == "mcq":
            ((response, finish),) = responses_of(row, "")
            rows.append(Row(question_of(row, f"row {number}"), response, finish, row["expected"]))
    return rows


def judged(rows: Sequence[Row], read: Callable[[Row], str]) -> dict[str, Any]:
    """Count what a parser makes of rows; ``read`` returns a verdict."""
    counts: Counter[str] = Counter()
    for row in rows:
        verdict = read(row)
        answerable = row.expected in ("correct", "wrong")
        read_it = verdict in ("correct", "wrong")
        counts["answerable"] += answerable
        counts["right"] += answerable and verdict == row.expected
        counts["missed"] += answerable and not read_it
        counts["credited wrongly"] += verdict == "correct" != row.expected
        counts["a wrong option"] += answerable and verdict == "wrong" != row.expected
        counts["invented"] += not answerable and read_it
    share = counts["right"] / counts["answerable"]
    return {"rows": len(rows), **counts, "share_right": round(share, 4)}


def ours(row: Row) -> str:
    return Checker(row.question).check(row.response, row.finish_reason).verdict


def verdict_of(read: Read) -> Callable[[Row], str]:
    """Return the verdicts of a parser that reads letters; cut responses are known by their finish, as ours are."""

    def verdict(row: Row) -> str:
        parts = split_response(row.response)
        if row.finish_reason == "length" or not parts.closed:
            return "truncated"
        letter = read(row.question, parts.answer)
        options = row.question.options
        if not letter or letter not in LETTERS[: len(options)]:
            return "unparsed"
        return "correct" if options[LETTERS.index(letter)] == row.question.answer else "wrong"

    return verdict


def math_verify() -> Read:
    """Return math-verify as a reader of option letters."""
    from math_verify import StringExtractionConfig, parse

    def read(question: Question, text: str) -> str:
        letters = tuple(LETTERS[: len(question.options)])
        found = parse(text, extraction_config=[StringExtractionConfig(strings=letters)], parsing_timeout=None)
        return str(found[0]).upper() if found else ""

    return read


def lmms_eval(peers: Path) -> Read:
    """Return lmms-eval's rule for MMMU, from its file alone: the package would load torch."""
    path = peers / "lmms_eval" / "tasks" / "_task_utils" / "mmmu_mcq_utils.py"
    spec = importlib.util.spec_from_file_location("mmmu_mcq_utils", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    random.seed(0)

    def read(question: Question, text: str) -> str:
        index, letters = module.get_multi_choice_info(list(question.options))
        return module.parse_mmmu_multi_choice_response(text, letters, index)

    return read


def usual_rows(rows: Sequence[Row]) -> list[list[Row]]:
    """Return responses in the forms that teachers use, 16 to each question of ``rows`` whose options are no letters."""
    questions = {row.question.options: row.question for row in rows if min(map(len, row.question.options)) > 1}
    return [
        [
            Row(question, THOUGHT + form.format(letter=LETTERS[place], option=question.options[place]), "stop", "")
            for number, form in enumerate(FORMS)
            for place in [(number * 7 + turn) % len(question.options)]
        ]
        for turn, question in enumerate(questions.values())
    ]


def fastest(work: Callable[[], int], seconds: float = 2.0) -> float:
    """Return how many a second of the processor, the best of three."""
    rates = []
    for _ in range(3):
        start, done = time.process_time(), 0
        while (used := time.process_time() - start) < seconds:
            done += work()
        rates.append(done / used)
    return max(rates)


def check_groups(groups: Sequence[Sequence[Row]]) -> int:
    for group in groups:
        checker = Checker(group[0].question)
        for row in group:
            checker.check(row.response, row.finish_reason)
    return sum(map(len, groups))


def read_all(read: Read, rows: Sequence[tuple[Question, str]]) -> int:
    for question, text in rows:
        read(question, text)
    return len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="where math-verify and lmms-eval were installed")
    parser.add_argument("--output", help="write the figures here as JSON")
    arguments = parser.parse_args()
    sys.path.append(str(arguments.peers))
    readers = {"math-verify": math_verify(), "lmms-eval": lmms_eval(arguments.peers)}
    table, unseen = table_rows(), unseen_rows()
    figures: dict[str, Any] = {"errors": {}}
    for name, rows in (("table", table), ("unseen", unseen)):
        figures["errors"][name] = {"ours": judged(rows, ours)} | {
            peer: judged(rows, verdict_of(read)) for peer, read in readers.items()
        }
    groups = usual_rows([*table, *unseen])
    one_each = [[row] for group in groups for row in group]
    texts = [(row.question, split_response(row.response).answer) for group in groups for row in group]
    assert all(Checker(row.question).check(row.response, "stop").verdict in ("correct", "wrong") for (row,) in one_each)
    figures["verdicts_a_second"] = {
        "ours, 16 a question": round(fastest(lambda: check_groups(groups))),
        "ours, one a question": round(fastest(lambda: check_groups(one_each))),
        **{peer: round(fastest(lambda read=read: read_all(read, texts))) for peer, read in readers.items()},
        "ours, on the hard rows": round(fastest(lambda: check_groups([[row] for row in unseen]))),
    }
    print(json.dumps(figures, indent=1))
    if arguments.output:
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        versions = {item.name.lower().replace("_", "-"): item.version for item in importlib.metadata.distributions()}
        machine = {
            "command": " ".join(["benchmarks/verify.py", *sys.argv[1:]]),
            "commit": commit or None,
            "verifier": VERIFIER_VERSION,
            "device": f"cpu {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "versions": {name: versions.get(name) for name in ("math-verify", "lmms-eval")},
        }
        Path(arguments.output).write_text(json.dumps(machine | figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
