"""What must hold for any response: no exception, linear time, and the kinds of response that are never correct."""

import dataclasses
import re
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verdict_table import QUESTIONS, TABLE

from octomed_jax.prompts import LETTERS
from octomed_jax.schema import VERDICTS
from octomed_jax.verification.candidates import split_response
from octomed_jax.verification.check import REASONS, Rules, check_response

PIECES = [
    "\\boxed{",
    "}",
    "{",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "Answer:",
    "the answer is",
    "**",
    "(",
    ")",
    "A",
    "B",
    "not",
    "or",
    "Pneumonia",
    "axial",
    "yes",
    "no",
    "4",
    "58.2",
    "-",
    "/",
    "\\frac{1}{0}",
    "1e999",
    "16 weeks",
    "2 days",
    "08/31/2023",
    "%",
    "mg",
    "× 10^",
    "答案是",
    "Therefore, ",
    " is the correct answer",
    "excluded",
    '{"answer": "',
    "\\text{",
    "\n",
    " ",
    ";",
    "½",
    "²",
    "İ",
    "\x00",
]
NASTY = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=30).map("".join)


@settings(max_examples=150)
@given(response=NASTY, name=st.sampled_from(sorted(QUESTIONS)), finish=st.sampled_from(["stop", "length", "", "error"]))
def test_no_response_makes_it_raise(response, name, finish):
    verdict = check_response(QUESTIONS[name], response, finish)
    assert verdict.verdict in VERDICTS
    assert REASONS[verdict.reason].startswith(verdict.verdict + ":")
    if finish == "length":
        assert verdict.verdict == "truncated"


@settings(max_examples=100)
@given(thought=NASTY, letter=st.sampled_from("ABCD"))
def test_only_what_follows_the_thought_counts(thought, letter):
    thought = thought.replace("<think>", "").replace("</think>", "")
    verdict = check_response(QUESTIONS["chest"], f"<think>{thought}</think>\n\n\\boxed{{{letter}}}", "stop")
    assert verdict.verdict == ("correct" if letter == "B" else "wrong")


@settings(max_examples=100)
@given(value=st.decimals(-10_000, 10_000, allow_nan=False, places=3))
def test_a_boxed_number_is_judged_by_its_value(value):
    verdict = check_response(QUESTIONS["limits"], f"<think>.</think>\\boxed{{{value}}}", "stop")
    assert verdict.verdict == ("correct" if 55.29 <= float(value) <= 61.11 else "wrong")


DRESSINGS = (
    "{}",
    "{}.",
    "**{}**",
    "({})",
    "[{}]",
    "`{}`",
    "\\boxed{{{}}}",
    "$\\boxed{{{}}}$",
    "\\boxed{{\\text{{{}}}}}",
    "\\[\\boxed{{\\textbf{{{}}}}}\\]",
    "<answer>{}</answer>",
    "<answer>\n{}\n</answer>",
    "Answer: {}",
    "**Answer:** {}",
    "Answer: **{}**",
    "Final answer: {}.",
    "### Final Answer\n\n{}",
    "The answer is {}.",
    "The correct answer is: {}",
    "So the answer is **{}**.",
    "Therefore, the answer is {}.",
    '{{"answer": "{}"}}',
    "答案是{}。",
    "La respuesta es {}.",
    "Die Antwort ist {}.",
    "La réponse est {}.",
    "Réponse : {}",
    "<think>It may be another one.</think>{}",
    "I weigh all of them.</think>\n\n{}",
    "First \\boxed{{nothing}} came to mind. On the whole it is \\boxed{{{}}}",
)
BRACKETED = ("({})", "[{}]")  # letters only


@pytest.mark.parametrize("name", ["chest", "none", "vitamin", "hepatitis", "skin", "iodine", "kidney", "heart", "ten"])
def test_no_dressing_changes_the_verdict(name):
    question = QUESTIONS[name]
    for letter, option in zip(LETTERS, question.options, strict=False):
        for answer in (letter, option, f"{letter}. {option}", f"({letter}) {option}", f"{option} ({letter})"):
            for dressing in DRESSINGS:
                if dressing in BRACKETED and answer != letter:
                    continue
                judged = check_response(question, dressing.format(answer), "stop")
                assert judged.extracted == option, (dressing.format(answer), judged)
                assert judged.verdict == ("correct" if option == question.answer else "wrong")


@pytest.mark.parametrize(
    ("name", "value"),
    [("limits", "58.2"), ("score", "5"), ("date", "08/31/2023"), ("weeks", "16 weeks 2 days"), ("yes", "Yes")],
)
def test_no_dressing_changes_other_answers(name, value):
    plain = check_response(QUESTIONS[name], value, "stop")
    assert plain.verdict in ("correct", "wrong")
    for dressing in DRESSINGS:
        assert check_response(QUESTIONS[name], dressing.format(value), "stop") == plain, dressing.format(value)


