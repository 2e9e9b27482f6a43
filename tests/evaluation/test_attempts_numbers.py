"""The numbers of a report of attempts, against the plainest way of counting them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from attempts_folder import make_attempts, read_rows
from etils import epath
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.evaluation.attempts_data import each_question, find_questions, options_shown
from octomed_jax.evaluation.attempts_numbers import (
    MOST_FAILURES,
    OTHER_FAILURES,
    Failures,
    Lengths,
    Numbers,
    Passes,
    failure_kind,
)
from octomed_jax.evaluation.statistics import wilson


def count(folder: Path) -> dict[str, Any]:
    numbers = Numbers()
    for question, attempts in each_question(epath.Path(folder)):
        numbers.add(question, attempts)
    return numbers.table()


@pytest.fixture(scope="module", params=[1, 2, 3])
def counted(request, tmp_path_factory):
    folder = make_attempts(tmp_path_factory.mktemp("attempts") / "some", seed=request.param, each=15, preference=0.3)
    questions, attempts = read_rows(folder)
    by_id = {question["id"]: question for question in questions}
    return count(folder), questions, [{**by_id[row["question_id"]], **row} for row in attempts]


def outcome(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What a row of a table of acceptance must be."""
    came = [row for row in rows if not row["error"]]
    parsed = [row for row in came if row["verdict"] in ("correct", "wrong")]
    correct = [row for row in came if row["verdict"] == "correct"]
    questions = len({row["question_id"] for row in rows})
    return {
        "asked": len(rows),
        "answered": len(came),
        "parsed": len(parsed),
        "correct": len(correct),
        "truncated": sum(row["verdict"] == "truncated" for row in came),
        "questions": questions,
        "questions_answered": len({row["question_id"] for row in came}),
        "questions_parsed": len({row["question_id"] for row in parsed}),
        "questions_correct": len({row["question_id"] for row in correct}),
        "rate": len(correct) / len(rows),
        "wilson": list(wilson(len(correct) / len(rows) * questions, questions)),
    }


def test_funnel_and_acceptance(counted):
    table, questions, rows = counted
    assert table["questions"] == len(questions)
    assert table["funnel"] == outcome(rows)
    for kind, column in (("source", "source"), ("task", "task"), ("teacher", "teacher")):
        names = sorted({row[column] for row in rows})
        assert list(table["acceptance"][kind]) == names
        for name in names:
            assert table["acceptance"][kind][name] == outcome([row for row in rows if row[column] == name])
    for name, row in table["sources"].items():
        assert row["questions"] == sum(question["source"] == name for question in questions)
        assert row["attempts"] == table["acceptance"]["source"][name]["asked"]
        assert row["access"] == (["credentialed"] if name == "chest" else ["open"])


def test_reasons_and_failures(counted):
    table, _, rows = counted
    assert table["reasons"] == Counter(row["reason"] for row in rows)
    assert list(table["reasons"].values()) == sorted(table["reasons"].values(), reverse=True)
    assert sum(table["failures"].values()) == sum(bool(row["error"]) for row in rows) > 0
    assert len(table["failures"]) <= 3  # whatever numbers stand in them


def test_pass_rates(counted):
    table, _, rows = counted
    of_question: dict[str, list[bool]] = {}
    for row in rows:
        if not row["error"]:
            of_question.setdefault(row["question_id"], []).append(row["verdict"] == "correct")
    assert table["pass_rate"]["questions"] == len(of_question)
    assert table["pass_rate"]["columns_are"] == "per cent of the samples"
    edges = {"0": (0, 0), "1–19": (0, 20), "20–39": (20, 40), "40–59": (40, 60), "60–79": (60, 80), "80–99": (80, 100)}
    for name, (low, high) in edges.items():
        shares = [100 * sum(right) / len(right) for right in of_question.values()]
        expected = sum(share == 0 if name == "0" else low <= share < high and share > 0 for share in shares)
        assert table["pass_rate"]["columns"][name] == expected
    assert table["pass_rate"]["columns"]["100"] == sum(all(right) for right in of_question.values())
    pairs = Counter((len(right), sum(right)) for right in of_question.values())
    assert table["pass_rate"]["counts"] == [[*pair, pairs[pair]] for pair in sorted(pairs)]


def test_pass_rates_of_equally_many_samples_are_counts():
    passes = Passes()
    for right in (0, 2, 2, 4):
        passes.add([{"error": "", "verdict": "correct" if index < right else "wrong"} for index in range(4)])
    passes.add([{"error": "lost", "verdict": "unparsed"}] * 4)  # has no rate
    table = passes.table()
    assert table["columns"] == {"0": 1, "1": 0, "2": 2, "3": 0, "4": 1}
    assert (table["columns_are"], table["questions"]) == ("correct samples", 4)


