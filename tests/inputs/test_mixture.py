"""A mixture's shares are exact, it draws the same every time, and examples of a source come about equally often."""

import dataclasses
import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict

from configs.demo import get_config
from octomed_jax.configuration import set_field
from octomed_jax.errors import UserError
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.mixture import (
    MOST_TIMES,
    check_sources,
    draw,
    epoch_counts,
    largest_remainder,
    read_mixture,
)
from octomed_jax.inputs.plan import ExampleIndex, RowPlan
from octomed_jax.inputs.source_table import source_table, table_lines
from octomed_jax.training.chosen import choose
from octomed_jax.training.request import training_request
from tests.inputs.test_plan import BUCKETS, epoch_rows, random_index

NAMES = ("a", "b", "c")
weights = st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any)


def index_of(sizes: dict[str, int], responses: int = 1) -> ExampleIndex:
    """An index with so many examples of each source, as many responses of a record, the sources in turns."""
    source = np.concatenate([np.full(size, number, np.int32) for number, size in enumerate(sizes.values())])
    source = np.random.default_rng(5).permutation(source) if responses == 1 else source
    whole = random_index(len(source))
    record = np.arange(len(source), dtype=np.int32) // responses
    return dataclasses.replace(whole, source=source, sources=tuple(sizes), record=record)


def all_of(index: ExampleIndex) -> np.ndarray:
    return np.ones(len(index), bool)


def by_source(index: ExampleIndex, times: np.ndarray) -> dict[str, list[int]]:
    return {name: sorted(times[index.source == number].tolist()) for number, name in enumerate(index.sources)}


@given(weights, st.integers(0, 200))
def test_a_whole_is_divided_as_near_as_can_be(asked, total):
    shares = {name: Fraction(weight, sum(asked)) for name, weight in zip(NAMES, asked, strict=True)}
    parts = largest_remainder(shares, total)
    assert sum(parts.values()) == total
    assert all(abs(parts[name] - share * total) < 1 for name, share in shares.items())
    if total <= 12:  # no other division comes nearer, in the sum of its squares
        far = {
            parts: sum((part - share * total) ** 2 for part, share in zip(parts, shares.values(), strict=True))
            for parts in itertools.product(range(total + 1), repeat=3)
            if sum(parts) == total
        }
        assert far[tuple(parts.values())] == min(far.values())


@given(weights, st.lists(st.integers(1, 40), min_size=3, max_size=3))
def test_an_epoch_by_weights_is_the_largest_in_which_nothing_comes_twice(asked, sizes):
    mixture = read_mixture({"weights": dict(zip(NAMES, asked, strict=True))})
    available = dict(zip(NAMES, sizes, strict=True))
    counts = epoch_counts(available, mixture)
    assert all(counts[name] <= available[name] for name in NAMES)

    def fits(total: int) -> bool:
        """By brute force: the exact share of every source is there."""
        return all(total * weight <= sum(asked) * size for weight, size in zip(asked, sizes, strict=True))

    assert sum(counts.values()) == max(total for total in range(1, 2000) if fits(total))


@given(weights, st.integers(1, 120), st.integers(0, 3))
def test_weights_are_exact_and_every_example_comes_floor_or_ceil_times(asked, total, seed):
    index = index_of({"a": 7, "b": 20, "c": 3})
    mixture = read_mixture({"weights": dict(zip(NAMES, asked, strict=True)), "examples": total})
    times = draw(index, all_of(index), mixture, seed)
    assert times.sum() == total
    shares = {name: Fraction(weight * total, sum(asked)) for name, weight in zip(NAMES, asked, strict=True)}
    for name, found in by_source(index, times).items():
        assert abs(sum(found) - shares[name]) < 1
        assert found[-1] - found[0] <= 1
    np.testing.assert_array_equal(times, draw(index, all_of(index), mixture, seed))


