"""``config.distill``: its fields with what they are when nobody sets them, checked before anything is done."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.prompts import SUFFIXES
from octomed_jax.schema import ACCESS_CLASSES
from octomed_jax.teacher.client import api_key, chat_url
from octomed_jax.teacher.prompts import PROMPTS
from octomed_jax.teacher.script import NAME, Rates

TAKES = ("any", "text", "images")
SCRIPTED = "scripted"  # the model's name of the programmatic teacher

TEACHER: dict[str, Any] = {
    "takes": "any",  # which questions: any, text (without images) or images (with)
    "model": SCRIPTED,
    "endpoints": (),  # none: the programmatic teacher is started on loopback and stopped again
    "api_key_env": "",  # NAME of the environment variable that holds the key
    "approved_access": ("open",),  # access classes of questions that may be sent to these endpoints
    "terms": "",  # of the model's licence or its provider; goes to the card
    "dollars_per_million": {"prompt": 0.0, "completion": 0.0},  # tokens; 0: no cost is shown
}

DISTILL: dict[str, Any] = {
    "teachers": {"teacher": TEACHER},  # each question is asked of every teacher that takes it
    "samples": 16,  # of each teacher, as in the paper
    "samples_per_request": 4,
    "accept": 0,  # ask a question no further once so many are correct; 0: always all samples
    "temperature": 0.6,
    "top_p": 0.95,
    "max_tokens": 8192,
    "max_pixels": 262144,  # larger images are shrunk before they are sent
    "answer_format": "boxed",
    "shuffle_options": True,  # in an order of its own for each request
    "in_flight": 64,  # requests of each teacher at a time
    "most_failed": 0.01,  # share of the requests that may fail for good before the run stops
    "patience_seconds": 600.0,  # without any reply, before it is left for another time
    "shards": 0,  # logical shards; 0: as many as workers, and so many that each holds at most 500 questions
    # What the programmatic teacher gets wrong on purpose, so that rejection has something to reject.
    "scripted": {"wrong": 0.1, "malformed": 0.05, "truncated": 0.05},
}

# Fields that say where and how fast, not what: no attempt depends on them.
NOT_IN_RESULT = ("in_flight", "most_failed", "patience_seconds", "shards")
NOT_IN_TEACHER = ("endpoints", "api_key_env", "approved_access", "dollars_per_million", "terms")


@dataclasses.dataclass(frozen=True)
class Teacher:
    """One teacher of a recipe: a model behind one or more endpoints, and what it may be asked.

    Attributes:
        name: its key in ``config.distill.teachers``.
        takes: one of TAKES.
        first_group: for questions without and with images: the number of its first request to a question. Those of
            the teachers before it that take such a question come first.
    """

    name: str
    takes: str
    model: str
    endpoints: tuple[str, ...]
    api_key_env: str
    approved_access: tuple[str, ...]
    terms: str
    dollars_per_million: Mapping[str, float]
    first_group: tuple[int, int]

    @property
    def settings(self) -> str:
        """The part of the config that an error names."""
        return f"config.distill.teachers.{self.name}"

    @property
    def programmatic(self) -> bool:
        """Whether it is no model."""
        return not self.endpoints

    def takes_question(self, with_images: bool) -> bool:
        """Return whether it is asked a question with or without images."""
        return self.takes in ("any", "images" if with_images else "text")

    def groups(self, with_images: bool, each: int) -> range:
        """Return the numbers of its requests to a question."""
        first = self.first_group[with_images]
        return range(first, first + each)

    def dollars(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost."""
        price = self.dollars_per_million
        return (prompt_tokens * price["prompt"] + completion_tokens * price["completion"]) / 1e6


def defaults() -> ConfigDict:
    """Return ``config.distill`` as it is when nobody sets anything."""
    return ConfigDict(copy.deepcopy(DISTILL))


def one_teacher(settings: ConfigDict, **given: Any) -> None:
    """Let one teacher, which takes any question, stand for all: nothing of theirs is carried over to it.

    What they were approved for, their key and their terms are not those of another endpoint.

    Raises:
        UserError: its endpoint or the model's name is missing.
    """
    if not given.get("endpoints") or not given.get("model"):
        raise UserError("--endpoint and --model go together: where it is, and the model's name there")
    with settings.unlocked():
        settings.teachers = ConfigDict({"teacher": {**copy.deepcopy(TEACHER), **given}})


