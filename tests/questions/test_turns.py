"""Talks of a person and a model, in the published spellings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.questions.reading.turns import PLACEHOLDER, exchanges, without_marks
from octomed_jax.verification.rows import RowError


def llava(*texts):
    return [{"from": ("human", "gpt")[place % 2], "value": text} for place, text in enumerate(texts)]


def chat(*texts):
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


@pytest.mark.parametrize("spelt", [llava, chat])
def test_each_pair_of_turns_is_an_exchange(spelt):
    talk = spelt("<image>\nWhat is it?", " A CT. ", "Where?", "Left.")
    assert exchanges(talk, 1, "talk") == [("What is it?", "A CT."), ("Where?", "Left.")]
    system = {"role": "system", "content": "Be brief."}
    assert exchanges([system, *talk], 1, "talk") == exchanges(talk, 1, "talk")


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("What?", "What?"),
        ("<image>\nWhat?", "What?"),
        ("What?\n<image>", "What?"),
        ("<image> <image>\nWhat changed?", "What changed?"),
        ("Is <image> like <image>?", "Is (image 1) like (image 2)?"),
        ("<image>\nIs it like <image>?", "Is it like (image 2)?"),
        ("<image>", ""),
        ("", ""),
    ],
)
def test_marks_of_images(text, bare):
    assert without_marks(text) == (bare, text.count(PLACEHOLDER))


def test_marks_are_counted_through_the_talk():
    talk = llava("<image>\nWhat?", "A CT.", "And in <image> here?", "An MRI.")
    assert exchanges(talk, 2, "talk")[1][0] == "And in (image 2) here?"
    with pytest.raises(RowError, match="talk has 2 <image>, but the row 1 images"):
        exchanges(talk, 1, "talk")


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (None, "is no list of turns"),
        ("What?", "is no list of turns"),
        (["What?"], "is no list of turns"),
        ([], "talk of nobody: a person and a model"),
        (llava("What?"), "talk of human: a person"),
        (llava("What?", "A CT.", "Where?"), "talk of human, gpt, human: a person"),
        (llava("What?", "A CT.")[::-1], "talk of gpt, human: a person"),
        ([*llava("What?"), *llava("Where?")], "talk of human, human: a person"),
        ([{"from": "doctor", "value": "What?"}, *llava("x", "y")[1:]], "talk of doctor, gpt: a person"),
        ([{"from": "human"}], "has a turn without a speaker or a text"),
        ([{"value": "What?"}], "has a turn without a speaker or a text"),
        (llava(" <image> ", "A CT."), "has an empty turn"),
        (llava("What?", " "), "has an empty turn"),
        (llava("What?", "See <image>"), "has <image> in a reply"),
    ],
)
def test_other_talks_are_refused(talk, words):
    with pytest.raises(RowError, match=words):
        exchanges(talk, 1, "talk")


@given(st.lists(st.sampled_from([PLACEHOLDER, "lung", " ", "\n", "<image", "image>", "(image 1)"]), max_size=12))
def test_no_mark_is_left_and_no_word_is_lost(pieces):
    text = "".join(pieces)
    bare, marks = without_marks(text)
    assert marks == text.count(PLACEHOLDER)
    assert PLACEHOLDER not in bare
    assert bare.count("lung") == text.count("lung")
    assert bare == bare.strip()