@given(st.fractions(0, 5), st.integers(1, 50), st.integers(0, 3))
def test_epochs_may_be_a_part(epochs, size, seed):
    index = index_of({"a": size, "b": 11})
    mixture = read_mixture({"epochs": {"a": str(epochs)}})
    if not epochs:
        assert mixture.left_out == {"a"}
    found = by_source(index, draw(index, all_of(index), mixture, seed))
    assert set(found["a"]) <= {int(epochs), -int(-epochs // 1)}
    assert abs(sum(found["a"]) - epochs * size) <= Fraction(1, 2)
    assert found["b"] == [1] * 11


def test_counts_leave_other_sources_as_they_are():
    index = index_of({"a": 7, "b": 20, "c": 3})
    found = by_source(index, draw(index, all_of(index), read_mixture({"counts": {"a": 16, "b": 0}}), 0))
    assert found == {"a": [2] * 5 + [3] * 2, "b": [0] * 20, "c": [1] * 3}


@given(st.integers(1, 12), st.integers(0, 3))
def test_a_cap_keeps_whole_questions(cap, seed):
    index = index_of({"a": 24, "b": 12}, responses=3)
    times = draw(index, all_of(index), read_mixture({"caps": {"a": cap}}), seed)
    kept = Counter(index.record[(times > 0) & (index.source == 0)].tolist())
    assert len(kept) == min(cap, 8)
    assert set(kept.values()) == {3}
    assert by_source(index, times)["b"] == [1] * 12
    larger = draw(index, all_of(index), read_mixture({"caps": {"a": cap + 1}}), seed)
    assert (larger >= times).all()  # a larger cap keeps what a smaller one kept


def test_what_cannot_be_used_is_not_drawn_and_does_not_count():
    index = index_of({"a": 10, "b": 10})
    usable = np.arange(20) % 2 == 0
    times = draw(index, usable, read_mixture({"weights": "a=1,b=3", "examples": 12}), 0)
    assert not times[~usable].any()
    assert {name: sum(found) for name, found in by_source(index, times).items()} == {"a": 3, "b": 9}


def test_a_source_draws_the_same_whatever_others_do():
    index = index_of({"a": 30, "b": 40})
    less, more = [draw(index, all_of(index), read_mixture({"counts": {"a": 11, "b": number}}), 3) for number in (5, 90)]
    np.testing.assert_array_equal(less[index.source == 0], more[index.source == 0])
    assert (less <= more).all()
    other = draw(index, all_of(index), read_mixture({"counts": {"a": 11, "b": 5}}), 4)
    assert (other != less).any()


def test_nothing_set_changes_nothing():
    config = get_config()
    assert read_mixture(config.mixture).natural
    index = random_index()
    assert draw(index, all_of(index), read_mixture(config.mixture), 0) is None
    assert index.only(all_of(index)) is index


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"weights": {"a": 1, "b": 1, "cc": 1}},
            r"mixture.weights names an unknown source 'cc' \(did you mean 'c'\?\)",
        ),
        ({"caps": {"x": 1}}, r"mixture.caps names an unknown source 'x'; there are: a, b, c"),
        ({"weights": {"a": 1, "b": 1}}, "mixture.weights gives 'c' no weight; 0 leaves it out"),
        ({"weights": {"a": 0, "b": 0, "c": 0}}, "every weight of mixture.weights is 0"),
        ({"counts": {"a": 0, "b": 0, "c": 0}}, "mixture leaves every source out"),
        ({"weights": {"a": 1}, "counts": {"a": 1}}, "mixture.weights and mixture.counts both say"),
        ({"weights": {"a": 1}, "epochs": {"a": 1}}, "mixture.weights and mixture.epochs both say"),
        ({"counts": {"b": 1}, "epochs": {"b": 1}}, "mixture.counts and mixture.epochs both say how much of 'b'"),
        ({"examples": 9}, "mixture.examples=9 is the size of an epoch by weights"),
        ({"caps": {"a": 0}}, "mixture.caps of 'a' is 0; to leave a source out"),
        ({"counts": {"a": 1.5}}, "mixture.counts of 'a' is 1.5; it must be a whole number from 0 up"),
        ({"weights": {"a": -1}}, "mixture.weights of 'a' is -1; it must be a number from 0 up"),
        ({"weights": {"a": "nan"}}, "mixture.weights of 'a' is 'nan'"),
        ({"weights": "a"}, "mixture.weights has 'a', which is not of the form SOURCE=NUMBER"),
        ({"weights": 3}, "mixture.weights=3 names no sources"),
        ({"weigths": {"a": 1}}, r"no field 'weigths' in config.mixture \(did you mean 'weights'\?\)"),
        ({"weights": {"a": 1, "b": 1, "c": 98}, "examples": 31000}, "asks for 30,380 examples of 'c' an epoch"),
        ({"epochs": {"a": MOST_TIMES + 1}}, f"none may come more than {MOST_TIMES} times"),
    ],
)
def test_mistakes_are_named(settings, message):
    index = index_of({"a": 7, "b": 20, "c": 3})
    with pytest.raises(UserError, match=message):
        draw(index, all_of(index), read_mixture(settings), 0)


def test_a_source_of_which_nothing_is_left_is_named():
    index = index_of({"a": 7, "b": 20})
    with pytest.raises(UserError, match="mixture asks for 'a', of which no example is left"):
        draw(index, index.source == 1, read_mixture({"weights": {"a": 1, "b": 1}}), 0)
    check_sources(read_mixture({"weights": {"a": 1, "b": 0}}), index.sources)


