"""What a teacher is asked: every task in every format, a form that the verifier reads."""

import dataclasses

import pytest
from teacher_helpers import make_question

from octomed_jax.prompts import BOXED_SUFFIX, DIRECT_SUFFIX
from octomed_jax.schema import OPEN_TASKS, TASKS
from octomed_jax.teacher.prompts import PROMPTS
from octomed_jax.verification.check import check_response


@pytest.mark.parametrize("name", PROMPTS)
def test_every_task_has_its_words(name):
    prompt = PROMPTS[name]
    assert set(prompt.closing) == set(TASKS)
    assert prompt.name.startswith(f"{name}-")
    assert "ours" in prompt.origin
    for task in TASKS:
        text = prompt.text(dataclasses.replace(make_question(3), task=task))
        assert text.startswith("Which is number 4?\n")
        assert text.endswith(prompt.closing[task])


def test_the_words_that_are_seen_stand_as_seen():
    for task in set(TASKS) - set(OPEN_TASKS):
        assert PROMPTS["boxed"].closing[task].splitlines()[-1] == BOXED_SUFFIX
    assert PROMPTS["direct"].closing["short_answer"] == DIRECT_SUFFIX


FORMS = {"boxed": "\\boxed{{{}}}", "tag": "<answer>{}</answer>", "direct": "{}"}


@pytest.mark.parametrize("name", PROMPTS)
def test_an_answer_in_the_form_asked_for_is_read(name):
    """The verifier accepts the right answer in the form that the prompt asks for, and refuses another one."""
    right = {0: "axial", 1: "yes", 2: "4", 3: "B"}
    wrong = {0: "coronal", 1: "no", 2: "9", 3: "C"}
    for index in range(4):
        for verdict, answers in (("correct", right), ("wrong", wrong)):
            response = f"<think>so</think>\n\n{FORMS[name].format(answers[index])}"
            assert check_response(make_question(index), response, "stop").verdict == verdict
