"""Lengths, keys and Markdown of a corpus card, by themselves."""

import dataclasses
from collections import Counter

import numpy as np
from curated_folder import question
from hypothesis import given
from hypothesis import strategies as st
from report_run import picture

from octomed_jax.evaluation.data_card_keys import KeyCounter, shared
from octomed_jax.evaluation.data_card_lengths import MOST_BINS, quantile, summary
from octomed_jax.evaluation.data_card_markdown import fenced, grid, plain
from octomed_jax.evaluation.data_card_rows import amount, share


def keys_of(*questions):
    counter = KeyCounter()
    for one in questions:
        counter.add(one)
    return counter.keys()


def test_a_question_is_the_same_in_other_letters_and_orders_and_not_on_another_image():
    here = keys_of(question("a:b:1", "What is THIS?", images=(picture(1),)))
    same = question("x:y:2", "what is this", options=("liver", "heart", "lung"), images=(picture(1),))
    assert shared(here.questions, keys_of(same).questions) == 1
    assert shared(here.ids, keys_of(same).ids) == 0
    other = question("a:b:1", "What is THIS?", images=(picture(2),))
    assert shared(here.questions, keys_of(other).questions) == 0
    assert shared(here.ids, keys_of(other).ids) == 1


def test_more_questions_than_a_batch_give_the_keys_of_each(monkeypatch):
    questions = [question(f"a:b:{number}", f"What is {number % 7}?") for number in range(20)]
    whole = keys_of(*questions)
    monkeypatch.setattr("octomed_jax.evaluation.data_card_keys.BATCH", 3)
    assert np.array_equal(keys_of(*questions).questions, whole.questions)
    assert (len(whole.ids), len(whole.questions), len(whole.images)) == (20, 7, 0)


def test_images_whose_hash_is_not_told_are_hashed():
    told = question("a:b:1", "?", images=(picture(1), picture(2), picture(1)))
    untold = dataclasses.replace(told, image_hashes=())
    assert np.array_equal(keys_of(told).images, keys_of(untold).images)
    assert len(keys_of(told).images) == 2


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=200))
def test_a_summary_is_that_of_the_lengths(lengths):
    found = summary(Counter(lengths))
    assert (found["count"], found["tokens"], found["longest"]) == (len(lengths), sum(lengths), max(lengths))
    assert found["median"] == sorted(lengths)[(len(lengths) - 1) // 2]
    bins = found["histogram"]
    assert sum(bins["counts"]) == len(lengths)
    assert len(bins["counts"]) <= MOST_BINS
    width = bins["width"]
    for number, count in enumerate(bins["counts"][:-1]):
        assert count == sum(number * width <= length < (number + 1) * width for length in lengths)


def test_a_summary_of_nothing():
    assert summary(Counter())["mean"] == 0
    assert quantile([], 0.5) == 0


def test_foreign_text_stays_in_its_cell_and_its_block():
    assert grid(["", "n"], [["a|b\n<b>", "1,000"]]).splitlines() == ["|   | n |", "| --- | ---: |", "| a b b | 1,000 |"]
    assert plain("dicom_modality of *that*") == "dicom_modality of that"
    block = fenced("text\n````\n# not a heading")
    assert block.startswith("`````text\n")
    assert block.endswith("\n`````")


def test_amounts():
    assert [amount(value) for value in (None, 1200, 1200.5, 4.0, 28.304)] == ["–", "1,200", "1,200.5", "4", "28.3"]
    assert [share(1, 3), share(0, 0)] == ["33.3 %", "–"]