def test_it_is_set_by_a_mapping_and_on_a_command_line_alike():
    written, typed = get_config(), get_config()
    written.mixture.weights = {"a": 0.1, "b": 2}
    set_field(typed, "mixture.weights", "b=2,a=0.1")
    assert read_mixture(written.mixture) == read_mixture(typed.mixture)
    assert read_mixture(ConfigDict({"weights": {"a": 0.1}})).weights["a"] == Fraction(1, 10)
    assert training_request(written) == training_request(typed) != training_request(get_config())


@given(st.integers(0, 30), st.integers(0, 4))
def test_a_plan_holds_each_example_as_often_as_it_is_asked_for(copies, seed):
    index = random_index(60)
    times = np.random.default_rng(copies).integers(0, 4, 60).astype(np.int32)
    plan = RowPlan(index, BUCKETS, 7, seed, times)
    fits = (index.tokens <= 64) & (index.cells <= 6)
    expected = Counter({n: int(times[n]) for n in range(60) if fits[n] and times[n]})
    for epoch in range(2):
        assert Counter(n for row in epoch_rows(plan, epoch) for n in row) == expected
    assert plan.examples == sum(expected.values())
    steps = [plan.count(step) for step in range(plan.steps_per_epoch)]
    for name in ("tokens", "images", "patches"):
        assert sum(step[name] for step in steps) == sum(getattr(index, name)[n] * expected[n] for n in expected)
        assert plan.mean()[name] * plan.steps_per_epoch == pytest.approx(sum(step[name] for step in steps))


def test_the_mixture_is_part_of_the_plans_name():
    index = random_index(40)
    index.tokens[:], index.cells[:] = 10, 0  # examples that differ in nothing but their place
    once = np.ones(40, np.int32)
    first, second = [once + (np.arange(40) == number) for number in (3, 4)]
    plans = [RowPlan(index, BUCKETS, 8, 3, times) for times in (first.astype(np.int32), second.astype(np.int32))]
    assert plans[0].hash != plans[1].hash
    moved = dataclasses.replace(index, record=index.record[::-1].copy())
    assert RowPlan(index, BUCKETS, 8, 3).hash != RowPlan(moved, BUCKETS, 8, 3).hash


def config_of(**mixture) -> ConfigDict:
    config = get_config("tiny")
    config.train.update({"tokens_per_row": 50, "patches_per_row": 0, "examples_per_step": 8})
    config.held_out.records = 6
    config.mixture.update(mixture)
    return config


@pytest.mark.parametrize("mixture", [{"weights": {"a": 2, "b": 1, "c": 0}}, {"epochs": {"c": 0, "b": 0.5}}, {}])
def test_held_out_records_are_never_learned_and_no_left_out_source_is(mixture):
    index = index_of({"a": 30, "b": 60, "c": 30}, responses=3)
    chosen = choose(config_of(**mixture), index, PatchSpec(max_pixels=12544))
    assert not set(chosen.learned.record) & set(chosen.held.record)
    assert len(set(chosen.held.record)) == 6
    if mixture:
        assert set(chosen.learned.source) | set(chosen.held.source) == {0, 1}
        assert (chosen.times[chosen.learned.tokens > 50] == 0).all()
    plan = RowPlan(chosen.learned, chosen.buckets, 8, 0, chosen.times)
    assert sorted(plan.numbers) == sorted(chosen.numbers())
    kept = np.isin(index.source, [0, 1] if mixture else [0, 1, 2]) & ~np.isin(index.record, chosen.held.record)
    assert sum(plan.left_out.values()) == (kept & (index.tokens > 50)).sum() > 0
    if "weights" in mixture:
        rows = {row["source"]: row["examples_an_epoch"] for row in source_table(plan.index, plan.numbers)}
        assert rows["c"] == 0
        assert 0 <= rows["a"] - 2 * rows["b"] <= 1


def test_the_table_says_what_each_source_gives():
    index = index_of({"b": 6, "a": 3, "none": 0}, responses=3)
    numbers = np.array([0, 1, 1, 3, 6])  # of three questions
    rows = source_table(index, numbers)
    assert [row["source"] for row in rows] == ["a", "b", "none"]
    tokens, images = [[int(getattr(index, name)[n]) for n in numbers] for name in ("tokens", "images")]
    assert rows[1] == {
        "source": "b",
        "questions": 2,
        "examples": 3,
        "examples_an_epoch": 4,
        "tokens": sum(tokens[:4]),
        "images": sum(images[:4]),
        "share_of_examples": 0.8,
        "share_of_tokens": sum(tokens[:4]) / sum(tokens),
    }
    assert rows[2]["questions"] == rows[2]["tokens"] == rows[2]["share_of_tokens"] == 0
    heading, *lines, total = table_lines(rows)
    assert len({len(line) for line in (heading, *lines, total)}) == 1
    assert total.split()[:4] == ["all", "3", "4", "5"]
    assert total.split()[-2:] == ["100.0%", "100.0%"]
