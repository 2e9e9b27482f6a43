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
        "n", "samples", "accuracy", "wilson", "bootstrap", "clusters", "baseline", "baseline_answer", "pass_at",
        "maj_at", "unparsed", "truncated", "failed", "only_failed", "thinking_tokens_mean", "thinking_tokens_right",
        "thinking_tokens_wrong", "thinking_tokens", "task", "n_train",
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


def test_failed_requests_are_in_no_accuracy():
    rows = [sample("a"), sample("a", "unparsed", seed=1, error="HTTP 500"), sample("b", "wrong")]
    rows += [sample("c", None, seed=seed, finish_reason="error") for seed in range(2)]
    score = score_samples(rows, {})["plane"]
    assert (score["n"], score["samples"], score["failed"], score["only_failed"]) == (2, 2, 3, ["c"])
    assert (score["accuracy"], score["unparsed"]) == (0.5, 0)
    assert score["wilson"] == list(wilson(1, 2))


def test_a_benchmark_of_which_nothing_came_back_has_no_accuracy():
    score = score_samples([sample(finish_reason="error")], {})["plane"]
    assert (score["n"], score["accuracy"], score["wilson"], score["bootstrap"]) == (0, None, None, None)
    assert (score["pass_at"], score["maj_at"], score["only_failed"]) == ({}, {}, ["q0"])


def test_every_question_weighs_the_same_where_samples_are_missing():
    rows = [sample("a", seed=0), sample("b", seed=0), *(sample("b", "wrong", seed=seed) for seed in (1, 2, 3))]
    score = score_samples(rows, {})["plane"]
    assert score["accuracy"] == (1 + 1 / 4) / 2
    assert score["pass_at"] == {"1": score["accuracy"]}  # question a has one sample only


def test_votes_are_for_the_answer_and_not_for_the_gold():
    """Two numbers within the limits are two answers; names of the gold are one."""
    values = [("10.1", "correct"), ("10.2", "correct"), ("12", "wrong"), ("12", "wrong")]
    rows = [
        sample(
            task="numeric", answer="10", lower_limit=9.0, upper_limit=11.0, verdict=verdict, extracted=text, seed=seed
        )
        for seed, (text, verdict) in enumerate(values)
    ]
    score = score_samples(rows, {})["plane"]
    assert score["maj_at"] == {"1": 0.5, "2": pytest.approx((1 + 4 / 2) / 6), "4": 0}
    names = [("axial", "correct"), ("transverse", "correct"), ("coronal", "wrong")]
    rows = [sample(verdict=verdict, extracted=text, seed=seed) for seed, (text, verdict) in enumerate(names)]
    assert score_samples(rows, {})["plane"]["maj_at"] == {"1": pytest.approx(2 / 3), "2": pytest.approx((1 + 1) / 3)}


def test_samples_without_an_answer_cast_no_vote():
    rows = [sample(), sample(verdict="unparsed", seed=1), sample(verdict="truncated", seed=2)]
    rows += [sample("b", verdict="unparsed", seed=seed) for seed in range(3)]
    score = score_samples(rows, {})["plane"]
    # of a's pairs two of three hold its vote; b has none at all and is wrong
    assert score["maj_at"] == {"1": pytest.approx(1 / 6), "2": pytest.approx(1 / 3)}
    assert score["pass_at"] == score["maj_at"]


def test_tasks_without_a_rule_have_no_accuracy():
    score = score_samples([sample(task="report", answer="No effusion.", verdict="unparsed", options=[])], {})["plane"]
    assert (score["n"], score["accuracy"], score["wilson"], score["baseline"]) == (1, None, None, None)


def test_a_benchmark_of_two_tasks_has_no_constant_answer():
    rows = [sample("a", task="yes_no", answer="yes"), sample("b", task="short_answer", answer="liver")]
    score = score_samples(rows, {})["plane"]
    assert (score["task"], score["accuracy"], score["baseline"]) == ("short_answer, yes_no", 1.0, None)


def test_lengths_have_quantiles_overall_right_and_wrong():
    rows = [sample(str(length), thinking_tokens=length) for length in range(1, 20)]
    rows += [sample("w", "wrong", thinking_tokens=100), sample("f", finish_reason="error", thinking_tokens=999)]
    lengths = score_samples(rows, {})["plane"]["thinking_tokens"]
    assert (lengths["unit"], lengths["all"]["n"], lengths["all"]["max"]) == ("tokens", 20, 100)
    assert lengths["right"]["quantiles"] == {"5": 1, "25": 5, "50": 10, "75": 15, "95": 19}
    assert lengths["wrong"]["mean"] == 100


def test_clusters_are_resampled_whole():
    """Twenty questions on two images, all right on one and all wrong on the other: the interval is all there is."""
    rows = [sample(f"{side}{i}", side, cluster=side) for side in ("correct", "wrong") for i in range(10)]
    score = score_samples(rows, {})["plane"]
    assert score["clusters"] == [[0.0, 10, 1], [10.0, 10, 1]]
    assert score["bootstrap"] == [0, 1]
    apart = score_samples([{**row, "cluster": ""} for row in rows], {})["plane"]
    assert apart["clusters"] == [[0.0, 1, 10], [1.0, 1, 10]]
    assert 0.2 < apart["bootstrap"][0] < 0.5 < apart["bootstrap"][1] < 0.8


def test_dates_have_the_most_frequent_one_as_constant():
    rows = [
        sample(str(i), task="numeric", answer=answer)
        for i, answer in enumerate(["05/12/2023", "05/12/2023", "01/02/2024"])
    ]
    assert best_constant(rows) == ("05/12/2023", pytest.approx(2 / 3))


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
