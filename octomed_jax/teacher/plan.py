"""What the distill stage is to ask: settings checked, questions that may be sent, requests still missing."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.prompts import SUFFIXES
from octomed_jax.schema import Attempt, Question
from octomed_jax.teacher.client import api_key, chat_url
from octomed_jax.teacher.ledger import Ledger
from octomed_jax.teacher.reply import Completion, RequestFailed
from octomed_jax.teacher.requests import Sampling, request_hash, request_seed
from octomed_jax.teacher.script import NAME, Rates
from octomed_jax.traces import lake

# Fields that say where and how fast, not what: no result depends on them.
NOT_IN_RESULT = ("endpoint", "api_key_env", "in_flight", "approved_access")


@dataclasses.dataclass(frozen=True)
class Work:
    """One request to be made: a group of samples of a question."""

    question: Question
    group: int
    sampling: Sampling
    hash: str


def check_settings(settings: ConfigDict) -> None:
    """Check ``config.distill`` before anything is done.

    Raises:
        UserError: a field is out of its range, naming it.
    """
    for name in ("samples", "samples_per_request", "max_tokens", "in_flight", "max_pixels"):
        if settings[name] < 1:
            raise UserError(f"config.distill.{name}={settings[name]}: it must be at least 1")
    if settings.answer_format not in SUFFIXES:
        raise UserError(f"config.distill.answer_format={settings.answer_format!r}: one of {', '.join(SUFFIXES)}")
    if not 0 <= settings.temperature <= 2 or not 0 < settings.top_p <= 1:
        raise UserError(f"config.distill: temperature={settings.temperature} or top_p={settings.top_p} is out of range")
    if settings.endpoint:
        chat_url(settings.endpoint)
    else:
        Rates(**configuration.plain(settings.scripted))
    api_key(settings.api_key_env)


def result_settings(config: ConfigDict) -> dict[str, Any]:
    """Return the part of the config that the attempts depend on."""
    settings = configuration.plain(config.distill)
    kept = {name: value for name, value in settings.items() if name not in NOT_IN_RESULT}
    if config.distill.endpoint:
        kept.pop("scripted", None)
    return {**kept, "seed": int(config.seed), "teacher": "endpoint" if config.distill.endpoint else NAME}


def teacher_name(settings: ConfigDict) -> str:
    """Return how the teacher is called wherever a result is shown."""
    if settings.endpoint:
        return str(settings.model)
    return f"{NAME} ({Rates(**configuration.plain(settings.scripted))})"


def check_access(source: Path, settings: ConfigDict) -> list[str]:
    """Return the ids of the questions, after a check that each may be sent to the endpoint.

    Raises:
        UserError: a question's access class is not approved for it, or a held-out question is among them.
    """
    approved = tuple(settings.get("approved_access", ("open",)))
    ids = []
    for row in lake.iterate_rows(source, ("id", "access", "split")):
        if row["access"] not in approved:
            raise UserError(
                f"question {row['id']} is {row['access']} and may not be sent to this endpoint; add "
                f"{row['access']!r} to config.distill.approved_access only if its terms allow that"
            )
        if row["split"] != "train":
            raise UserError(f"question {row['id']} is held out (split {row['split']}); it is never distilled")
        ids.append(row["id"])
    if not ids:
        raise UserError(f"{source} holds no question; build the questions again")
    return ids


def missing_work(config: ConfigDict, source: Path, ledger: Ledger) -> Iterator[Work]:
    """Yield the requests that have no attempts yet, in the order of the questions.

    Raises:
        UserError: the ledger holds attempts at another version of a question.
    """
    settings = config.distill
    for question in lake.iterate_questions(source):
        for group, first in enumerate(range(0, settings.samples, settings.samples_per_request)):
            sampling = Sampling(
                n=min(settings.samples_per_request, settings.samples - first),
                seed=request_seed(config.seed, question.id, group),
                temperature=float(settings.temperature),
                top_p=float(settings.top_p),
                max_tokens=int(settings.max_tokens),
            )
            name = request_hash(question, settings.model, settings.answer_format, settings.max_pixels, sampling)
            held = ledger.held.get((question.id, group))
            if held is None:
                yield Work(question, group, sampling, name)
            elif held != name:
                raise UserError(
                    f"{ledger.folder} holds attempts at another version of {question.id}; choose another --output"
                )


def attempts_of(work: Work, result: Completion | RequestFailed, settings: ConfigDict) -> list[Attempt]:
    """Return the attempts that a request led to; one that failed for good leaves them with an ``error``."""
    first = work.group * settings.samples_per_request
    common: dict[str, Any] = {
        "question_id": work.question.id,
        "group": work.group,
        "seed": work.sampling.seed,
        "request_hash": work.hash,
        "teacher": settings.model,
    }
    if isinstance(result, RequestFailed):
        empty: dict[str, Any] = {
            "response": "",
            "reasoning": "",
            "finish_reason": "error",
            "prompt_tokens": 0,
            "completion_tokens": 0,
        }
        return [
            Attempt(sample_index=first + index, error=str(result), **common, **empty)
            for index in range(work.sampling.n)
        ]
    return [
        Attempt(sample_index=first + index, prompt_tokens=result.prompt_tokens, **common, **dataclasses.asdict(choice))
        for index, choice in enumerate(result.choices)
    ]
