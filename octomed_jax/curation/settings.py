"""``config.curate``: its fields with what they are when nobody sets them, checked before anything is done."""

import copy
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import PIL
from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.curation.evaluation_sets import check_registry
from octomed_jax.curation.judge_prompts import (
    HIGHEST,
    LOWEST,
    METADATA_VERSION,
    RATING_VERSION,
    judge_name,
)
from octomed_jax.curation.metadata import RULES_VERSION, values
from octomed_jax.curation.pictures.image_hashes import VERSION as HASHES_VERSION
from octomed_jax.curation.pictures.image_transform import MAX_PIXELS, TEXT_POLICIES
from octomed_jax.curation.pictures.image_transform import VERSION as TRANSFORM_VERSION
from octomed_jax.curation.texts.minhash import LEAST_SIMILARITY
from octomed_jax.curation.texts.minhash import VERSION as MINHASH_VERSION
from octomed_jax.curation.texts.near_duplicates import THRESHOLD
from octomed_jax.curation.texts.ngrams import NGRAM_WORDS
from octomed_jax.curation.texts.ngrams import VERSION as NGRAMS_VERSION
from octomed_jax.curation.texts.normal_text import VERSION as NORMAL_VERSION
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.schema import ACCESS_CLASSES, TASKS

UNICODE = f"unicode-{unicodedata.unidata_version}"  # Python's, by which letters are brought into the normal form
WORDS_VERSIONS = {
    "decontaminate": (f"words-{NORMAL_VERSION}", UNICODE, f"runs-{NGRAMS_VERSION}"),
    "deduplicate": (f"words-{NORMAL_VERSION}", UNICODE, f"minhash-{MINHASH_VERSION}"),
}
# Of what is found in images that are decoded: ours, and of the library that decodes and shrinks them.
PICTURES_VERSIONS = (f"images-{HASHES_VERSION}", f"pillow-{PIL.__version__}")
JUDGE = "config.curate.judge"
JUDGE_VERSIONS = {"difficulty": RATING_VERSION, "metadata": METADATA_VERSION}  # the steps that may ask it
OF_ATTEMPTS = frozenset(("difficulty", field) for field in ("samples", "fewest", "most", "model"))
OF_RATINGS = frozenset(("difficulty", field) for field in ("lowest", "highest"))

LEAST_PIXELS = 28 * 28  # a cell of the student's
IMAGE_MATCHES = ("bytes", "pixels", "near")
RATERS = ("student", "teacher", "judge")
NAMERS = ("rule", "judge")

CURATE: dict[str, Any] = {
    # In the order in which they are done, each with its settings below; a step that is not named is not done.
    "steps": ("decontaminate", "deduplicate"),
    # Evaluation sets that are compared with and not carried on: name -> {"folder": DIR, "split": "test"}; of a folder's
    # questions those that are held out (test), those to learn from (train), or all.
    "against": {},
    "decontaminate": {
        "ngram": NGRAM_WORDS[-1],  # words in a row that are shared with a held-out question: 16 (the paper), 13 or 8
        "held_out": "text",  # whose words: of held-out questions without images (text, as in the paper), or of all
        "ignore_common": 0,  # a run that more questions to learn from have is a template and does not count; 0: all do
        "images": ("bytes",),  # how images are found to be the same: bytes (the paper), pixels, near
        "keep_shared_images": (),  # sources whose questions stay though their own test split has the image
    },
    "deduplicate": {
        "near": True,  # also questions that share most of their words, not those alone that are the same
        "threshold": THRESHOLD,  # least Jaccard similarity of near-duplicates' runs of five words: 0.7 to 1
        "images": "bytes",  # how images are found to be the same: bytes, pixels, near
    },
    "balance": {
        "tasks": ("classification", "yes_no"),  # whose answers are classes
        "sources": (),  # only these; none: all
        "ratio": 1.0,  # how often the commonest class of a benchmark may come for each of the rarest
        "most": 0,  # questions of a class; 0: as many as the ratio allows
    },
    "metadata": {
        "by": "rule",  # or judge: it is asked where neither the source nor a rule says it
        "replace": False,  # what a source says too
    },
    "difficulty": {
        "by": "student",  # whose attempts tell: student or teacher; or judge, whose rating tells
        "samples": 16,  # attempts at each question
        "fewest": 2,  # of them right, for the question to stay
        "most": 14,
        "model": "",  # whose attempts, where the folder has those of several
        "lowest": 3,  # rating of 1 to 10 by the judge, for the question to stay
        "highest": 6,
    },
    "transform": {
        "max_pixels": MAX_PIXELS,  # of an image that is written; the paper: 262144
        "burned_text": "keep",  # in images of the modalities below: keep, blank (paint over), or drop the question
        "modalities": ("ultrasound", "X-ray"),
    },
    "judge": {
        "endpoint": "",
        "model": "",  # the paper: GPT-4.1-mini
        "api_key_env": "",  # NAME of the environment variable that holds the key
        "approved_access": ("open",),  # access classes of questions that may be sent to it
        "in_flight": 32,
        "max_tokens": 2048,
    },
}


