"""Answers in another form: whatever is converted is read as before, and no thought is touched."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.schema import Question
from octomed_jax.traces.answer_form import LEFT_OUT, MARKS, Marker, direct_answer
from octomed_jax.verification.candidates import explicit, split_response
from octomed_jax.verification.check import Rules, check_response
from tests.verification.verdict_table import QUESTIONS, TABLE

RULE = {"judge": False, "verifier": "3"}
JUDGE = {"judge": True, "verifier": "3+judge=x"}


def accepted_cases():
    """Yield (question, response) of the verifier's table; what is read there is made the gold."""
    for case in TABLE:
        question = QUESTIONS[case.question]
        read = check_response(question, case.response, "stop").extracted
        if read and check_response(question, case.response, "stop").verdict == "wrong":
            question = dataclasses.replace(question, answer=read, lower_limit=None, upper_limit=None)
        if check_response(question, case.response, "stop").verdict == "correct":
            yield question, case.response


def same_but_for_the_mark(question, response, form):
    """Check what must hold of a response that was converted; return why it was left out."""
    marked, reason = Marker(question, form).mark(response, RULE)
    if reason:
        assert reason in LEFT_OUT
        return reason
    before, after = (check_response(question, text, "stop") for text in (response, marked))
    assert (after.verdict, after.extracted) == (before.verdict, before.extracted) == ("correct", before.extracted)
    end = response.rfind("</think>")
    assert marked[: end + 1] == response[: end + 1]
    opening, closing = MARKS[form]
    last = [mark for mark in explicit(split_response(marked).answer)[0] if mark.text.strip()][-1]
    assert last.kind == {"boxed": "box", "tag": "tag"}[form], marked
    assert opening in marked
    assert closing in marked
    assert Marker(question, form).mark(marked, RULE) == (marked, "")
    return ""


@pytest.mark.parametrize("form", MARKS)
def test_every_way_to_state_an_answer_can_be_marked_and_is_read_as_before(form):
    cases = list(accepted_cases())
    left_out = [response for question, response in cases if same_but_for_the_mark(question, response, form)]
    assert len(cases) > 800
    assert {question.task for question, _ in cases} >= {
        "mcq", "classification", "yes_no", "numeric", "short_answer", "multi_label"
    }  # fmt: skip
    assert len(left_out) <= 2, left_out


GOLDS = {
    "mcq": ("B", "Pneumonia", "B. Pneumonia"), "classification": ("left", "Left"), "yes_no": ("yes", "Yes"),
    "numeric": ("58.2", "58", "60.0"), "short_answer": ("Myocardial infarction", "myocardial infarction"),
    "multi_label": ("Edema; Pleural effusion", "pleural effusion and edema"),
}  # fmt: skip
ASKED = {"mcq": "chest", "classification": "side", "yes_no": "yes", "numeric": "limits"} | {
    "short_answer": "short", "multi_label": "labels"
}  # fmt: skip
DRESSINGS = (
    "\\boxed{%s}", "$\\boxed{%s}$", "\\[ \\boxed{\\text{%s}} \\]", "**\\boxed{%s}**", "<answer>%s</answer>",
    "<answer>\n%s\n</answer>", "<answer>\\boxed{%s}</answer>", "The answer is %s.", "Final answer: %s", "%s", "**%s**",
)  # fmt: skip
texts = st.text(st.sampled_from("ab \n.{}$\\<>/*:"), max_size=40) | st.sampled_from(
    [
        "The film shows it.",
        "\\boxed{A} was my first thought.",
        "<answer>left</answer>?",
        "It is not so clear.",
        "1 or 2",
    ]
)


@settings(max_examples=400)
@given(data=st.data(), thought=texts, before=texts, task=st.sampled_from(sorted(GOLDS)), form=st.sampled_from([*MARKS]))
def test_whatever_is_accepted_keeps_its_answer_and_its_thought(data, thought, before, task, form):
    question = QUESTIONS[ASKED[task]]
    stated = data.draw(st.sampled_from(DRESSINGS)) % data.draw(st.sampled_from(GOLDS[task]))
    response = f"<think>{thought}</think>\n\n{before}\n\n{stated}"
    if check_response(question, response, "stop").verdict == "correct":
        same_but_for_the_mark(question, response, form)


