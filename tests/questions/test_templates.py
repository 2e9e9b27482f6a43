"""Questions of classification sets: their wordings, and that every class can be told and verified."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.questions import retinopathy
from octomed_jax.questions.sources import brain_tumor_mri, coronahack, medmnist, pad_ufes, tfds_sets
from octomed_jax.questions.templates import (
    ONE_CLASS,
    SEVERAL_CLASSES,
    Classes,
    label_at,
    pick,
    several_cells,
    wordings,
)
from octomed_jax.schema import Question
from octomed_jax.verification.check import check_response
from octomed_jax.verification.rows import RowError

CLASSES = [
    retinopathy.GRADES,
    brain_tumor_mri.ASKED,
    coronahack.ASKED,
    pad_ufes.ASKED,
    *(one.classes for one in medmnist.SETS),
    *(tfds_sets.PCAM, tfds_sets.MALARIA, tfds_sets.TEXTURES, tfds_sets.CBIS),
]


def test_wordings_are_plain_texts():
    found = wordings("fundus photograph", "diagnosis")
    assert len(set(found)) == len(ONE_CLASS) >= 4
    assert "What diagnosis does this fundus photograph show?" in found
    for text in (*found, *wordings("chest X-ray", "findings", SEVERAL_CLASSES)):
        assert "{" not in text
        assert "fundus photograph" in text or "chest X-ray" in text


def test_a_row_keeps_its_wording_and_rows_share_them_evenly():
    texts = wordings("fundus photograph", "diagnosis")
    assert pick(texts, "train:1") == "Going by this fundus photograph, what is the diagnosis?"
    counts = Counter(pick(texts, f"train:{number}") for number in range(3000))
    assert len(counts) == len(texts)
    assert max(counts.values()) < 1.3 * min(counts.values())


def test_cells_of_one_class_and_of_several():
    asked = Classes("scan", "diagnosis", ("normal", "sick"), (("sick", ("ill",)),))
    cells = asked.cells("a", "sick", "a.png")
    assert cells["question"] in asked.wordings()
    assert (cells["task"], cells["options"], cells["answer"]) == ("classification", ["normal", "sick"], "sick")
    assert (cells["aliases"], asked.cells("a", "normal", "a.png")["aliases"]) == (["ill"], [])
    several = several_cells("a", "scan", "findings", ("x", "y", "z"), ["x", "z"], b"")
    assert (several["task"], several["options"], several["answer"]) == ("multi_label", ["x", "y", "z"], ["x", "z"])


@given(st.integers(-3, 9))
def test_numbers_of_classes(number):
    labels = ("a", "b", "c")
    for spelling in (number, float(number), str(number), f"{number}.0", np.int64(number), f" {number} "):
        if 0 <= number < 3:
            assert label_at(labels, spelling, "grade") == labels[number]
        else:
            with pytest.raises(RowError, match=r"is no class from 0 to 2"):
                label_at(labels, spelling, "grade")


@pytest.mark.parametrize("number", ["", "nan", "inf", "1.5", "one", None, [1], 10**400, np.array([1, 2])])
def test_what_is_no_number_of_a_class(number):
    with pytest.raises(RowError) as error:
        label_at(("a", "b", "c"), number, "grade")
    assert error.value.column == "grade"


@pytest.mark.parametrize("classes", CLASSES, ids=lambda classes: classes.picture)
def test_every_class_is_read_as_itself(classes):
    """No class is taken for another one: a boxed label is right where it is gold, and wrong where it is not."""
    for gold in classes.labels:
        cells = classes.cells("key", gold, b"")
        question = Question(
            id="a:1", source="a", benchmark="a", split="train", task=cells["task"], question=cells["question"],
            answer=cells["answer"], options=tuple(cells["options"]), aliases=tuple(cells["aliases"]),
        )  # fmt: skip
        for label in classes.labels:
            verdict = check_response(question, f"<think>Hm.</think>\n\\boxed{{{label}}}", "stop")
            assert verdict.verdict == ("correct" if label == gold else "wrong"), (gold, label, verdict)
        for alias in cells["aliases"]:
            assert check_response(question, f"\\boxed{{{alias}}}", "stop").verdict == "correct"
