import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.evaluation.scoring import best_constant, score_samples
from octomed_jax.evaluation.statistics import wilson


def sample(name="q0", verdict="correct", **fields):
    row = {
        "benchmark": "plane",
        "id": name,
        "task": "classification",
        "options": ["axial", "coronal"],
        "answer": "axial",
        "aliases": [],
        "lower_limit": None,
        "upper_limit": None,
        "seed": 0,
        "verdict": verdict,
        "thinking_tokens": 10,
    }
    return {**row, **fields}


def test_everything_not_correct_is_wrong():
    rows = [sample(f"q{i}", verdict) for i, verdict in enumerate(["correct", "wrong", "unparsed", "truncated"])]
    score = score_samples(rows, {"plane": 7})["plane"]
    assert score["n"] == 4
    assert score["accuracy"] == 0.25
    assert score["wilson"] == list(wilson(1, 4))
    assert (score["unparsed"], score["truncated"], score["n_train"]) == (1, 1, 7)


def test_result_has_exactly_the_documented_fields():
    score = score_samples([sample()], {})["plane"]
    assert list(score) == [
        "n", "accuracy", "wilson", "baseline", "baseline_answer", "unparsed", "truncated", "thinking_tokens_mean",
        "thinking_tokens_right", "thinking_tokens_wrong", "task", "n_train",
    ]  # fmt: skip
    assert score["n_train"] == 0


def test_seeds_are_averaged_but_do_not_narrow_the_interval():
    rows = [
        sample(f"q{i}", "correct" if (i + seed) % 4 else "wrong", seed=seed)
        for i, seed in itertools.product(range(12), range(4))
    ]
    score = score_samples(rows, {})["plane"]
    assert score["n"] == 12
    assert score["accuracy"] == 0.75
    assert score["wilson"] == list(wilson(9, 12))


def test_thinking_lengths_of_right_and_wrong():
    rows = [
        sample("a", thinking_tokens=4),
        sample("b", thinking_tokens=6),
        sample("c", "wrong", thinking_tokens=20),
    ]
    score = score_samples(rows, {})["plane"]
    lengths = [score[f"thinking_tokens_{kind}"] for kind in ("mean", "right", "wrong")]
    assert lengths == [10, 5, 20]
    assert score_samples(rows[:2], {})["plane"]["thinking_tokens_wrong"] is None


def test_thoughts_that_were_cut_off_have_no_length():
    rows = [sample("a", thinking_tokens=4), sample("b", "truncated", thinking_tokens=None)]
    score = score_samples(rows, {})["plane"]
    assert (score["thinking_tokens_mean"], score["thinking_tokens_wrong"]) == (4, None)


def test_benchmarks_are_apart_and_order_does_not_matter():
    rows = [sample("a"), sample("b", "wrong"), sample("c", benchmark="lobe")]
    assert score_samples(rows, {}) == score_samples(reversed(rows), {})
    assert list(score_samples(rows, {})) == ["lobe", "plane"]


def test_refuses_unknown_verdicts_and_repeated_samples():
    with pytest.raises(ValueError, match="perhaps"):
        score_samples([sample(verdict="perhaps")], {})
    with pytest.raises(ValueError, match="twice"):
        score_samples([sample(), sample()], {})


def test_constant_of_a_choice_is_a_letter():
    options = ["heart", "lung", "liver"]
    rows = [sample(f"q{i}", task="mcq", options=options[i:] + options[:i], answer="heart") for i in range(3)]
    rows.append(sample("q3", task="mcq", options=["x", "heart", "y"], answer="heart"))
    # always "heart", but at letters A, C, B, B
    assert best_constant(rows) == ("B", 0.5)


def test_constant_of_a_choice_needs_its_gold_among_the_options():
    with pytest.raises(ValueError, match="q0"):
        best_constant([sample(task="mcq", answer="nothing")])


def test_constant_of_labels_counts_aliases_and_case():
    rows = [
        sample("a", answer="Left"),
        sample("b", answer="left "),
        sample("c", answer="right", aliases=["R"]),
        sample("d", answer="L", aliases=["left"]),
    ]
    assert best_constant(rows) == ("Left", 0.75)


def test_constant_of_label_sets_ignores_their_order():
    rows = [sample(str(i), task="multi_label", answer=answer) for i, answer in enumerate(["a; b", "b;a", "c"])]
    assert best_constant(rows) == ("a; b", pytest.approx(2 / 3))


def test_constant_counts_a_question_once_whatever_its_seeds():
    rows = [sample("a", answer="left", seed=seed) for seed in range(5)]
    rows += [sample("b", answer="right"), sample("c", answer="right")]
    assert best_constant(rows) == ("right", pytest.approx(2 / 3))


def numeric(values, limits=None):
    rows = []
    for i, value in enumerate(values):
        low, high = limits[i] if limits else (None, None)
        rows.append(sample(f"q{i}", task="numeric", answer=str(value), lower_limit=low, upper_limit=high))
    return rows


def test_constant_of_numbers_is_the_median_under_the_limits():
    values = [10.5, 20.5, 21.0, 22.0, 90.0]
    limits = [(value * 0.95, value * 1.05) for value in values]
    assert best_constant(numeric(values, limits)) == ("21", pytest.approx(3 / 5))


def test_constant_of_whole_scores_is_the_better_of_median_and_mode():
    assert best_constant(numeric([0, 0, 0, 3, 4, 5, 6])) == ("0", pytest.approx(3 / 7))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_constant_of_whole_scores_is_the_best_there_is(values):
    _, accuracy = best_constant(numeric(values))
    assert accuracy == max(values.count(value) for value in values) / len(values)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30))
def test_constant_of_labels_is_the_best_there_is(labels):
    answer, accuracy = best_constant([sample(str(i), answer=label) for i, label in enumerate(labels)])
    assert labels.count(answer) == max(labels.count(label) for label in labels)
    assert accuracy == labels.count(answer) / len(labels)


@pytest.mark.parametrize("rows", [[], [sample("a"), sample("b", task="mcq")], numeric(["many"]), numeric(["nan"])])
def test_constant_refuses(rows):
    with pytest.raises(ValueError):
        best_constant(rows)
