import random

import pytest

from octomed_jax.errors import StopAndLook
from octomed_jax.evaluation.letters import Letters

OPTIONS = ["alpha", "beta", "gamma", "delta"]


def question(answer="alpha", options=OPTIONS, task="mcq"):
    return {"task": task, "options": options, "answer": answer}


def attempt(extracted, order=(), verdict=None, answer="alpha"):
    verdict = verdict or ("correct" if extracted == answer else "wrong")
    row = {"question_id": "q", "sample_index": 0, "extracted": extracted, "option_order": list(order)}
    return {**row, "verdict": verdict}


def biased_letters(preference, questions=400, seed=3, samples=4):
    """Every question is shown in an order of its own, and is answered wrong; all its samples choose the same."""
    chance, letters = random.Random(seed), Letters()
    for _ in range(questions):
        order = chance.sample(range(4), 4)
        shown = [OPTIONS[place] for place in order]
        wrong = shown[1] if chance.random() < preference and shown[1] != "alpha" else chance.choice(OPTIONS[1:])
        letters.add(question(), [attempt(wrong, order)] * samples)
    return letters


def test_a_letter_is_the_one_shown():
    letters = Letters()
    letters.add(question("beta"), [attempt("delta", [3, 1, 0, 2], answer="beta"), attempt("beta", answer="beta")])
    table = letters.table()
    assert table["gold"] == {"A": 0, "B": 2}
    assert table["teacher"] == {"A": 1, "B": 1}
    assert table["reordered"] == 1


def test_a_preference_is_named():
    bias = biased_letters(0.5).bias()
    assert (bias["biased"], bias["letter"]) == (True, "B")
    assert bias["share"] > bias["expected_share"] + 0.2
    assert bias["p"] < 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_none_is_named_where_there_is_none(seed):
    """Though all sixteen samples of a question agree: each question counts once."""
    assert biased_letters(0.0, seed=seed, samples=16).bias()["biased"] is False


def test_what_is_expected_adds_up():
    letters = biased_letters(0.3)
    assert sum(letters.expected.values()) == pytest.approx(letters.wrong_questions)
    assert sum(letters.observed.values()) == pytest.approx(letters.wrong_questions)


def test_a_certain_but_small_preference_is_not_named():
    bias = biased_letters(0.05, questions=20_000, samples=1).bias()
    assert bias["p"] < 0.001
    assert bias["biased"] is False


def test_few_wrong_answers_decide_nothing():
    letters = biased_letters(1.0, questions=8)
    assert letters.bias() == {"wrong_questions": 8, "biased": None}


def test_rare_letters_join_their_neighbour():
    letters = biased_letters(0.0, questions=200)
    letters.add(question("alpha", [*OPTIONS, "epsilon"]), [attempt("epsilon")])
    assert letters.bias()["degrees"] == 3
    assert letters.table()["teacher"]["E"] == 1


@pytest.mark.parametrize(
    "asked",
    [
        question(task="classification"),
        question("no option"),
        question(options=["alpha", "beta", "beta"]),
        question(options=["alpha", *(f"option {n}" for n in range(40))]),
    ],
)
def test_questions_without_letters_are_left_out(asked):
    letters = Letters()
    letters.add(asked, [attempt("alpha")])
    assert letters.table() == {}


def test_what_was_not_read_is_left_out():
    letters = Letters()
    letters.add(question(), [attempt("", verdict="unparsed"), attempt("alpha", verdict="truncated"), attempt("other")])
    assert letters.table() == {}


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 4]])
def test_an_order_that_is_none_is_refused(order):
    with pytest.raises(StopAndLook, match="option_order"):
        Letters().add(question(), [attempt("alpha", order)])