@pytest.mark.parametrize(
    ("question", "response", "form", "marked"),
    [
        ("chest", "<think>\\boxed{A}?</think>\\boxed{B}", "tag", "<think>\\boxed{A}?</think><answer>B</answer>"),
        ("chest", "So $\\boxed{\\text{B}}$.", "tag", "So <answer>B</answer>."),
        ("chest", "<answer>\nB\n</answer>", "boxed", "\\boxed{B}"),
        ("chest", "<answer>\\boxed{B}</answer>", "tag", "<answer>B</answer>"),
        ("chest", "<answer>\\boxed{B}</answer>", "boxed", "<answer>\\boxed{B}</answer>"),
        ("chest", "\\fbox{B}", "boxed", "\\boxed{B}"),
        ("chest", "\\boxed{A}\n\nNo.\n\n\\boxed{B} ", "tag", "\\boxed{A}\n\nNo.\n\n<answer>B</answer>"),
        # The box that is overridden stays, and the answer gets a mark of its own.
        ("chest", "\\boxed{3} signs.\nThe answer is B.", "boxed", "\\boxed{3} signs.\nThe answer is B.\n\n\\boxed{B}"),
        ("chest", "The answer is B.", "tag", "The answer is B.\n\n<answer>B</answer>"),
        ("chest", "<think>a</think>B", "boxed", "<think>a</think>\\boxed{B}"),
        ("short", "It is a heart attack, or: MYOCARDIAL INFARCTION", "boxed", ""),
        ("labels", "\\boxed{Edema}, \\boxed{Pleural effusion}", "tag",
         "<answer>Edema</answer>, <answer>Pleural effusion</answer>"),
    ],
)  # fmt: skip
def test_only_the_mark_that_was_read_is_written_otherwise(question, response, form, marked):
    assert Marker(QUESTIONS[question], form).mark(response, RULE)[0] == marked


def test_an_answer_that_denies_ends_before_the_line_that_marks_it():
    question = dataclasses.replace(QUESTIONS["none"], answer="None of the above")
    marked = "D. None of the above.\n\n\\boxed{D}"
    assert Marker(question, "boxed").mark("D. None of the above", RULE) == (marked, "")


def test_what_cannot_be_marked_has_a_reason():
    chest, wrong = QUESTIONS["chest"], "The film is clear."
    assert Marker(chest, "boxed").mark("\\boxed{A}", RULE) == ("", "changed")
    assert Marker(chest, "boxed").mark(wrong, JUDGE) == ("", "unmarked")
    assert Marker(chest, "boxed").mark("<answer>Final answer: see below}\n</answer> B", RULE)[1] in LEFT_OUT
    # A judge read the words of the mark, and they stay as they are.
    assert Marker(chest, "tag").mark("\\boxed{lung infection}", JUDGE) == ("<answer>lung infection</answer>", "")


def report(**fields):
    fields = {"answer": "No pleural effusion. The heart is large."} | fields
    return Question("r:1", "reports", "r", "train", "report", "Report.", **fields)


def test_reports_are_marked_only_where_they_are():
    text = "<think>\\boxed{}</think>\n\nNo pleural effusion. The heart is large."
    overlap = {"judge": False, "verifier": Rules("token_f1", 0.9).name}
    for form in MARKS:
        assert Marker(report(), form).mark(text, overlap) == (text, "")
    boxed = "No pleural effusion. \\boxed{The heart is large.}"
    assert Marker(report(), "tag").mark(boxed, overlap) == ("", "otherwise")  # two words more: F1 falls below 0.9
    looser = {"judge": False, "verifier": Rules("token_f1", 0.5).name}
    assert Marker(report(), "tag").mark(boxed, looser)[0] == "No pleural effusion. <answer>The heart is large.</answer>"
    assert Marker(report(), "boxed").mark(boxed, overlap) == (boxed, "")
    assert Marker(report(), "tag").mark("Clear lungs.", overlap) == ("", "changed")


def test_published_responses_without_gold_are_marked_under_the_trust_that_took_them():
    trusted = {"judge": False, "verifier": Rules(trust=("reports",)).name + "+judge=x"}
    question = report(answer="")
    assert Marker(question, "tag").mark("So \\boxed{B}", trusted) == ("So <answer>B</answer>", "")
    assert Marker(question, "tag").mark("So \\boxed{B}", RULE) == ("", "changed")


@pytest.mark.parametrize(
    "rules", [Rules(), Rules("token_f1", 0.25), Rules(trust=("b", "a")), Rules("token_f1", 1e-5, ("ii-medical",))]
)
def test_rules_are_known_by_their_name(rules):
    assert Rules.named(rules.name).name == rules.name
    assert Rules.named(f"{rules.name}+judge=m@2").name == rules.name


@pytest.mark.parametrize(
    ("question", "answer"),
    [("chest", "B"), ("side", "left"), ("yes", "yes"), ("limits", "58.2"), ("marked", "25%"), ("short", None),
     ("labels", None), ("none", "B"), ("healthy", None)],
)  # fmt: skip
def test_the_answer_alone_is_read_as_right(question, answer):
    asked = QUESTIONS[question]
    direct = direct_answer(asked, "<think>Long.</think>\n\nThe answer is as above.")
    assert check_response(asked, direct, "stop").verdict == "correct", direct
    assert answer in (None, direct)


def test_a_report_alone_is_the_text_after_the_thought():
    assert direct_answer(report(), "<think>Large.</think>\n\nThe heart is large.") == "The heart is large."
