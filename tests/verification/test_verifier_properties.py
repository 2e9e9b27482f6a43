"""What must hold for any response: no exception, linear time, and the kinds of response that are never correct."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_verdicts import QUESTIONS

from octomed_jax.schema import VERDICTS
from octomed_jax.verification.answer import split_response
from octomed_jax.verification.check import REASONS, judge_response

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
    verdict = judge_response(QUESTIONS[name], response, finish)
    assert verdict.verdict in VERDICTS
    assert REASONS[verdict.reason].startswith(verdict.verdict + ":")
    if finish == "length":
        assert verdict.verdict == "truncated"


@settings(max_examples=100)
@given(thought=NASTY, letter=st.sampled_from("ABCD"))
def test_only_what_follows_the_thought_counts(thought, letter):
    thought = thought.replace("<think>", "").replace("</think>", "")
    verdict = judge_response(QUESTIONS["mcq"], f"<think>{thought}</think>\n\n\\boxed{{{letter}}}", "stop")
    assert verdict.verdict == ("correct" if letter == "B" else "wrong")


@settings(max_examples=100)
@given(value=st.decimals(-10_000, 10_000, allow_nan=False, places=3))
def test_a_boxed_number_is_judged_by_its_value(value):
    verdict = judge_response(QUESTIONS["limits"], f"<think>.</think>\\boxed{{{value}}}", "stop")
    assert verdict.verdict == ("correct" if 55.29 <= float(value) <= 61.11 else "wrong")


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
    ],
)
@pytest.mark.parametrize("size", [19_000, 1_000_000])
def test_pathological_input_takes_linear_time(unit, size):
    text = unit * (size // len(unit))
    for prefix in ("", "<think>x</think>"):
        for name in ("mcq", "plane", "yes", "limits", "short", "labels", "free_labels"):
            judge_response(QUESTIONS[name], "<think>x</think> B", "stop")  # warm
            seconds = []
            for _ in range(3):  # the fastest of three: another process may hold the core
                start = time.process_time()
                judge_response(QUESTIONS[name], prefix + text, "stop")
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
    judged = judge_response(QUESTIONS["mcq"], response, finish)
    assert (judged.verdict, judged.reason) == (verdict, reason)


def test_split_keeps_thought_and_answer():
    parts = split_response("<think>\nwhy\n</think>\n\nB")
    assert (parts.thought, parts.answer, parts.closed) == ("why", "B", True)


def test_a_gold_that_is_no_option_is_named():
    import dataclasses

    broken = dataclasses.replace(QUESTIONS["mcq"], answer="Gout")
    assert judge_response(broken, "\\boxed{B}", "stop").reason == "broken_gold"
    broken = dataclasses.replace(QUESTIONS["score"], answer="many")
    assert judge_response(broken, "\\boxed{4}", "stop").reason == "broken_gold"
