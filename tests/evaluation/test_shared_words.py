"""Shared words are found in texts as they are written: whatever their case, punctuation, and cut into options."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from octomed_jax.curation.decontaminate import SHOWN_WORDS
from octomed_jax.curation.texts.normal_text import normalise
from octomed_jax.evaluation.shared_words import mark_shared, run_of, words_of


def marked(pieces):
    return [[text for text, shared in of_text if shared] for of_text in pieces]


def both(left, right, run):
    ours, theirs = mark_shared(left, right, run.split())
    for texts, pieces in ((left, ours), (right, theirs)):
        assert ["".join(text for text, _ in of_text) for of_text in pieces] == list(texts)
    return marked(ours), marked(theirs)


def test_case_and_punctuation_do_not_count():
    left = ["So: a 45-year-old MAN, (with) pain; why?"]
    right = ["A 45 year old man with pain"]
    assert both(left, right, "a 45 year old man") == (
        [["a 45-year-old MAN, (with) pain"]],
        [["A 45 year old man with pain"]],
    )


def test_a_run_goes_on_in_the_options():
    left = ["Which is it?", "Small cell", "Large cell", "None"]
    right = ["What?", "small cell", "LARGE cell"]
    assert both(left, right, "small cell large cell") == (
        [[], ["Small cell"], ["Large cell"], []],
        [[], ["small cell"], ["LARGE cell"]],
    )


def test_all_runs_of_that_length_are_marked():
    left = ["one two three four, then five six seven"]
    right = ["five six seven before one two three four"]
    assert both(left, right, "one two three") == (
        [["one two three four", "five six seven"]],
        [["five six seven", "one two three four"]],
    )


def test_part_of_a_word_with_hyphens():
    assert both(["disease due to glucose-6-phosphatase"], ["due to GLUCOSE 6"], "to glucose 6") == (
        [["due to glucose-6"]],
        [["due to GLUCOSE 6"]],
    )


@pytest.mark.parametrize(
    ("left", "right", "run"),
    [
        ("1,200 mg a day", "(1200 mg) a day", "1200 mg a"),
        ("0,5 mg/dl today", "0.5 mg dl TODAY", "0.5 mg dl"),
        ("Ménière’s disease", "meniere's disease", "meniere s disease"),
        ("ﬁrst  look\nhere", "first look here", "first look here"),
        ("糖尿病的症状是什么", "他问糖尿病的症状", "糖 尿 病 的 症 状"),
    ],
)
def test_words_whose_spelling_differs(left, right, run):
    ours, theirs = both([left], [right], run)
    assert ours[0]
    assert theirs[0]


def test_chinese_is_marked_character_by_character():
    assert both(["糖尿病的症状是什么?"], ["他问糖尿病的症状"], "糖 尿 病") == ([["糖尿病的症状"]], [["糖尿病的症状"]])


@pytest.mark.parametrize(
    ("left", "right", "run"),
    [
        (["one two three"], ["one two four"], "one two three"),
        (["one two three"], ["one two three"], "seven eight"),
        (["one two three"], ["one two three"], ""),
        ([""], [], "one"),
        (["..."], ["?"], "one"),
    ],
)
def test_nothing_is_marked_where_the_run_is_not_in_both(left, right, run):
    assert both(left, right, run) == ([[] for _ in left], [[] for _ in right])


@given(st.text(alphabet=st.sampled_from("aB1,.-− \n\t²½µß的é()<>+'_\u00a0\u3000\u00ad"), max_size=30))
@example("-.5 (−2.5) 1,200,5 10² a-b")
def test_words_are_those_of_the_normal_form(text):
    assert [word.word for word in words_of([text])] == normalise([text]).text(0).split()


def test_what_the_detail_names():
    assert run_of("one two (and 3 more such runs)") == ("one", "two")
    assert run_of("one two") == ("one", "two")
    assert run_of("") == ()
    long = "word " * 200
    assert set(run_of(long[:SHOWN_WORDS])) == {"word"}
    assert run_of("ab " + "c" * (SHOWN_WORDS - 3)) == ("ab",)
