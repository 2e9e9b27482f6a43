"""Items of MedMCQA and PubMedQA that the package medplexity carries as examples: a benchmark only, never trained on.

Its items of MMLU and MedQA are those of ``mmlu_sample`` and are left out here.
"""

import json
from collections.abc import Mapping

from octomed_jax.questions.packages import mmlu_sample
from octomed_jax.questions.packages.archives import unreadable_item, wheel_members
from octomed_jax.questions.packages.choices import words
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import LM_EVAL, MEDPLEXITY
from octomed_jax.questions.packages.source import Made, Source
from octomed_jax.schema import Question

SETS = ("medmcqa", "medqa", "mmlu", "pubmedqa")
LICENCE = "MIT (medplexity, MedMCQA, PubMedQA)"


def member(name: str) -> str:
    """Return the name of a set's file in the wheel."""
    return f"medplexity/benchmarks/{name}/examples.json"


def read_items(data: bytes, name: str) -> list[dict[str, str | list[str]]]:
    """Return the items of one set: question, options, answer, explanation, and for PubMedQA context.

    Raises:
        UserError: it reads otherwise than the examples do.
    """
    try:
        items = json.loads(data)
        for item in items:
            if item["options"].count(item["answer"]) != 1 or not item["question"] or not item["explanation"]:
                raise ValueError("the answer is not one of its options")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable_item(member(name), MEDPLEXITY.filename) from error
    return items


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Return the first ``test_each`` items of every set that are not in ``mmlu_sample``, in the order of the files."""
    files = wheel_members(fetch(MEDPLEXITY), [member(name) for name in SETS], MEDPLEXITY.filename)
    known = {words(item[0]) for items in mmlu_sample.load().values() for item in items if item}
    questions, repeated = [], 0
    for name in SETS:
        for number, item in enumerate(read_items(files[member(name)], name)[: settings["test_each"]]):
            if words(str(item["question"])) in known:
                repeated += 1
            else:
                questions.append(_question(name, number, item))
    return Made(questions, {"stands in mmlu_sample": repeated} if repeated else {})


def _question(name: str, number: int, item: Mapping[str, str | list[str]]) -> Question:
    text = f"{item['context']} {item['question']}" if "context" in item else str(item["question"])
    return Question(
        id=f"medplexity:{name}:{number:02d}",
        source="medplexity",
        benchmark="medplexity",
        split="test",
        task="mcq",
        question=" ".join(text.split()),
        options=tuple(item["options"]),
        answer=str(item["answer"]),
        explanation=" ".join(str(item["explanation"]).split()),
        cluster=f"{name}:{number:02d}",
        licence=LICENCE,
    )


SOURCE = Source(
    name="medplexity",
    title="8 items of MedMCQA and PubMedQA, a held-out benchmark",
    licence=LICENCE,
    access="open",
    attribution=(
        "MedMCQA: Pal, Umapathi and Sankarasubbu 2022; PubMedQA: Jin et al. 2019; explanations as carried by "
        "medplexity, (C) Maksym Petyak (MIT)."
    ),
    gives={"medplexity": "test only"},
    packages=(MEDPLEXITY, LM_EVAL),
    settings=("test_each",),
    make=make,
)
