"""From a config in ``configs/launch/`` to a job: its fields read once and checked, each error in a line."""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.endpoints import TEACHER_ENVIRONMENT
from octomed_jax.launching.fields import (
    SECRET_VARIABLE,
    check_secrets,
    check_variable,
    group,
    known,
    one_of,
    read_secrets,
    text,
    tuples,
    whole,
)
from octomed_jax.launching.measured import grace_of
from octomed_jax.launching.mounts import check_mounts
from octomed_jax.launching.read_teacher import check_teacher, read_teacher
from octomed_jax.launching.spec import SHARED, Command, JobSpec

# A Kubernetes name must be a DNS label; JobSet also makes a service of it, which must begin with a letter.
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
NAME_LIMIT = 63
OPTION = re.compile(r"[a-z][a-z0-9-]*(=.+)?")
VERB = re.compile(r"[a-z]+( [a-z]+)?")
# What clouds and Slurm call a place: no space and nothing that a shell reads. YOUR_... of a sample config passes.
PLACE = re.compile(r"[A-Za-z0-9]([-_.:a-zA-Z0-9]*[A-Za-z0-9])?")

CAPACITIES = ("spot", "reserved", "on_demand")
# What the back ends set themselves; a job that sets them too would start as something else than it says.
OWN_ENVIRONMENT = (
    *("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "JAX_PLATFORMS", "XLA_FLAGS"),
    "OCTOMED_HOST_INDEX",
    *TEACHER_ENVIRONMENT,
)


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
    known(fields, JobSpec, "the launch config")
    command = group(fields["command"], "command")
    known(command, Command, "command")
    spec = JobSpec(
        **{
            **fields,
            "command": Command(**{**command, **tuples(command, "overrides", "options", where="command")}),
            "environment": dict(group(fields.get("environment", {}), "environment")),
            # On the command line a mount of the config can be emptied, not removed.
            "mounts": {
                path: source for path, source in group(fields.get("mounts", {}), "mounts").items() if source != ""
            },
            "secrets": read_secrets(fields.get("secrets", {}), "secrets"),
            "teacher": read_teacher(fields.get("teacher")),
        }
    )
    _check_types(spec)
    _check_names(spec)
    _check_machines(spec)
    _check_environment(spec)
    check_mounts(spec.mounts)
    if spec.teacher:
        check_teacher(spec.teacher)
    _check_command(spec, list(verbs), [Path(root) for root in roots])
    if not spec.grace_seconds:
        spec = dataclasses.replace(spec, grace_seconds=grace_of(spec.workdir))
    return spec


def _check_types(spec: JobSpec) -> None:
    """Text must be text, and numbers whole and in range."""
    for name in ("name", "workdir", "accelerator", "topology", "capacity", "reservation", "image", "bundle"):
        text(getattr(spec, name), name)
    for name in ("service_account", "priority", "project", "zone", "cluster", "namespace", "partition", "account"):
        text(getattr(spec, name), name)
    for name in ("verb", "config"):
        text(getattr(spec.command, name), f"command.{name}")
    limits = {
        "slices": (1, 256),
        "retries": (0, 10_000),
        "grace_seconds": (0, 86_400),
        "hours": (1, 8760),
        "processes": (1, 64),
        "devices": (1, 512),
        "port": (1024, 65_535),
    }
    for name, (low, high) in limits.items():
        whole(getattr(spec, name), low, high, name)


def _check_names(spec: JobSpec) -> None:
    for where in ("name", "service_account", "priority", "namespace"):
        name = getattr(spec, where)
        if (name or where in ("name", "namespace")) and not (NAME.fullmatch(name) and len(name) <= NAME_LIMIT):
            raise UserError(
                f"{where}={name!r} is no Kubernetes name; use at most {NAME_LIMIT} letters a-z, digits and hyphens, "
                "a letter first"
            )
    for where in ("project", "zone", "cluster", "reservation", "partition", "account"):
        name = getattr(spec, where)
        if name and not PLACE.fullmatch(name):
            raise UserError(f"{where}={name!r} is no name of one; use letters, digits, - _ . and :")
    if not spec.workdir:
        raise UserError("workdir is empty; name the folder of the run, such as gs://BUCKET/NAME")
    if "://" in spec.workdir and not re.match(r"\w+://[^/]", spec.workdir):
        raise UserError(f"workdir={spec.workdir!r} names no bucket; use a folder in one, such as gs://BUCKET/NAME")


def _check_machines(spec: JobSpec) -> None:
    one_of(spec.accelerator, ACCELERATORS, "accelerator")
    one_of(spec.topology, ACCELERATORS[spec.accelerator].hosts, f"topology of {spec.accelerator}")
    one_of(spec.capacity, CAPACITIES, "capacity")
    if (spec.capacity == "reserved") != bool(spec.reservation):
        raise UserError("capacity='reserved' and a reservation's name go together; set both or neither")
    if spec.slices > 1 and not ACCELERATORS[spec.accelerator].is_tpu:
        raise UserError(f"slices={spec.slices}: {spec.accelerator} has no slices; choose a topology with more hosts")
    if spec.accelerator == "cpu" and spec.hosts > 1 and spec.command.verb not in SHARED:
        raise UserError(
            f"topology={spec.topology!r}: hosts without chips can share the work of {', '.join(SHARED)} only, and each "
            f"would do all of {spec.command.verb!r}; use topology='1'"
        )


def _check_environment(spec: JobSpec) -> None:
    for name, value in spec.environment.items():
        text(value, f"environment.{name}")
    for name in (*spec.environment, *spec.secrets):
        check_variable(name)
        if name in OWN_ENVIRONMENT:
            raise UserError(f"{name} is set by the back end; remove it from the launch config")
    both = sorted(spec.environment.keys() & spec.secrets.keys())
    if both:
        raise UserError(f"{both[0]} stands in both environment and secrets; keep it in secrets")
    for name in spec.environment:
        if SECRET_VARIABLE.fullmatch(name):
            raise UserError(f"environment.{name}: by its name it is a secret; put where it is kept into secrets.{name}")
    check_secrets(spec.secrets, "secrets")


def _check_command(spec: JobSpec, verbs: list[str], roots: list[Path]) -> None:
    command = spec.command
    if not VERB.fullmatch(command.verb):
        raise UserError(f"command.verb={command.verb!r} must be a verb, with its subverb where it has one: 'eval run'")
    if verbs:
        one_of(command.verb.partition(" ")[0], verbs, "command.verb")
    for override in command.overrides:
        text(override, "command.overrides")
        if override.partition("=")[0] == "run":
            raise UserError("command.overrides: 'run' is the job's workdir; set workdir instead")
    for option in command.options:
        text(option, "command.options")
        if not OPTION.fullmatch(option):
            raise UserError(
                f"command.options: {option!r} must be name=value, such as shards=runs/demo/shards, "
                "or the name of a flag"
            )
        if option.partition("=")[0] == "shard" and spec.hosts > 1:
            raise UserError("command.options: 'shard' is set by the back end, for each host its own; remove it")
    path, arg = configuration.split_spec(command.config)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"command.config={command.config!r} must lie inside the project, which is what the image holds")
    found = next((root / path for root in roots if (root / path).is_file()), None)
    if found is None:
        raise UserError(f"command.config: no such config file: {path}; run this from the root of the project")
    # The very overrides that the job will read, so that a typing mistake costs no chips.
    overrides = (f"run={spec.workdir}", *command.overrides)
    configuration.load(str(found) if arg is None else f"{found}:{arg}", overrides)
