"""TPU machines from the queue of Cloud TPU, each of which runs the trainer's image when it starts.

Cloud TPU starts nothing again by itself: the start-up script acts on exit codes, and ``supervise.sh``, on any machine
that stays on, asks for new TPUs when spot ones were taken away. Both read a small file in the work folder, ``state``:
``running``, ``stop`` (save and end) or ``ended CODE``.
"""

import re
import shlex
from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.launching.backends import cloud_tpu, queued_state
from octomed_jax.launching.backends.base import Backend, Commands, Files, LogOptions
from octomed_jax.launching.backends.fields import (
    check_rank,
    need,
    need_bucket,
    need_image,
    need_tpu,
    need_train,
    refuse,
)
from octomed_jax.launching.backends.queued_scripts import render_startup, render_stop, render_supervise
from octomed_jax.launching.backends.shell import check_bash
from octomed_jax.launching.backends.state_file import ask_file, state_path
from octomed_jax.launching.spec import JobSpec

STARTUP = "startup.sh"
SUPERVISE = "supervise.sh"
STOP = "stop.sh"
RUNNING = "running.state"
METADATA_LIMIT = 256 * 1024  # bytes of one metadata value
NAME_LIMIT = 57  # a slice is named NAME-0, and its machines have names made of that
CREATE = ["gcloud", "compute", "tpus", "queued-resources", "create"]
# Flags of CREATE that are used here, with what their values look like.
FLAGS = {
    "project": r"[a-z][-a-z0-9.:]*",
    "zone": r"[a-z]+-[a-z]+[0-9]+-[a-z]",
    "accelerator-type": r"(v5litepod|v6e)-[0-9]+",
    "runtime-version": "|".join(cloud_tpu.RUNTIMES.values()),
    "node-id": r"[a-z][-a-z0-9]*",
    "node-count": r"[0-9]+",
    "node-prefix": r"[a-z][-a-z0-9]*",
    "service-account": r"\S+@\S+",
    "scopes": r"https://www\.googleapis\.com/auth/cloud-platform",
    "metadata-from-file": r"startup-script=.+",
    "labels": r"octomed=[-a-z0-9]+",
    "spot": None,
    "reserved": None,
    "reservation": r"\S+",
}


def create_words(spec: JobSpec, startup: str) -> list[str]:
    """Return the command that asks for the TPUs; ``startup`` is the path of the start-up script."""
    place = [f"--project={spec.project}", f"--zone={spec.zone}"]
    if spec.slices > 1:
        nodes = [f"--node-count={spec.slices}", f"--node-prefix={spec.name}"]
    else:
        nodes = [f"--node-id={spec.name}"]
    capacity = {"spot": ["--spot"], "reserved": ["--reserved", f"--reservation={spec.reservation}"], "on_demand": []}
    # Only the alpha command knows a reservation's name.
    words = ["gcloud", "alpha", *CREATE[1:]] if spec.capacity == "reserved" else list(CREATE)
    return [
        *words,
        spec.name,
        *place,
        f"--accelerator-type={cloud_tpu.accelerator_type(spec)}",
        f"--runtime-version={cloud_tpu.runtime_version(spec)}",
        *nodes,
        *capacity[spec.capacity],
        *([f"--service-account={spec.service_account}"] if spec.service_account else []),
        "--scopes=https://www.googleapis.com/auth/cloud-platform",
        f"--labels=octomed={spec.name}",
        f"--metadata-from-file=startup-script={startup}",
    ]


def _files(spec: JobSpec) -> Files:
    need_tpu(spec, "the queue of Cloud TPU")
    need_image(spec)
    need_bucket(spec)
    need(spec, {"project": "the Google Cloud project", "zone": "the zone of the TPUs, such as us-east5-b"})
    refuse(
        spec,
        {
            "priority": "the queue of Cloud TPU has none; leave it empty",
            "teacher": "queued resources have no GPUs; use jobset, or write the traces first (`octomed distill`)",
        },
    )
    if spec.service_account and "@" not in spec.service_account:
        raise UserError(
            f"service_account={spec.service_account!r}: Cloud TPU wants none of Kubernetes; leave it empty for the "
            "project's default one"
        )
    need_train(spec, spec.slices * cloud_tpu.workers(spec))
    if len(spec.name) > NAME_LIMIT:
        raise UserError(f"name={spec.name!r} is {len(spec.name) - NAME_LIMIT} letters too long for a Cloud TPU")
    return {
        STARTUP: render_startup(spec, state_path(spec)),
        SUPERVISE: render_supervise(spec, state_path(spec), create_words(spec, STARTUP)),
        STOP: render_stop(spec, state_path(spec), _delete(spec)),
        RUNNING: "running\n",
    }


