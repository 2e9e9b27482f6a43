"""What every source adapter is: a name, where it comes from and under which licence, and how it makes questions."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping

import numpy as np

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.questions.packages.pinned import Package
from octomed_jax.schema import Question


@dataclasses.dataclass(frozen=True)
class Made:
    """What an adapter made.

    Attributes:
        questions: in any order; ids are unique.
        dropped: reason to number of candidates that were left out.
    """

    questions: list[Question]
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Source:
    """One source of questions.

    Attributes:
        name: the key in ``config.questions``.
        title: one line that says what it is.
        licence: SPDX ids of what the questions are made of, in short.
        access: ``open`` or ``credentialed``.
        attribution: who made it, to be printed and written to the card.
        gives: benchmark names to where they go: ``train and test`` or ``test only``.
        packages: the pinned files it reads.
        settings: the fields of ``config.questions.<name>``; all whole numbers.
        make: (settings, seed, workers) to what it made; the result does not depend on ``workers``.
    """

    name: str
    title: str
    licence: str
    access: str
    attribution: str
    gives: Mapping[str, str]
    packages: tuple[Package, ...]
    settings: tuple[str, ...]
    make: Callable[[Mapping[str, int], int, int], Made]


def check_settings(source: Source, settings: object) -> Mapping[str, int]:
    """Return the settings of a source if they are complete and sound.

    Raises:
        UserError: an unknown or missing field, or a value that is not a whole number from 0 on.
    """
    where = f"config.questions.{source.name}"
    if not isinstance(settings, Mapping):
        raise UserError(f"{where} is {settings!r}; it takes the fields {', '.join(source.settings)}")
    for name, value in settings.items():
        if name not in source.settings:
            raise UserError(f"no field {name!r} in {where}{did_you_mean(name, source.settings)}; remove it")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise UserError(f"{where}.{name} is {value!r}; it takes a whole number from 0 on")
    for name in source.settings:
        if name not in settings:
            raise UserError(f"{where} lacks the field {name!r}; set it to a whole number")
    return settings


def side_of(source: str, settings: Mapping[str, int], least: int, what: str) -> int:
    """Return the side of the images that a source is to render, in pixels.

    Raises:
        UserError: it is less than ``least``, which ``what`` need.
    """
    if (side := settings["side_pixels"]) < least:
        raise UserError(f"config.questions.{source}.side_pixels is {side}; {what} need at least {least} pixels")
    return side


def generator(*key: object) -> np.random.Generator:
    """Return a random generator that depends on nothing but ``key``: each question draws from its own."""
    digest = hashlib.sha256("/".join(str(part) for part in key).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype="<u4"))
