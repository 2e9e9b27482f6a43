"""The phrases that many shared runs have in common."""

import random

from octomed_jax.evaluation.shared_phrases import LEAST_QUESTIONS, shared_phrases

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def run(start, end):
    return (*start.split(), *end.split())


def test_a_phrase_is_as_long_as_nearly_all_go_on():
    fixed = "which term of all the terms has this definition"  # nine words
    runs = {run(fixed, f"a {first} {second} c d e f"): 2 for first, second in zip(LETTERS, LETTERS[::-1], strict=True)}
    runs[run("x y z", "one two three four five six seven eight")] = LEAST_QUESTIONS
    runs[run("no", "other one has so much as two of these")] = LEAST_QUESTIONS - 1
    assert shared_phrases(runs) == [
        {"words": f"{fixed} a", "questions": 52},
        {"words": "x y z one two three four five six seven eight", "questions": LEAST_QUESTIONS},
    ]


def test_the_order_of_the_runs_does_not_matter():
    draw = random.Random(0)
    runs = {tuple(draw.choice("abc") for _ in range(12)): draw.randint(1, 9) for _ in range(200)}
    shuffled = list(runs.items())
    draw.shuffle(shuffled)
    assert shared_phrases(dict(shuffled)) == shared_phrases(runs)


def test_each_run_counts_once():
    """Of the commonest phrase first; its runs are not counted for the next."""
    one, other = "a b c d e f g h", "i j k l m n o p"
    found = shared_phrases({run(one, other): 5, run(one, "x"): 4, run("y", other): 3})
    assert found == [{"words": one, "questions": 9}, {"words": f"y {other}", "questions": 3}]


def test_runs_that_are_too_short_or_none():
    assert shared_phrases({}) == []
    assert shared_phrases({("a", "b"): 100}) == []
