"""Medical items of MMLU that EleutherAI's harness carries as examples: a benchmark only, never trained on."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from octomed_jax.questions.packages.archives import unreadable_item, wheel_members
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import LM_EVAL
from octomed_jax.questions.packages.source import Made, Source
from octomed_jax.schema import Question

FOLDER = "lm_eval/tasks/mmlu/flan_cot_fewshot/"
LICENCE = "MIT (lm-eval, MMLU)"
SUBJECTS = (
    "anatomy",
    "clinical_knowledge",
    "college_biology",
    "college_medicine",
    "high_school_biology",
    "human_aging",
    "medical_genetics",
    "nutrition",
    "professional_medicine",
    "virology",
)
ITEM = re.compile(r"(.+?)\s\(A\) (.+) \(B\) (.+) \(C\) (.+) \(D\) (.+)")
TARGET = re.compile(r"Let's think step by step\. (.+) The answer is \(([ABCD])\)\.")


Example = tuple[str, tuple[str, ...], str, str]  # question, options, the right option, worked explanation


def parse_item(item: Any) -> Example | None:
    """Return one example; None where an option stands twice.

    Raises:
        UserError: it reads otherwise than the examples do.
    """
    try:
        asked, target = (" ".join(item[name].split()) for name in ("question", "target"))
    except (TypeError, KeyError, AttributeError) as error:
        raise unreadable_item(FOLDER, LM_EVAL.filename) from error
    question, worked = ITEM.fullmatch(asked), TARGET.fullmatch(target)
    if question is None or worked is None:
        raise unreadable_item(FOLDER, LM_EVAL.filename)
    text, *options = question.groups()
    gold = options["ABCD".index(worked[2])]
    return (text, tuple(options), gold, worked[1]) if len(set(options)) == len(options) else None


def read_items(files: Mapping[str, bytes]) -> dict[str, list[Example | None]]:
    """Return subject to its items, as ``parse_item`` gives them.

    Raises:
        UserError: a file that does not read as the examples do.
    """
    found = {}
    for subject in SUBJECTS:
        try:
            samples = yaml.safe_load(files[member(subject)])["fewshot_config"]["samples"]
        except (yaml.YAMLError, TypeError, KeyError) as error:
            raise unreadable_item(FOLDER, LM_EVAL.filename) from error
        found[subject] = [parse_item(item) for item in samples]
    return found


def member(subject: str) -> str:
    """Return the name of a subject's file in the wheel."""
    return f"{FOLDER}mmlu_{subject}.yaml"


def load() -> dict[str, list[Example | None]]:
    """Return ``read_items`` of the package.

    Raises:
        UserError, TryAgain: as ``fetch`` and ``read_items``.
    """
    return read_items(wheel_members(fetch(LM_EVAL), [member(subject) for subject in SUBJECTS], LM_EVAL.filename))


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Return the first ``test_each`` items of every subject, in the order of the files."""
    chosen = [
        (subject, number, item)
        for subject, items in load().items()
        for number, item in enumerate(items[: settings["test_each"]])
    ]
    questions = [_question(subject, number, item) for subject, number, item in chosen if item]
    unusable = len(chosen) - len(questions)
    return Made(questions, {"an option stands twice": unusable} if unusable else {})


def _question(subject: str, number: int, item: Example) -> Question:
    text, options, gold, explanation = item
    return Question(
        id=f"mmlu_sample:{subject}:{number:02d}",
        source="mmlu_sample",
        benchmark="mmlu_medical",
        split="test",
        task="mcq",
        question=text,
        options=options,
        answer=gold,
        explanation=explanation,
        cluster=f"mmlu:{subject}:{number:02d}",
        licence=LICENCE,
    )


SOURCE = Source(
    name="mmlu_sample",
    title="48 MMLU items of ten medical and biological subjects, a held-out benchmark",
    licence=LICENCE,
    access="open",
    attribution=(
        "MMLU: Hendrycks et al. 2021 (MIT); worked answers: Flan, Chung et al. 2022; as carried by EleutherAI's "
        "lm-evaluation-harness (MIT)."
    ),
    gives={"mmlu_medical": "test only"},
    packages=(LM_EVAL,),
    settings=("test_each",),
    make=make,
)