@settings(max_examples=200)
@given(case=st.sampled_from([case for case in TABLE if QUESTIONS[case.question].task == "mcq"]), data=st.data())
def test_the_order_of_options_never_changes_the_verdict(case, data):
    """Responses that name no letter are read alike in any order; those that are a letter follow their option."""
    question = QUESTIONS[case.question]
    order = data.draw(st.permutations(range(len(question.options))))
    turned = dataclasses.replace(question, options=tuple(question.options[index] for index in order))
    response = case.response
    if any(len(option) <= 2 or " A " in option or option.startswith(("None", "All")) for option in question.options):
        return  # options that are letters, or speak of their place
    if re.search(r"(?<![A-Za-z])[A-Ja-j](?![A-Za-z])", unicodedata.normalize("NFKC", response)):
        letters = re.fullmatch(r"\W*([A-D])\W*", response)
        if not letters or LETTERS.index(letters[1]) >= len(order):
            return
        response = response.replace(letters[1], LETTERS[order.index(LETTERS.index(letters[1]))])
    assert check_response(turned, response, "stop") == check_response(question, case.response, "stop")


@pytest.mark.parametrize(
    "unit",
    [
        "\\boxed{",
        "\\boxed{B}",
        "<think>",
        "</think>",
        "<answer>",
        "<answer>B</answer>",
        "**",
        "**B**",
        "(",
        "(A",
        "Answer: ",
        "the answer is ",
        "1,",
        "1,234",
        "\\text{",
        "\\frac{",
        "$",
        " ",
        "\n",
        "B or ",
        "not ",
        "pneumonia ",
        "pneumoni",
        "9",
        "a",
        "-",
        "(1",
        "{}",
        "is ",
        "yes ",
        "A, ",
        "A and ",
        "1/",
        "1 weeks ",
        "1/1/",
        "is the most likely ",
        "therefore ",
        "答案是",
        '"answer": "',
        "[",
        "((((((((",
        "[[]]",
        "\\boxed{\\boxed{",
        "|a|",
        "# answer\n",
        "wait, ",
        "1.",
        "B; ",
        "so B, ",
        "| B |\n",
        "A. B\n",
        "answer: B\n",
        "not B, ",
        "answer: B\naxial, ",
        "the answer is zz B; B; B; B; B; B; B; B; B; B; B; B\n",
    ],
)
@pytest.mark.parametrize("size", [19_000, 1_000_000])
def test_pathological_input_takes_linear_time(unit, size):
    text = unit * (size // len(unit))
    for frame in ("{}", "<think>x</think>{}", "<think>x</think>\\boxed{{{}}}", "the answer is {}"):
        for name in ("chest", "plane", "yes", "limits", "date", "weeks", "short", "labels", "free_labels", "report"):
            check_response(QUESTIONS[name], "<think>x</think> B", "stop")  # warm
            seconds = []
            for _ in range(3):  # the fastest of three: another process may hold the core
                start = time.process_time()
                check_response(QUESTIONS[name], frame.format(text), "stop", Rules("token_f1"))
                seconds.append(time.process_time() - start)
                if seconds[-1] < 0.05:
                    break
            assert min(seconds) < 0.05, (name, min(seconds))


@pytest.mark.parametrize(
    ("response", "finish", "verdict", "reason"),
    [
        ("<think>I weigh it. \\boxed{B}", "stop", "truncated", "thought_not_closed"),
        ("<think>I weigh it.</think>\\boxed{B}", "length", "truncated", "length"),
        ("<think>a</think>\\boxed{B}<think>but", "stop", "truncated", "thought_not_closed"),
        ("<think>I weigh it. \\boxed{B}</think>", "stop", "unparsed", "empty_answer"),
        ("<think>a</think>\\boxed{B}", "content_filter", "unparsed", "content_filter"),
        ("", "stop", "unparsed", "empty_answer"),
        ("x" * 30_000, "stop", "unparsed", "too_long"),
    ],
)
def test_cut_and_empty_responses(response, finish, verdict, reason):
    judged = check_response(QUESTIONS["chest"], response, finish)
    assert (judged.verdict, judged.reason) == (verdict, reason)


def test_split_keeps_thought_and_answer():
    parts = split_response("<think>\nwhy\n</think>\n\nB")
    assert (parts.thought, parts.answer, parts.closed) == ("why", "B", True)


def test_a_gold_that_is_no_option_is_named():
    broken = dataclasses.replace(QUESTIONS["chest"], answer="Gout")
    assert check_response(broken, "\\boxed{B}", "stop").reason == "broken_gold"
    broken = dataclasses.replace(QUESTIONS["score"], answer="many")
    assert check_response(broken, "\\boxed{4}", "stop").reason == "broken_gold"
