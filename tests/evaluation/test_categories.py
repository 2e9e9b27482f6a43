"""The means over categories in results.json: when one is an overall, and its interval."""

import pytest

from octomed_jax.evaluation.benchmarks import CLASSES, EVERY, TEXT, find_benchmark
from octomed_jax.evaluation.categories import category_figures
from octomed_jax.evaluation.resampling import mean_of

TEXTS = ("medqa-5options", "headqa", "medmcqa", "medxpertqa-text", "mmlu-pro-health")


def figures_of(name, right, votes=None, n=None):
    """Return a benchmark's figures: so many of all of its questions are right."""
    n = n or find_benchmark(name).questions
    table = [[0.0, 1, n - right], [1.0, 1, right]]
    told = {"n": n, "accuracy": right / n, "clusters": table}
    if votes is not None:
        table = [[0.0, 1, n - votes], [1.0, 1, votes]]
        told["vote"] = {"of": 10, "accuracy": votes / n, "clusters": table}
    return told


def test_a_whole_category_has_an_overall():
    benchmarks = {name: figures_of(name, 300 + 20 * place, 400) for place, name in enumerate(TEXTS)}
    found = category_figures(
        benchmarks | {"own_set": figures_of("own_set", 1, n=4), "pathvqa": figures_of("pathvqa", 9)}
    )
    assert list(found) == [TEXT]
    text = found[TEXT]
    mean = sum(one["accuracy"] for one in benchmarks.values()) / 5
    assert text["overall"] == pytest.approx(mean)
    assert (text["partial"], text["label"], text["missing"], text["short"]) == (None, "overall", [], [])
    assert text["benchmarks"] == list(TEXTS)
    low, high = text["bootstrap"]
    # The mean of five independent shares: its interval is that of their variances added up.
    variance = sum(one["accuracy"] * (1 - one["accuracy"]) / one["n"] for one in benchmarks.values()) / 25
    assert high - low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.05)
    assert low < mean < high
    assert text["vote"]["of"] == 10
    assert text["vote"]["accuracy"] == pytest.approx(
        sum(mean_of(o["vote"]["clusters"]) for o in benchmarks.values()) / 5
    )


def test_what_is_missing_or_too_short_makes_it_partial():
    benchmarks = {name: figures_of(name, 200) for name in TEXTS[:3]}
    benchmarks["medmcqa"] = figures_of("medmcqa", 150, n=300)
    benchmarks["aptos"] = figures_of("aptos", 100)
    found = category_figures(benchmarks)
    assert set(found) == {TEXT, CLASSES, EVERY}
    text = found[TEXT]
    assert text["overall"] is None
    assert text["partial"] == pytest.approx((200 / 1273 + 200 / 2742 + 150 / 300) / 3)
    assert text["label"] == "partial (3 of 5 benchmarks; too few questions of medmcqa)"
    assert text["missing"] == ["medxpertqa-text", "mmlu-pro-health"]
    assert text["short"] == ["medmcqa"]
    assert text["bootstrap"]
    assert "vote" not in text
    assert found[EVERY]["label"].startswith("partial (4 of 14 benchmarks")


def test_a_benchmark_under_two_names_counts_once():
    benchmarks = {"headqa-es": figures_of("headqa", 2000), "headqa": figures_of("headqa", 100)}
    text = category_figures(benchmarks)[TEXT]
    assert text["partial"] == pytest.approx(100 / 2742)
    assert text["left_out"] == ["headqa-es"]


def test_without_an_accuracy_a_benchmark_is_missing():
    benchmarks = {"medqa": {"n": 0, "accuracy": None, "clusters": []}, "headqa": figures_of("headqa", 10)}
    assert "medqa" in category_figures(benchmarks)[TEXT]["missing"]
    assert category_figures({"own_set": figures_of("own_set", 1, n=2)}) == {}


def test_a_category_without_all_votes_has_none():
    benchmarks = {"medqa": figures_of("medqa", 900, 1000), "headqa": figures_of("headqa", 900)}
    assert "vote" not in category_figures(benchmarks)[TEXT]


def test_names_in_other_case_or_with_underscores_are_the_registry_s():
    names = ["MedQA", "HEADQA", "medmcqa", "medxpertqa_text", "MMLU Pro Health"]
    benchmarks = {name: figures_of(name, 300) for name in names}
    assert category_figures(benchmarks)[TEXT]["overall"]
    assert category_figures(benchmarks)[TEXT]["benchmarks"] == names
    twice = category_figures(benchmarks | {"medqa_5options": figures_of("medqa", 1), "medqa": figures_of("medqa", 2)})
    assert twice[TEXT]["benchmarks"] == ["medqa", *names[1:]]
    assert twice[TEXT]["left_out"] == ["MedQA", "medqa_5options"]
