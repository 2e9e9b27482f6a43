"""Copies among samples: counted by brute force, whatever the order and the size of the groups."""

import itertools
import random
from collections import Counter

import pyarrow as pa
import pytest

from octomed_jax.schema import ATTEMPT_SCHEMA
from octomed_jax.teacher import copies as module
from octomed_jax.teacher.copies import LONG, Copies, alarm, alarming
from octomed_jax.teacher.tally import Tally


def drawn(seed):
    """Attempts at some questions, some of them copies; short, long, and long by their reasoning alone."""
    rng = random.Random(seed)
    rows = []
    for question, teacher in itertools.product(range(6), ("t", "u")):
        for sample in range(rng.choice([1, 4, 8])):
            letter = rng.choice("abcd")
            reasoning, response = rng.choice([("", letter * LONG), (letter * (LONG - 1), "B"), ("", letter), ("", "")])
            keys = {"question_id": f"q{question}", "teacher": teacher, "sample_index": sample, "group": sample // 4}
            rows.append({**keys, "reasoning": reasoning, "response": response})
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_the_counts_are_those_of_brute_force(seed):
    rows = drawn(seed)
    texts = Counter((row["question_id"], row["teacher"], row["reasoning"] + row["response"]) for row in rows)
    long = {key: count for key, count in texts.items() if len(key[-1]) >= LONG}
    expected = sum(long.values()), sum(long.values()) - len(long)

    counted = Copies()
    random.Random(seed).shuffle(rows)
    for row in rows:
        counted.add((row["question_id"], row["teacher"]), [row["reasoning"] + row["response"]])
    assert (counted.samples, counted.copies) == expected

    empty = {"finish_reason": "stop", "verdict": "wrong", "error": "", "prompt_tokens": 1, "completion_tokens": 1}
    tally = Tally()
    tally.add(pa.Table.from_pylist([{**empty, **row} for row in rows], schema=ATTEMPT_SCHEMA))
    told = tally.told()
    assert (told["long_samples"], told["copies"]) == expected


def test_only_so_many_questions_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "RECENT", 2)
    counted = Copies()
    for key in "abc":
        counted.add(key, ["x" * LONG])
    counted.add("c", ["x" * LONG])
    counted.add("a", ["x" * LONG])  # forgotten
    assert (counted.samples, counted.copies) == (5, 1)


def test_more_than_one_per_cent_is_an_alarm():
    assert not alarming(0, 0)
    assert not alarming(400, 4)
    assert alarming(400, 5)
    assert "5 of 400 long samples" in alarm(400, 5)