def test_lengths(counted):
    table, _, rows = counted
    lengths = table["lengths"]
    came = [row for row in rows if not row["error"]]
    assert lengths["tokens"] == sum(row["completion_tokens"] for row in came)
    assert lengths["truncated_share"] == sum(row["verdict"] == "truncated" for row in came) / len(came)
    for verdict, found in lengths["verdicts"].items():
        check_summary(found, [row["completion_tokens"] for row in came if row["verdict"] == verdict])
    for source, halves in lengths["sources"].items():
        here = [row for row in came if row["source"] == source]
        check_summary(halves["correct"], [r["completion_tokens"] for r in here if r["verdict"] == "correct"])
        check_summary(halves["others"], [r["completion_tokens"] for r in here if r["verdict"] != "correct"])
    width = lengths["histogram"]["width"]
    for name, right in (("correct", True), ("others", False)):
        bins = Counter(row["completion_tokens"] // width for row in came if (row["verdict"] == "correct") is right)
        assert lengths["histogram"][name] == [bins[index] for index in range(len(lengths["histogram"][name]))]


def check_summary(found, values):
    values = sorted(values)
    if not values:
        assert found is None
        return
    assert (found["n"], found["max"]) == (len(values), values[-1])
    assert found["mean"] == pytest.approx(sum(values) / len(values))
    for level, value in found["quantiles"].items():
        assert value == values[max(0, -(-int(level) * len(values) // 100) - 1)]


def test_lengths_that_nobody_counted_are_left_out():
    lengths = Lengths()
    lengths.add("exam", [{"error": "", "verdict": "correct", "completion_tokens": 0}] * 3)
    assert lengths.table() == {}


def test_duplicates(counted):
    table, _, rows = counted
    texts: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["response"] and not row["error"]:
            texts.setdefault(row["question_id"], []).append(row)
    several = {name: members for name, members in texts.items() if len(members) > 1}
    kinds = Counter()
    for members in several.values():
        distinct = len({row["response"] for row in members})
        kinds["all_different"] += distinct == len(members)
        kinds["all_identical"] += distinct == 1
        kinds["some_identical"] += 1 < distinct < len(members)
        kinds["copies"] += len(members) - distinct
    found = table["duplicates"]
    assert found["questions"] == len(several)
    for name in ("all_different", "some_identical", "all_identical", "copies"):
        assert found[name] == kinds[name] == sum(row[name] for row in found["sources"].values())
    long = Counter(
        (row["question_id"], row["teacher"], row["reasoning"] + row["response"])
        for row in rows
        if not row["error"] and len(row["reasoning"] + row["response"]) >= 200
    )
    assert found["long"] == {"samples": long.total(), "copies": long.total() - len(long)}
    assert long.total() > len(long) > 0


def test_letters_are_those_that_the_teacher_saw(counted):
    table, _, rows = counted
    pairs = Counter()
    reordered = 0
    for row in rows:
        if row["task"] == "mcq" and row["verdict"] in ("correct", "wrong"):
            order = row["option_order"] or range(len(row["options"]))
            seen = dict(zip((row["options"][place] for place in order), "ABCDE", strict=False))
            pairs[seen[row["answer"]], seen[row["extracted"]]] += 1
            reordered += list(order) != sorted(order)
    found = table["letters"]
    assert found["read"] == pairs.total()
    assert found["reordered"] == reordered > 0
    for gold, row in found["confusion"].items():
        assert row == {chosen: pairs[gold, chosen] for chosen in row}
        assert found["gold"][gold] == sum(row.values())
        assert found["teacher"][gold] == sum(pairs[other, gold] for other in found["gold"])


def test_a_kind_of_failure_has_no_numbers_of_its_own():
    kinds = {failure_kind(f"HTTP 503: request 3f2a{n}bc9d, {n} tokens\nof 40960") for n in (4711, 32768)}
    assert kinds == {"HTTP 503: request N, N tokens of N"}
    assert failure_kind("timed out after 600 s (defaced)") == "timed out after 600 s (defaced)"
    assert len(failure_kind("x" * 100_000)) < 250


def test_failures_of_too_many_kinds_are_counted_together():
    failures = Failures()
    words = [f"{a}{b}{c}" for a in "ghijklmnop" for b in "ghijklmnop" for c in "ghijklmnopqr"]
    failures.add([{"error": word} for word in words])
    failures.add([{"error": words[0]}])
    table = failures.table()
    assert len(table) == MOST_FAILURES + 1
    assert table[OTHER_FAILURES] == len(words) - MOST_FAILURES
    assert table[words[0]] == 2


@given(st.text(max_size=300))
def test_any_error_has_a_kind(text):
    assert failure_kind(text) == failure_kind(failure_kind(text)) or len(text) > 200


def test_questions_are_found_with_their_images(tmp_path):
    folder = make_attempts(tmp_path / "some", each=30)
    questions, _ = read_rows(folder)
    wanted = frozenset(question["id"] for question in questions[::50])
    found = find_questions(epath.Path(folder) / "questions.parquet", wanted)
    assert found == {question["id"]: question for question in questions if question["id"] in wanted}
    assert any(question["image"] for question in found.values())
    assert find_questions(epath.Path(folder) / "questions.parquet", frozenset()) == {}


def test_options_as_shown():
    question = {"options": ["a", "b", "c"]}
    attempt = {"option_order": [2, 0, 1], "sample_index": 0, "question_id": "q"}
    assert options_shown(question, attempt) == ["c", "a", "b"]
    assert options_shown(question, {**attempt, "option_order": []}) == ["a", "b", "c"]