def defaults() -> ConfigDict:
    """Return ``config.curate`` as it is when nobody sets anything."""
    return ConfigDict(copy.deepcopy(CURATE))


def result_settings(settings: ConfigDict) -> dict[str, Any]:
    """Return the part of the settings that the result depends on: the steps, each with its own, in their order."""
    plain = configuration.plain(settings)
    return {
        "steps": [{"step": name, **_result_settings(plain, name), **_version(plain, name)} for name in plain["steps"]]
    }


def _version(plain: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return the versions of what a step finds in images or words: what it gave by others is not used again.

    Where images are decoded it is also the version of Pillow, whose JPEG decoder and filters may change.
    """
    if name == "metadata":
        return {"version": RULES_VERSION}
    if name == "transform":
        return {"version": f"{TRANSFORM_VERSION}, {PICTURES_VERSIONS[-1]}"}
    kinds = plain[name].get("images", ())
    decoded = {"pixels", "near"} & {kinds if isinstance(kinds, str) else "", *kinds}
    versions = WORDS_VERSIONS.get(name, ()) + (PICTURES_VERSIONS if decoded else ())
    return {"version": ", ".join(versions)} if versions else {}


def _result_settings(plain: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a step's settings: of a judge its name, and of the difficulty filter those of its kind."""
    own = dict(plain[name])
    if not asks_judge(plain, name):
        return {field: value for field, value in own.items() if (name, field) not in OF_RATINGS}
    judge = {"judge": judge_name(plain["judge"], JUDGE_VERSIONS[name])}
    return {field: value for field, value in own.items() if (name, field) not in OF_ATTEMPTS} | judge


def asks_judge(settings: Mapping[str, Any], name: str) -> bool:
    """Return whether a step is done, and asks the judge."""
    return name in settings["steps"] and name in JUDGE_VERSIONS and settings[name]["by"] == "judge"


def check_settings(settings: ConfigDict) -> None:
    """Check ``config.curate``.

    Raises:
        UserError: a step or field is unknown, a step named twice, or a field missing or out of its range.
    """
    where = "config.curate"
    _check_names(settings)
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
    check_registry(settings.get("against", {}))
    _one_of(settings.decontaminate, "decontaminate.ngram", NGRAM_WORDS)
    _one_of(settings.decontaminate, "decontaminate.held_out", ("text", "all"))
    if settings.decontaminate.ignore_common < 0:
        raise UserError(f"{where}.decontaminate.ignore_common={settings.decontaminate.ignore_common}: 0 (off) or more")
    for kind in settings.decontaminate.images:
        if kind not in IMAGE_MATCHES:
            raise UserError(f"{where}.decontaminate.images: {kind!r} is none of {', '.join(IMAGE_MATCHES)}")
    _one_of(settings.deduplicate, "deduplicate.images", IMAGE_MATCHES)
    if not LEAST_SIMILARITY <= settings.deduplicate.threshold <= 1:
        threshold = settings.deduplicate.threshold
        raise UserError(
            f"{where}.deduplicate.threshold={threshold}: from {LEAST_SIMILARITY} to 1; of pairs that are less alike "
            "too few are found"
        )
    if not 1 <= settings.balance.ratio < math.inf:
        raise UserError(f"{where}.balance.ratio={settings.balance.ratio}: at least 1, for classes of equal size")
    for task in settings.balance.tasks:
        _known(task, TASKS, "balance.tasks")
    if settings.balance.most < 0:
        raise UserError(f"{where}.balance.most={settings.balance.most}: 0 or more")
    _one_of(settings.difficulty, "difficulty.by", RATERS)
    _one_of(settings.metadata, "metadata.by", NAMERS)
    if not LOWEST <= settings.difficulty.lowest <= settings.difficulty.highest <= HIGHEST:
        lowest, highest = settings.difficulty.lowest, settings.difficulty.highest
        raise UserError(f"{where}.difficulty: lowest={lowest}, highest={highest}: ratings are from 1 to 10")
    if "transform" in settings.steps:
        _check_transform(settings.transform)
    for name in settings.steps:
        if asks_judge(settings, name):
            _check_judge(settings.get("judge", {}), name)
    if "difficulty" in settings.steps and settings.difficulty.by != "judge":
        _check_attempts(settings.difficulty)


def _check_names(settings: ConfigDict) -> None:
    """Refuse fields that nobody reads: one that a config file spells wrongly would do nothing."""
    groups = {"": (settings, CURATE)}
    groups |= {f".{name}": (settings.get(name, {}), CURATE[name]) for name in (*steps(), "judge")}
    for inside, (given, known) in groups.items():
        for name in given:
            if name not in known:
                hint = did_you_mean(name, list(known))
                raise UserError(f"config.curate{inside}: unknown field {name!r}{hint}; known: {', '.join(known)}")


def _check_attempts(settings: Mapping[str, Any]) -> None:
    samples, fewest, most = (settings[name] for name in ("samples", "fewest", "most"))
    if samples < 1:
        raise UserError(f"config.curate.difficulty.samples={samples}: at least 1, the attempts at each question")
    if not 0 <= fewest <= most <= samples:
        raise UserError(
            f"config.curate.difficulty: fewest={fewest}, most={most}, samples={samples}: right attempts are from 0 to "
            "samples, and fewest is not above most"
        )


def _check_transform(settings: Mapping[str, Any]) -> None:
    _one_of(settings, "transform.burned_text", TEXT_POLICIES)
    if settings["max_pixels"] < LEAST_PIXELS:
        raise UserError(f"config.curate.transform.max_pixels={settings['max_pixels']}: at least {LEAST_PIXELS}")
    for modality in settings["modalities"]:
        if modality not in values("modality"):
            known = ", ".join(values("modality"))
            raise UserError(f"config.curate.transform.modalities: {modality!r} is none of {known}")


def _check_judge(judge: Mapping[str, Any], step: str) -> None:
    from octomed_jax.teacher.client import chat_url

    for field in CURATE["judge"]:
        if field not in judge:
            raise UserError(f"{JUDGE} lacks the field {field!r}, and the step {step} asks it")
    for field in ("endpoint", "model"):
        if not judge[field]:
            raise UserError(f"{JUDGE}.{field} is empty; set it, or config.curate.{step}.by, which says to ask a judge")
    chat_url(judge["endpoint"])
    for field in ("in_flight", "max_tokens"):
        if judge[field] < 1:
            raise UserError(f"{JUDGE}.{field}={judge[field]}: it must be at least 1")
    for access in judge["approved_access"]:
        if access not in ACCESS_CLASSES:
            raise UserError(f"{JUDGE}.approved_access: {access!r} is none of {', '.join(ACCESS_CLASSES)}")


def check_sources(settings: Mapping[str, Any], sources: Sequence[str]) -> None:
    """Check before all work that the sources that steps name are sources of the questions to learn from.

    Raises:
        UserError: one is not; as a name that is spelt wrongly, it would do nothing.
    """
    for step, field in (("decontaminate", "keep_shared_images"), ("balance", "sources")):
        for name in settings[step][field] if step in settings["steps"] else ():
            _known(name, sources, f"{step}.{field}", "no question to learn from is of the source ")


def _known(name: str, known: Sequence[str], field: str, why: str = "unknown: ") -> None:
    if name not in known:
        hint = did_you_mean(name, list(known))
        raise UserError(f"config.curate.{field}: {why}{name!r}{hint}; known: {', '.join(known)}")


def steps() -> tuple[str, ...]:
    """Return the names of all steps."""
    return tuple(name for name in CURATE if name not in ("steps", "against", "judge"))


def _one_of(settings: Mapping[str, Any], field: str, known: tuple[Any, ...]) -> None:
    value = settings[field.rpartition(".")[2]]
    if value not in known:
        raise UserError(f"config.curate.{field}={value!r}: one of {', '.join(map(str, known))}")
