"""``config.curate``: its fields with what they are when nobody sets them, checked before anything is done."""

import copy
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.curation.near_duplicates import THRESHOLD
from octomed_jax.curation.ngrams import NGRAM_WORDS
from octomed_jax.errors import UserError, did_you_mean

IMAGE_MATCHES = ("bytes", "pixels", "near")
RATERS = ("student", "teacher")

CURATE: dict[str, Any] = {
    # In the order in which they are done, each with its settings below; a step that is not named is not done.
    "steps": ("decontaminate", "deduplicate"),
    "decontaminate": {
        "ngram": NGRAM_WORDS[-1],  # words in a row that are shared with a held-out question: 16 (the paper), 13 or 8
        "held_out": "text",  # whose words: of held-out questions without images (text, as in the paper), or of all
        "images": ("bytes",),  # how images are found to be the same: bytes (the paper), pixels, near
        "keep_shared_images": (),  # sources whose questions stay though an image of theirs is held out too
    },
    "deduplicate": {
        "near": True,  # also questions that share most of their words, not those alone that are the same
        "threshold": THRESHOLD,  # the least Jaccard similarity of two near-duplicates' runs of five words
        "images": "bytes",  # how images are found to be the same: bytes, pixels, near
    },
    "balance": {
        "tasks": ("classification", "yes_no"),  # whose answers are classes
        "sources": (),  # only these; none: all
        "ratio": 1.0,  # how often the commonest class of a benchmark may come for each of the rarest
        "most": 0,  # questions of a class; 0: as many as the ratio allows
    },
    "metadata": {
        "replace": False,  # what a source says too
    },
    "difficulty": {
        "by": "student",  # whose attempts tell: student or teacher
        "samples": 16,  # attempts at each question
        "fewest": 2,  # of them right, for the question to stay
        "most": 14,
        "model": "",  # whose attempts, where the folder has those of several
    },
}


def defaults() -> ConfigDict:
    """Return ``config.curate`` as it is when nobody sets anything."""
    return ConfigDict(copy.deepcopy(CURATE))


def result_settings(settings: ConfigDict) -> dict[str, Any]:
    """Return the part of the settings that the result depends on: the steps, each with its own, in their order."""
    plain = configuration.plain(settings)
    return {"steps": [{"step": name, **plain[name]} for name in plain["steps"]]}


def check_settings(settings: ConfigDict) -> None:
    """Check ``config.curate``.

    Raises:
        UserError: a step is unknown or named twice, or a field is missing or out of its range.
    """
    where = "config.curate"
    if not settings.steps:
        raise UserError(f"{where}.steps names no step; name some of {', '.join(steps())}")
    for name in settings.steps:
        if name not in steps():
            raise UserError(f"{where}.steps: unknown step {name!r}{did_you_mean(name, steps())}")
        if list(settings.steps).count(name) > 1:
            raise UserError(f"{where}.steps names {name!r} twice")
        for field in CURATE[name]:
            if field not in settings[name]:
                raise UserError(f"{where}.{name} lacks the field {field!r}")
    _one_of(settings.decontaminate, "decontaminate.ngram", NGRAM_WORDS)
    _one_of(settings.decontaminate, "decontaminate.held_out", ("text", "all"))
    for kind in settings.decontaminate.images:
        if kind not in IMAGE_MATCHES:
            raise UserError(f"{where}.decontaminate.images: {kind!r} is none of {', '.join(IMAGE_MATCHES)}")
    _one_of(settings.deduplicate, "deduplicate.images", IMAGE_MATCHES)
    if not 0 < settings.deduplicate.threshold <= 1:
        raise UserError(f"{where}.deduplicate.threshold={settings.deduplicate.threshold}: above 0 and at most 1")
    if settings.balance.ratio < 1:
        raise UserError(f"{where}.balance.ratio={settings.balance.ratio}: at least 1, for classes of equal size")
    if settings.balance.most < 0:
        raise UserError(f"{where}.balance.most={settings.balance.most}: 0 or more")
    _one_of(settings.difficulty, "difficulty.by", RATERS)
    if not 0 <= settings.difficulty.fewest <= settings.difficulty.most:
        raise UserError(f"{where}.difficulty: fewest={settings.difficulty.fewest}, most={settings.difficulty.most}")


def steps() -> tuple[str, ...]:
    """Return the names of all steps."""
    return tuple(name for name in CURATE if name != "steps")


def _one_of(settings: Mapping[str, Any], field: str, known: tuple[Any, ...]) -> None:
    value = settings[field.rpartition(".")[2]]
    if value not in known:
        raise UserError(f"config.curate.{field}={value!r}: one of {', '.join(map(str, known))}")