def _check(files: Files) -> None:
    """Refuse what bash cannot read, and a command that ``gcloud`` would not take.

    Raises:
        UserError: with file and word.
    """
    for name, text in files.items():
        if name.endswith(".sh"):
            check_bash(name, text)
    if len(files[STARTUP].encode()) > METADATA_LIMIT:
        raise UserError(f"{STARTUP} is larger than a metadata value may be ({METADATA_LIMIT} bytes)")
    text = files[SUPERVISE].replace("\\\n", " ")
    found = re.search(r"^ *gcloud( alpha)? compute tpus queued-resources create .*$", text, re.MULTILINE)
    if not found:
        raise UserError(f"{SUPERVISE}: no command that creates the TPUs")
    check_create(shlex.split(found[0]), SUPERVISE)


def check_create(words: list[str], where: str) -> None:
    """Refuse words of ``gcloud compute tpus queued-resources create`` that are none of its flags.

    Raises:
        UserError: with the word.
    """
    for word in words[words.index("create") + 2 :]:
        name, _, value = word.removeprefix("--").partition("=")
        pattern = FLAGS.get(name, "")
        if pattern == "" or not word.startswith("--"):
            raise UserError(f"{where}: `gcloud compute tpus queued-resources create` has no {word}")
        if ("=" in word) != (pattern is not None) or (pattern and not re.fullmatch(pattern, value)):
            raise UserError(f"{where}: gcloud does not take {word}")


def _place(spec: JobSpec) -> list[str]:
    return [f"--project={spec.project}", f"--zone={spec.zone}"]


def _delete(spec: JobSpec) -> list[str]:
    words = ["gcloud", "compute", "tpus", "queued-resources", "delete", spec.name, *_place(spec)]
    return [*words, "--force", "--quiet"]


def _up(spec: JobSpec, folder: Path) -> Commands:
    state = ["gcloud", "storage", "cp", str(folder / RUNNING), state_path(spec)]
    return [state, create_words(spec, str(folder / STARTUP))]


def _logs(spec: JobSpec, _: Path, options: LogOptions) -> Commands:
    """Read Cloud Logging, newest first; each line there has the name of its container, NAME-SLICE-WORKER."""
    check_rank(options.rank, spec.slices * cloud_tpu.workers(spec))
    if options.rank is None:
        which = "[0-9]+-[0-9]+"
    else:
        which = "-".join(str(part) for part in divmod(options.rank, cloud_tpu.workers(spec)))
    wanted = f'logName:"gcplogs-docker-driver" AND jsonPayload.container.name=~"^/?{spec.name}-{which}$"'
    shape = "--format=value(timestamp,jsonPayload.container.name,jsonPayload.message)"
    if options.follow:
        if options.tail or options.since:
            raise UserError("follow: Cloud Logging shows either new lines or old ones; leave out tail and since")
        return [["gcloud", "beta", "logging", "tail", wanted, f"--project={spec.project}", shape]]
    words = ["gcloud", "logging", "read", wanted, f"--project={spec.project}", shape]
    words += [f"--limit={options.tail}"] if options.tail else []
    return [[*words, f"--freshness={options.since or '30d'}"]]


QUEUED_RESOURCES = Backend(
    name="queued_resources",
    files=_files,
    check=_check,
    tools=("gcloud",),
    up=_up,
    status=lambda spec, _: [
        ["gcloud", "compute", "tpus", "queued-resources", "describe", spec.name, *_place(spec)],
        ask_file(spec),
    ],
    stop=lambda _, folder: [["bash", str(folder / STOP)]],
    down=lambda spec, _: [_delete(spec)],
    logs=_logs,
    ask_state=lambda spec, _: queued_state.ask_state(spec),
    read_state=lambda _, answers: queued_state.read_state(answers),
    removed=lambda spec: [
        f"queued resource {spec.name} of {spec.project}, {spec.zone}",
        *[
            f"TPU {node} ({cloud_tpu.accelerator_type(spec)}) with all its machines and what lies on their disks"
            for node in node_names(spec)
        ],
    ],
)


def node_names(spec: JobSpec) -> list[str]:
    """Return what the slices of a job are called."""
    return [spec.name] if spec.slices == 1 else [f"{spec.name}-{number}" for number in range(spec.slices)]
