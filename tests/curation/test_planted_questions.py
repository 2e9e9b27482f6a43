"""Planted overlaps and duplicates of every kind among clean questions: all are found, and nothing else is."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
from planted import Found, check

from benchmarks.curation_questions import BROKEN, CLEAN, DUPLICATES, LOOKALIKES, OVERLAPS, Item, Questions
from octomed_jax.curation.texts.exact import exact_keys, first_of_each
from octomed_jax.curation.texts.guards import all_guards, number_guard, text_guard
from octomed_jax.curation.texts.minhash import band_keys
from octomed_jax.curation.texts.near_duplicates import near_duplicates
from octomed_jax.curation.texts.ngrams import build_index
from octomed_jax.curation.texts.question_texts import QuestionTexts, question_texts

ROWS, EVALUATION, PLANTED, COPIES = 4000, 400, 40, 60


@pytest.fixture(scope="module")
def made() -> Questions:
    return Questions(seed=0, count=ROWS, evaluation=EVALUATION, planted=PLANTED, copies=COPIES, stock=False)


@pytest.fixture(scope="module")
def items(made: Questions) -> list[Item]:
    return [item for block in made.blocks() for item in block]


@pytest.fixture(scope="module")
def texts(items: list[Item]) -> QuestionTexts:
    return texts_of(items)


def texts_of(items: list[Item]) -> QuestionTexts:
    options = pa.array([item.options for item in items], pa.list_(pa.string()))
    return question_texts([item.question for item in items], options)


def planted(items: list[Item]) -> Counter[str]:
    return Counter(item.kind for item in items)


def matched(items: list[Item], met: Mapping[int, int]) -> list[Found]:
    """Return what was taken for a copy, by its row and the row that it was taken for a copy of."""
    return [Found(items[row].kind, items[row].of == of) for row, of in met.items()]


@pytest.mark.parametrize("count", [8, 13, 16])
def test_overlaps(made, items, texts, count):
    index = build_index([texts_of(made.evaluation)], count)
    found = index.find(texts)
    right = (*OVERLAPS, BROKEN) if count == 8 else OVERLAPS
    met = {overlap.question: overlap.evaluation for overlap in found}
    assert len(met) == len(found)
    check(f"overlaps of {count} words", planted(items), matched(items, met), right)
    assert all(overlap.words in index.texts.whole.text(overlap.evaluation) for overlap in found)


def test_duplicates(items, texts):
    guard = all_guards(text_guard([item.answer for item in items]), number_guard(texts))
    first = first_of_each(exact_keys(texts, guard))
    exact = np.flatnonzero(first != np.arange(len(items))).tolist()
    check("exact duplicates", planted(items), matched(items, {row: int(first[row]) for row in exact}), ("exact",))
    keys = band_keys(texts, guard)
    near = near_duplicates(len(items), keys.__getitem__, lambda places: texts_of([items[place] for place in places]))
    removed = np.flatnonzero(near.first != np.arange(len(items))).tolist()
    met = {row: int(near.first[row]) for row in removed}
    check("near-duplicates", planted(items), matched(items, met), DUPLICATES)


def test_numbers_and_answers_are_what_keeps_lookalikes(items, texts):
    """Without a guard those of the same words go too; those of other words stay."""
    keys = band_keys(texts)
    near = near_duplicates(len(items), keys.__getitem__, lambda places: texts_of([items[place] for place in places]))
    found = Counter(items[number].kind for number in np.flatnonzero(near.first != np.arange(len(items))))
    print(f"\nwithout a guard: {dict(found)}")
    assert [found[kind] for kind in (*DUPLICATES, *LOOKALIKES)] == [COPIES] * 6 + [0]
    assert found[CLEAN] == 0


def test_what_is_planted_does_not_hang_on_blocks(made, items):
    again = Questions(seed=0, count=ROWS, evaluation=EVALUATION, planted=PLANTED, copies=COPIES, stock=False)
    assert [item for block in again.blocks() for item in block] == items
    assert again.evaluation == made.evaluation
