"""The group ``teacher`` of a launch config: read once and checked, each error in a line."""

import dataclasses
import re
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.fields import (
    check_image,
    check_secrets,
    group,
    known,
    one_of,
    read_secrets,
    text,
    tuples,
    whole,
)
from octomed_jax.launching.spec import Teacher
from octomed_jax.launching.teacher_command import vllm_words

# A command line can be read by others; these belong into teacher.secrets.
SECRET_OPTIONS = {"--api-key": "VLLM_API_KEY", "--hf-token": "HF_TOKEN"}
MODEL = re.compile(r"[\w./][-\w./:@+]*", re.ASCII)
# Short for what the fields set, as vLLM and argparse take them.
SHORT = {"-tp": "--tensor-parallel-size", "-pp": "--pipeline-parallel-size", "-n": "--nnodes", "-r": "--node-rank"}
# vLLM splits a model over nodes by these, which the manifest sets for each node.
NODE_OPTIONS = ("--pipeline-parallel-size", "--nnodes", "--node-rank", "--master-addr", "--master-port", "--headless")


def read_teacher(fields: Any) -> Teacher | None:
    """Read the group; nothing, or an empty group, is no teacher."""
    if not fields:
        return None
    known(group(fields, "teacher"), Teacher, "teacher")
    secrets = read_secrets(fields.get("secrets", {}), "teacher.secrets")
    return Teacher(**{**fields, **tuples(fields, "extra", where="teacher"), "secrets": secrets})


def check_teacher(teacher: Teacher) -> None:
    """Refuse a teacher that no back end could run.

    Raises:
        UserError: naming the field.
    """
    for name in ("model", "revision", "image", "accelerator"):
        text(getattr(teacher, name), f"teacher.{name}")
    if not teacher.model:
        raise UserError("teacher.model is empty; name a model of the hub, such as Qwen/Qwen2.5-VL-72B-Instruct")
    if not MODEL.fullmatch(teacher.model):
        raise UserError(f"teacher.model={teacher.model!r} is no name of a model, no path and no bucket's address")
    check_image(teacher.image, "teacher.image")
    gpus = [name for name, machine in ACCELERATORS.items() if machine.is_gpu]
    one_of(teacher.accelerator, gpus, "teacher.accelerator")
    limits = {
        "gpus": (1, ACCELERATORS[teacher.accelerator].chips_per_host),
        "nodes": (1, 16),
        "replicas": (1, 64),
        "max_model_len": (256, 10_000_000),
        "images": (0, 1000),
        "port": (1024, 65_535),
    }
    for name, (low, high) in limits.items():
        whole(getattr(teacher, name), low, high, f"teacher.{name}")
    if teacher.nodes > 1 and teacher.gpus != ACCELERATORS[teacher.accelerator].chips_per_host:
        raise UserError(f"teacher.gpus={teacher.gpus}: a copy on {teacher.nodes} nodes takes all GPUs of each")
    _check_extra(teacher)
    check_secrets(teacher.secrets, "teacher.secrets")


def _check_extra(teacher: Teacher) -> None:
    """Refuse options that the manifest sets from the fields, and those that would hold a secret."""
    own = {word for word in vllm_words(dataclasses.replace(teacher, extra=())) if word.startswith("--")}
    for word in teacher.extra:
        text(word, "teacher.extra")
        option = word.partition("=")[0].replace("_", "-")
        for secret, variable in SECRET_OPTIONS.items():
            if _means(option, secret):
                raise UserError(f"teacher.extra holds {secret}; put {variable} into teacher.secrets by name")
        if any(_means(option, one) for one in (*own, *NODE_OPTIONS)):
            raise UserError(f"teacher.extra holds {option}, which the fields of teacher set; remove it there")


def _means(option: str, whole: str) -> bool:
    """Return whether a command line that takes shortened options takes this one for ``whole``."""
    shortened = option.startswith("--") and len(option) > len("--x") and whole.startswith(option.lower())
    return shortened or SHORT.get(option) == whole
