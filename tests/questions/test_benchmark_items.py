import json

import pytest

from octomed_jax.errors import UserError
from octomed_jax.questions.packages import medplexity, mmlu_sample

ITEM = {
    "question": "The\n  pleura\n\n(A) one\n(B) two (C) three (D) four",
    "target": "Let's think step by step. It is\nso. The answer is (C).",
}


def test_mmlu_item():
    assert mmlu_sample.parse_item(ITEM) == ("The pleura", ("one", "two", "three", "four"), "three", "It is so.")
    assert mmlu_sample.parse_item({**ITEM, "question": ITEM["question"].replace("four", "two")}) is None
    for broken in (
        {**ITEM, "target": "The answer is (E)."},
        {**ITEM, "question": "The pleura"},
        {"question": "x"},
        "x",
        {**ITEM, "target": None},
    ):
        with pytest.raises(UserError, match="cannot be read"):
            mmlu_sample.parse_item(broken)


def test_an_mmlu_file_of_another_form_is_refused():
    for data in (b"a: [", b"a: 1", b"- x"):
        with pytest.raises(UserError, match="cannot be read"):
            mmlu_sample.read_items(dict.fromkeys(map(mmlu_sample.member, mmlu_sample.SUBJECTS), data))


@pytest.mark.usefixtures("packages")
def test_mmlu_is_test_only_and_its_golds_are_right():
    made = mmlu_sample.make({"test_each": 5}, 0, 1)
    assert (len(made.questions), dict(made.dropped)) == (48, {"an option stands twice": 1})
    assert {question.split for question in made.questions} == {"test"}
    golds = {question.id: question.answer for question in made.questions}
    # Checked by hand.
    assert golds["mmlu_sample:anatomy:00"] == "Cranial"
    assert golds["mmlu_sample:medical_genetics:02"] == "Marfan syndrome"
    assert golds["mmlu_sample:college_medicine:04"] == "via protein transporters called GLUT4."
    assert len(mmlu_sample.make({"test_each": 1}, 0, 1).questions) == 9


def test_medplexity_items_that_cannot_be_read_are_refused():
    item = {"question": "?", "options": ["a", "b"], "answer": "a", "explanation": "so"}
    assert medplexity.read_items(json.dumps([item]).encode(), "medqa") == [item]
    for broken in ({**item, "answer": "c"}, {**item, "options": ["a", "a"]}, {**item, "question": ""}, {}):
        with pytest.raises(UserError, match="medqa"):
            medplexity.read_items(json.dumps([broken]).encode(), "medqa")
    with pytest.raises(UserError, match="cannot be read"):
        medplexity.read_items(b"{", "medqa")


@pytest.mark.usefixtures("packages")
def test_medplexity_has_nothing_that_mmlu_has():
    made = medplexity.make({"test_each": 6}, 0, 1)
    assert {question.split for question in made.questions} == {"test"}
    golds = {question.id: question.answer for question in made.questions}
    assert len(golds) == 8
    assert golds["medplexity:medmcqa:00"] == "Risperidone"
    assert golds["medplexity:pubmedqa:01"] == "No"
    assert made.dropped == {"stands in mmlu_sample": 11}
