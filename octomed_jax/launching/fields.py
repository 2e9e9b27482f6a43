"""Checks that the fields of a launch config share: each refusal is one line that names the field and the cure."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.launching.spec import Secret

ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
# As docker takes it. YOUR_... of a sample config passes.
IMAGE = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.:/]*(:[A-Za-z0-9_][-A-Za-z0-9_.]*)?(@sha256:[0-9a-f]{64})?")
SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
# A plain setting of such a name would stand readable in files, records and the cluster.
SECRET_VARIABLE = re.compile(r"(.*_)?(KEY|TOKEN|SECRET|PASSWORD)")
SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]+")


def known(fields: Mapping[str, Any], kind: Any, where: str) -> None:
    """Refuse fields that ``kind`` (a dataclass) has not, and missing ones that it needs."""
    names = [field.name for field in dataclasses.fields(kind)]
    for name in fields:
        if name not in names:
            raise UserError(f"no field {name!r} in {where}{did_you_mean(name, names)}; known: {', '.join(names)}")
    for field in dataclasses.fields(kind):
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and field.name not in fields:
            raise UserError(f"{where} needs the field {field.name!r}")


def group(value: Any, where: str) -> Mapping[str, Any]:
    """Return ``value``, which must be a group of fields."""
    if not isinstance(value, Mapping):
        raise UserError(f"{where}={value!r} must be a group of fields")
    return value


def tuples(fields: Mapping[str, Any], *names: str, where: str) -> dict[str, tuple[Any, ...]]:
    """Return the named lists of ``fields`` as tuples; one text alone is a list of one."""
    found = {}
    for name in names:
        value = fields.get(name, ())
        if not isinstance(value, (str, list, tuple)):
            raise UserError(f"{where}.{name}={value!r} must be a list of texts")
        found[name] = (value,) if isinstance(value, str) else tuple(value)
    return found


def one_of(value: Any, choices: Iterable[str], where: str) -> None:
    """Refuse a value that is none of ``choices``."""
    names = list(choices)
    if value not in names:
        raise UserError(f"{where}={value!r} is unknown{did_you_mean(str(value), names)}; one of: {', '.join(names)}")


def text(value: Any, where: str) -> None:
    """Refuse what is not one line of text."""
    if not isinstance(value, str) or any(ord(letter) < 32 for letter in value):
        raise UserError(f"{where}={value!r} must be one line of text")


def whole(value: Any, low: int, high: int, where: str) -> None:
    """Refuse what is not a whole number from ``low`` to ``high``."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{where}={value!r} must be a whole number from {low} to {high}")


def read_secrets(fields: Any, where: str) -> dict[str, Secret]:
    """Read a group of environment variable name to ``secret`` and ``key``; a value there is not repeated."""
    if not isinstance(fields, Mapping):
        raise UserError(f"{where} must be a group of variables, each with the names in secret and key, never a value")
    for variable, place in fields.items():
        if not isinstance(place, Mapping):
            raise UserError(f"{where}.{variable} must be a group with the names in secret and key, never a value")
        known(place, Secret, f"{where}.{variable}")
    return {variable: Secret(**place) for variable, place in fields.items()}


def check_secrets(secrets: Mapping[str, Secret], where: str) -> None:
    """Refuse what is no name. The refused text is not repeated: somebody may have put the secret itself there."""
    for variable, place in secrets.items():
        check_variable(variable)
        good = isinstance(place.secret, str) and SECRET_NAME.fullmatch(place.secret) and len(place.secret) <= 253
        if not good:
            raise UserError(f"{where}.{variable}.secret is no name of a Kubernetes secret; put its name, never a value")
        if not (isinstance(place.key, str) and SECRET_KEY.fullmatch(place.key) and len(place.key) <= 253):
            raise UserError(f"{where}.{variable}.key is no key of a Kubernetes secret; put its name, never a value")


def check_variable(name: str) -> None:
    """Refuse what is no name of an environment variable."""
    if not ENV_NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name of an environment variable; use A-Z, digits and _")


def check_image(image: str, where: str) -> None:
    """Refuse what is no image, and an image that may be another one tomorrow."""
    if not IMAGE.fullmatch(image):
        raise UserError(f"{where}={image!r} is no image; use REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST")
    _, _, tag = image.rpartition("/")[2].partition(":")
    if tag in ("", "latest") and "@sha256:" not in image:
        raise UserError(f"{where}={image!r} has no fixed tag or digest; a restart could run other code than the start")
