"""The table of verdict_table.py, and cases by language models that saw no code (unseen.jsonl, docs/verifier.md)."""

import json
from collections import Counter
from pathlib import Path

import pytest
from verdict_table import QUESTIONS, TABLE, TRUNCATED, UNPARSED

from octomed_jax.prompts import LETTERS
from octomed_jax.verification.check import Checker, check_response
from octomed_jax.verification.rows import question_of, responses_of

UNSEEN = Path(__file__).with_name("unseen.jsonl")


def expected_of(case) -> tuple[str, str]:
    """Return what should be read, and the verdict on it."""
    question = QUESTIONS[case.question]
    if case.expected in (UNPARSED, TRUNCATED):
        return "", case.expected
    if question.task == "mcq":
        option = question.options[LETTERS.index(case.expected)]
        return option, "correct" if option == question.answer else "wrong"
    return case.expected, ""


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case.kind}: {case.question}: {case.response[:60]!r}")
def test_what_a_careful_reader_takes(case):
    judged = check_response(QUESTIONS[case.question], case.response, "stop")
    extracted, verdict = expected_of(case)
    if verdict in (UNPARSED, TRUNCATED):
        assert judged.verdict == verdict, (case.rule, judged)
    else:
        assert judged.extracted == extracted, (case.rule, judged)
        assert judged.verdict == (verdict or judged.verdict) in ("correct", "wrong"), (case.rule, judged)


def test_the_table_is_large_and_states_its_rules():
    assert len(TABLE) >= 400
    assert all(case.rule for case in TABLE)
    assert len({case.kind for case in TABLE}) >= 30
    answerable = sum(case.expected not in (UNPARSED, TRUNCATED) for case in TABLE)
    assert 0.4 < answerable / len(TABLE) < 0.7
    # No case stands twice with two expectations.
    seen = Counter((case.question, case.response) for case in TABLE)
    assert max(seen.values()) == 1


@pytest.mark.parametrize("finish", ["length", "max_tokens"])
def test_a_length_finish_is_truncated_whatever_it_holds(finish):
    for case in TABLE:
        assert check_response(QUESTIONS[case.question], case.response, finish).verdict == TRUNCATED


def test_cases_by_writers_who_did_not_see_the_code():
    rows = [json.loads(line) for line in UNSEEN.read_text(encoding="utf-8").splitlines()]
    answerable, read, credited, invented = 0, 0, [], []
    for number, row in enumerate(rows, 1):
        ((response, finish),) = responses_of(row, "")
        verdict = Checker(question_of(row, f"row {number}")).check(response, finish).verdict
        if row["expected"] in ("correct", "wrong"):
            answerable += 1
            read += verdict == row["expected"]
        if verdict in ("correct", "wrong") and verdict != row["expected"]:
            (credited if verdict == "correct" else invented).append((number, response[-80:]))
    assert len(rows) >= 400
    assert credited == []
    assert invented == []
    assert read / answerable >= 0.92
