"""MedMCQA items carried by OpenAI's evals package: a benchmark only, never trained on."""

import json
import re
from collections.abc import Mapping

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.archives import unreadable_item, wheel_members
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import EVALS
from octomed_jax.questions.packages.source import Made, Source
from octomed_jax.schema import Question
from octomed_jax.storage import sha256_bytes

SAMPLES = "evals/registry/data/medmcqa/samples.jsonl"
SAMPLES_SHA256 = "833cc45e0d32881afb2f6a6aa00524c77071833acf9bc8729ae1423ea0beb260"
LICENCE = "MIT (evals, MedMCQA)"
ITEM = re.compile(r"Subject: ([^\n]*)\n\n(.+)\n\na\) (.*)\nb\) (.*)\nc\) (.*)\nd\) (.*)", re.DOTALL)
IDEAL = re.compile(r"([abcd])\) (.*)", re.DOTALL)


def parse_item(line: str) -> tuple[str, str, tuple[str, ...], str] | None:
    """Return subject, question, options and the right option of one line; None where the right one is not unique.

    Raises:
        UserError: the line reads otherwise than the samples do.
    """
    refusal = unreadable_item(SAMPLES, EVALS.filename)
    try:
        fields = json.loads(line)
        item, ideal = ITEM.fullmatch(fields["input"][-1]["content"]), IDEAL.fullmatch(fields["ideal"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise refusal from error
    if item is None or ideal is None:
        raise refusal
    subject, question, *texts = (" ".join(text.split()) for text in item.groups())
    gold = texts["abcd".index(ideal[1])]
    if gold != " ".join(ideal[2].split()):
        raise refusal
    return (subject, question, tuple(texts), gold) if texts.count(gold) == 1 else None


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Return the first ``test`` items, in the order of the file.

    Raises:
        UserError: the file is not the one that was pinned, or has fewer items than are asked for.
    """
    data = wheel_members(fetch(EVALS), [SAMPLES], EVALS.filename)[SAMPLES]
    if sha256_bytes(data) != SAMPLES_SHA256:
        raise UserError(f"{SAMPLES} is not the pinned file: expected {SAMPLES_SHA256}, found {sha256_bytes(data)}")
    lines = data.decode().splitlines()
    if settings["test"] > len(lines):
        raise UserError(f"config.questions.medmcqa_sample.test is {settings['test']}, but there are {len(lines)} items")
    questions = []
    unusable = 0
    for number, line in enumerate(lines[: settings["test"]]):
        parsed = parse_item(line)
        if parsed is None:
            unusable += 1
            continue
        subject, question, options, gold = parsed
        questions.append(
            Question(
                id=f"medmcqa_sample:test:{number:05d}",
                source="medmcqa_sample",
                benchmark="medmcqa",
                split="test",
                task="mcq",
                question=question,
                options=options,
                answer=gold,
                cluster=f"medmcqa:{number:05d}",
                body_region=subject.lower(),
                licence=LICENCE,
            )
        )
    return Made(questions, {"the right option stands twice": unusable} if unusable else {})


SOURCE = Source(
    name="medmcqa_sample",
    title="300 MedMCQA items of 21 subjects, a held-out benchmark",
    licence=LICENCE,
    access="open",
    attribution="MedMCQA: Pal, Umapathi and Sankarasubbu 2022; the 300 items that OpenAI's evals (MIT) carries.",
    gives={"medmcqa": "test only"},
    packages=(EVALS,),
    settings=("test",),
    make=make,
)
