"""From a config in ``configs/launch/`` to a job: its fields read once and checked, each error in a line."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from octomed_jax import configuration
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.spec import Command, JobSpec, Secret, Teacher

# A Kubernetes name must be a DNS label; JobSet also makes a service of it, which must begin with a letter.
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
NAME_LIMIT = 63
ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
OPTION = re.compile(r"[a-z][a-z-]*=.+")
SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]+")

CAPACITIES = ("spot", "reserved", "on_demand")
# What the back ends set themselves; a job that sets them too would start as something else than it says.
OWN_ENVIRONMENT = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "JAX_PLATFORMS", "XLA_FLAGS")


def read_spec(config: Any, verbs: Iterable[str] = (), roots: Iterable[Path] = (Path(),)) -> JobSpec:
    """Read and check a launch config.

    Args:
        config: a ConfigDict with the fields of JobSpec.
        verbs: the verbs the command may be one of; empty: not checked.
        roots: folders in which the command's config file is looked for, in this order.

    Raises:
        UserError: an unknown or missing field, or a value that no back end could run.
    """
    fields = configuration.plain(config)
    _known(fields, JobSpec, "the launch config")
    _known(_group(fields["command"], "command"), Command, "command")
    secrets = _group(fields.get("secrets", {}), "secrets")
    for variable, place in secrets.items():
        _known(_group(place, f"secrets.{variable}"), Secret, f"secrets.{variable}")
    command = fields["command"]
    spec = JobSpec(
        **{
            **fields,
            "command": Command(**{**command, **_tuples(command, "overrides", "options")}),
            "environment": dict(_group(fields.get("environment", {}), "environment")),
            "secrets": {variable: Secret(**place) for variable, place in secrets.items()},
            "teacher": _teacher(fields.get("teacher")),
        }
    )
    _check_types(spec)
    _check_names(spec)
    _check_machines(spec)
    _check_environment(spec)
    _check_command(spec, list(verbs), [Path(root) for root in roots])
    return spec


def _teacher(fields: Any) -> Teacher | None:
    """Read the group ``teacher``; nothing, or an empty group, is no teacher."""
    if not fields:
        return None
    group = _group(fields, "teacher")
    _known(group, Teacher, "teacher")
    secrets = _group(group.get("secrets", {}), "teacher.secrets")
    for variable, place in secrets.items():
        _known(_group(place, f"teacher.secrets.{variable}"), Secret, f"teacher.secrets.{variable}")
    read = {variable: Secret(**place) for variable, place in secrets.items()}
    return Teacher(**{**group, **_tuples(group, "extra"), "secrets": read})


def _known(fields: Mapping[str, Any], kind: Any, where: str) -> None:
    """Refuse fields that ``kind`` (a dataclass) has not, and missing ones that it needs."""
    names = [field.name for field in dataclasses.fields(kind)]
    for name in fields:
        if name not in names:
            raise UserError(f"no field {name!r} in {where}{did_you_mean(name, names)}; known: {', '.join(names)}")
    for field in dataclasses.fields(kind):
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and field.name not in fields:
            raise UserError(f"{where} needs the field {field.name!r}")


def _tuples(fields: Mapping[str, Any], *names: str) -> dict[str, tuple[Any, ...]]:
    """Return the named lists of ``fields`` as tuples; one text alone is a list of one."""
    values = {name: fields.get(name, ()) for name in names}
    return {name: (value,) if isinstance(value, str) else tuple(value) for name, value in values.items()}


def _group(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}={value!r} must be a group of fields")
    return value


def _one_of(value: Any, known: Iterable[str], where: str) -> None:
    names = list(known)
    if value not in names:
        raise UserError(f"{where}={value!r} is unknown{did_you_mean(str(value), names)}; one of: {', '.join(names)}")


def _check_types(spec: JobSpec) -> None:
    """Text must be text, and numbers whole and in range."""
    text = ("name", "workdir", "accelerator", "topology", "capacity", "reservation", "image", "service_account")
    for name in (*text, "priority"):
        _text(getattr(spec, name), name)
    for name in ("verb", "config"):
        _text(getattr(spec.command, name), f"command.{name}")
    limits = {
        "slices": (1, 256),
        "retries": (0, 10_000),
        "grace_seconds": (1, 86_400),
        "processes": (1, 64),
        "devices": (1, 512),
        "port": (1024, 65_535),
    }
    for name, (low, high) in limits.items():
        value = getattr(spec, name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise UserError(f"{name}={value!r} must be a whole number from {low} to {high}")


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str) or any(ord(letter) < 32 for letter in value):
        raise UserError(f"{where}={value!r} must be one line of text")


def _check_names(spec: JobSpec) -> None:
    for where, name in (("name", spec.name), ("service_account", spec.service_account), ("priority", spec.priority)):
        if (name or where == "name") and not (NAME.fullmatch(name) and len(name) <= NAME_LIMIT):
            raise UserError(
                f"{where}={name!r} is no Kubernetes name; use at most {NAME_LIMIT} letters a-z, digits and hyphens, "
                "a letter first"
            )
    if not spec.workdir:
        raise UserError("workdir is empty; name the folder of the run, such as gs://BUCKET/NAME")


def _check_machines(spec: JobSpec) -> None:
    _one_of(spec.accelerator, ACCELERATORS, "accelerator")
    _one_of(spec.topology, ACCELERATORS[spec.accelerator].hosts, f"topology of {spec.accelerator}")
    _one_of(spec.capacity, CAPACITIES, "capacity")
    if (spec.capacity == "reserved") != bool(spec.reservation):
        raise UserError("capacity='reserved' and a reservation's name go together; set both or neither")
    if spec.slices > 1 and not ACCELERATORS[spec.accelerator].is_tpu:
        raise UserError(f"slices={spec.slices}: {spec.accelerator} has no slices; choose a topology with more hosts")


def _check_environment(spec: JobSpec) -> None:
    for name, value in spec.environment.items():
        _text(value, f"environment.{name}")
    for name in (*spec.environment, *spec.secrets):
        if not ENV_NAME.fullmatch(name):
            raise UserError(f"{name!r} is no name of an environment variable; use A-Z, digits and _")
        if name in OWN_ENVIRONMENT:
            raise UserError(f"{name} is set by the back end; remove it from the launch config")
    both = sorted(spec.environment.keys() & spec.secrets.keys())
    if both:
        raise UserError(f"{both[0]} stands in both environment and secrets; keep it in secrets")
    for variable, place in spec.secrets.items():
        # The refused text is not repeated: somebody may have put the secret itself there.
        good = isinstance(place.secret, str) and SECRET_NAME.fullmatch(place.secret) and len(place.secret) <= 253
        if not good:
            raise UserError(f"secrets.{variable}.secret is no name of a Kubernetes secret; put its name, never a value")
        if not (isinstance(place.key, str) and SECRET_KEY.fullmatch(place.key) and len(place.key) <= 253):
            raise UserError(f"secrets.{variable}.key is no key of a Kubernetes secret; put its name, never a value")


def _check_command(spec: JobSpec, verbs: list[str], roots: list[Path]) -> None:
    command = spec.command
    if verbs:
        _one_of(command.verb.partition(" ")[0], verbs, "command.verb")
    for override in command.overrides:
        _text(override, "command.overrides")
        if override.partition("=")[0] == "run":
            raise UserError("command.overrides: 'run' is the job's workdir; set workdir instead")
    for option in command.options:
        _text(option, "command.options")
        if not OPTION.fullmatch(option):
            raise UserError(f"command.options: {option!r} must be name=value, such as shards=runs/demo/shards")
    path, arg = configuration.split_spec(command.config)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"command.config={command.config!r} must lie inside the project, which is what the image holds")
    found = next((root / path for root in roots if (root / path).is_file()), None)
    if found is None:
        raise UserError(f"command.config: no such config file: {path}; run this from the root of the project")
    # The very overrides that the job will read, so that a typing mistake costs no chips.
    overrides = (f"run={spec.workdir}", *command.overrides)
    configuration.load(str(found) if arg is None else f"{found}:{arg}", overrides)
