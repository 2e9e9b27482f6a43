"""What several back ends ask of a spec, and the refusals for what one of them does not have."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from octomed_jax.errors import UserError
from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.fields import check_image
from octomed_jax.launching.spec import JobSpec, Teacher

BUCKET = "gs://"


def refuse(spec: JobSpec, why: Mapping[str, str]) -> None:
    """Refuse the fields of ``why`` where the spec sets them.

    Args:
        spec: the job.
        why: field to what the back end has not, and the cure.

    Raises:
        UserError: one of the fields is set.
    """
    for name, reason in why.items():
        value = getattr(spec, name)
        if value:
            shown = ", ".join(value) if isinstance(value, Mapping) else value
            raise UserError(f"{name}={shown.model if isinstance(shown, Teacher) else shown}: {reason}")


def need(spec: JobSpec, what: Mapping[str, str]) -> None:
    """Refuse a spec that leaves a field of ``what`` (field to what stands in it) empty.

    Raises:
        UserError: one of the fields is empty.
    """
    for name, meaning in what.items():
        if not getattr(spec, name):
            raise UserError(f"{name} is empty; name {meaning}")


def need_image(spec: JobSpec) -> None:
    """Refuse a spec without an image, or with one that may change between a start and a restart.

    Raises:
        UserError: so.
    """
    need(spec, {"image": "the trainer's image with a fixed tag (launch/trainer.Dockerfile makes it)"})
    check_image(spec.image, "image")


def need_bucket(spec: JobSpec) -> None:
    """Refuse a work folder that is lost with the machine.

    Raises:
        UserError: so.
    """
    if not spec.workdir.startswith(BUCKET):
        raise UserError(
            f"workdir={spec.workdir!r} is lost with the machine; use a bucket, such as {BUCKET}BUCKET/{spec.name}"
        )


def need_tpu(spec: JobSpec, place: str) -> None:
    """Refuse a job that is not for TPUs.

    Raises:
        UserError: so.
    """
    if not ACCELERATORS[spec.accelerator].is_tpu:
        known = ", ".join(name for name, machine in ACCELERATORS.items() if machine.is_tpu)
        raise UserError(
            f"accelerator={spec.accelerator!r}: {place} has only TPUs; one of: {known}, or another --backend"
        )


def need_train(spec: JobSpec, machines: int) -> None:
    """Refuse what only one machine can do, where the job has more.

    Raises:
        UserError: so.
    """
    if machines > 1 and spec.command.verb != "train":
        raise UserError(
            f"topology={spec.topology!r}: each of {machines} machines would do all of `octomed {spec.command.verb}`, "
            "which runs on one machine; choose one with one"
        )


def check_rank(rank: int | None, ranks: int) -> None:
    """Refuse the rank of a process that the job has not.

    Raises:
        UserError: so.
    """
    if rank is not None and rank >= ranks:
        raise UserError(f"--rank={rank}: the job has ranks 0 to {ranks - 1}")


def need_absolute_bundle(spec: JobSpec, meaning: str) -> None:
    """Refuse a bundle that is no absolute path.

    Raises:
        UserError: so.
    """
    need(spec, {"bundle": meaning})
    if not PurePosixPath(spec.bundle).is_absolute():
        raise UserError(f"bundle={spec.bundle!r} must be an absolute path: {meaning}")