def teachers_of(settings: ConfigDict) -> list[Teacher]:
    """Return the teachers in the order of their names, whatever the order of the config."""
    each = groups_each(settings)
    taken = [0, 0]
    teachers = []
    for name in sorted(settings.teachers.keys()):
        plain = configuration.plain(settings.teachers[name])
        teacher = Teacher(
            name=name,
            takes=plain["takes"],
            model=plain["model"],
            endpoints=tuple(plain["endpoints"]),
            api_key_env=plain["api_key_env"],
            approved_access=tuple(plain["approved_access"]),
            terms=plain["terms"],
            dollars_per_million=plain["dollars_per_million"],
            first_group=(taken[0], taken[1]),
        )
        for with_images in (False, True):
            taken[with_images] += each * teacher.takes_question(with_images)
        teachers.append(teacher)
    return teachers


def groups_each(settings: ConfigDict) -> int:
    """Return how many requests a teacher gets for a question at most."""
    return -(-settings.samples // settings.samples_per_request)


def check_settings(settings: ConfigDict) -> list[Teacher]:
    """Check ``config.distill``; return its teachers.

    Raises:
        UserError: a field is missing or out of its range, naming it.
    """
    where = "config.distill"
    for name in DISTILL:
        if name not in settings:
            raise UserError(f"{where} lacks the field {name!r}; octomed_jax/teacher/settings.py has them all")
    for name in ("samples", "samples_per_request", "max_tokens", "in_flight", "max_pixels"):
        if settings[name] < 1:
            raise UserError(f"{where}.{name}={settings[name]}: it must be at least 1")
    for name in ("accept", "shards", "patience_seconds", "most_failed"):
        if settings[name] < 0:
            raise UserError(f"{where}.{name}={settings[name]}: it must not be negative")
    if settings.accept > settings.samples:
        raise UserError(f"{where}.accept={settings.accept} is more than samples={settings.samples}")
    if settings.answer_format not in PROMPTS:
        raise UserError(f"{where}.answer_format={settings.answer_format!r}: one of {', '.join(PROMPTS)}")
    if not 0 <= settings.temperature <= 2 or not 0 < settings.top_p <= 1:
        raise UserError(f"{where}: temperature={settings.temperature} or top_p={settings.top_p} is out of range")
    if not settings.teachers:
        raise UserError(f"{where}.teachers names no teacher; name at least one")
    Rates(**configuration.plain(settings.scripted))
    for name, fields in settings.teachers.items():
        for field in TEACHER:
            if field not in fields:
                raise UserError(f"{where}.teachers.{name} lacks the field {field!r}")
    teachers = teachers_of(settings)
    for teacher in teachers:
        _check_teacher(teacher)
    prices = {teacher.model: teacher.dollars_per_million for teacher in teachers}
    for teacher in teachers:
        if dict(prices[teacher.model]) != dict(teacher.dollars_per_million):
            raise UserError(f"{where}.teachers: two prices for {teacher.model!r}; a model has one")
    return teachers


def _check_teacher(teacher: Teacher) -> None:
    where = teacher.settings
    if teacher.takes not in TAKES:
        raise UserError(f"{where}.takes={teacher.takes!r}: one of {', '.join(TAKES)}")
    if not teacher.model:
        raise UserError(f"{where}.model is empty; give the name that the endpoint knows")
    for access in teacher.approved_access:
        if access not in ACCESS_CLASSES:
            raise UserError(f"{where}.approved_access: {access!r} is none of {', '.join(ACCESS_CLASSES)}")
    if not teacher.endpoints and teacher.model != SCRIPTED:
        raise UserError(f"{where} has no endpoint for {teacher.model!r}; give --endpoint, or set {where}.endpoints")
    for endpoint in teacher.endpoints:
        chat_url(endpoint)
    api_key(teacher.api_key_env, where)


def result_settings(config: ConfigDict) -> dict[str, Any]:
    """Return the part of the config that the attempts depend on."""
    settings = configuration.plain(config.distill)
    kept = {name: value for name, value in settings.items() if name not in NOT_IN_RESULT}
    teachers = teachers_of(config.distill)
    kept["teachers"] = {
        teacher.name: {
            **{key: value for key, value in settings["teachers"][teacher.name].items() if key not in NOT_IN_TEACHER},
            "kind": NAME if teacher.programmatic else "endpoint",
        }
        for teacher in teachers
    }
    if not any(teacher.programmatic for teacher in teachers):
        kept.pop("scripted")
    prompt = PROMPTS[config.distill.answer_format].name
    return {**kept, "seed": int(config.seed), "prompt": prompt}


def teacher_name(settings: ConfigDict) -> str:
    """Return how the teachers are called wherever a result is shown."""
    scripted = f"{NAME} ({Rates(**configuration.plain(settings.scripted))})"
    names = [scripted if teacher.programmatic else teacher.model for teacher in teachers_of(settings)]
    return ", ".join(dict.fromkeys(names))


assert set(SUFFIXES) == set(PROMPTS), "a teacher's answer format is also the student's"
