"""A managed job for SkyPilot on Google Cloud: one TPU slice, or GPU or CPU machines, found and found again by it.

It sends a folder with the project (``bundle``) and makes an environment of it; images are not used. SkyPilot restarts
a job whose machines were taken away. Of exit codes it only knows some that restart it and a number of times for all
others, so the script on the machines acts on them itself, as ``exit_policy`` says.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.backends import cloud_tpu, sky_state
from octomed_jax.launching.backends.base import Backend, Commands, Files, LogOptions
from octomed_jax.launching.backends.fields import need, need_bucket, refuse
from octomed_jax.launching.backends.shell import check_bash
from octomed_jax.launching.backends.sky_scripts import bucket_path, render_run, render_setup
from octomed_jax.launching.backends.state_file import state_path
from octomed_jax.launching.exit_policy import TRY_AGAIN
from octomed_jax.launching.mounts import mounts_of
from octomed_jax.launching.spec import JobSpec

FILE = "sky.yaml"
STOP = "stop.state"
RUNNING = "running.state"
GPUS = {"h100": "H100"}
HEADER = """\
# Rendered by `octomed launch render --backend=skypilot`; change the launch config, not this file.
# Start it:  sky jobs launch {file}   (secrets are passed by name: --secret NAME)
"""
# The fields of a task that are used here, with their types, or what their texts look like; a group has its fields.
MOUNT_FIELDS = {"source": re.compile(r"gs://.+"), "mode": re.compile("MOUNT")}
FIELDS: dict[str, Any] = {
    "name": str,
    "resources": {
        "infra": re.compile(r"gcp(/[a-z0-9-]+(/[a-z0-9-]+)?)?"),
        "accelerators": re.compile(r"tpu-(v5litepod|v6e)-[0-9]+|H100:[0-9]+"),
        "accelerator_args": {"runtime_version": re.compile("|".join(cloud_tpu.RUNTIMES.values())), "tpu_vm": bool},
        "use_spot": bool,
        "job_recovery": {"max_restarts_on_errors": int, "recover_on_exit_codes": list},
    },
    "num_nodes": int,
    "workdir": str,
    "file_mounts": dict,
    "envs": dict,
    "secrets": dict,
    "setup": str,
    "run": str,
}


def build_task(spec: JobSpec) -> dict[str, Any]:
    """Return the task as plain data."""
    machine = ACCELERATORS[spec.accelerator]
    resources: dict[str, Any] = {"infra": _infra(spec)}
    if machine.is_tpu:
        resources["accelerators"] = f"tpu-{cloud_tpu.accelerator_type(spec)}"
        resources["accelerator_args"] = {"runtime_version": cloud_tpu.runtime_version(spec), "tpu_vm": True}
    elif machine.is_gpu:
        resources["accelerators"] = f"{GPUS[spec.accelerator]}:{machine.chips_per_host}"
    resources["use_spot"] = spec.capacity == "spot"
    resources["job_recovery"] = {"max_restarts_on_errors": 0, "recover_on_exit_codes": [TRY_AGAIN]}
    task: dict[str, Any] = {"name": spec.name, "resources": resources}
    if not machine.is_tpu:
        task["num_nodes"] = spec.hosts  # all machines of a TPU slice are one node to SkyPilot, and all run the script
    task["workdir"] = spec.bundle
    if spec.mounts:
        # SkyPilot mounts whole buckets only, to be written too; the setup makes links to the folders that are wanted.
        buckets = sorted({one.bucket for one in mounts_of(spec)})
        task["file_mounts"] = {bucket_path(name): {"source": f"gs://{name}", "mode": "MOUNT"} for name in buckets}
    if spec.environment:
        task["envs"] = dict(sorted(spec.environment.items()))
    if spec.secrets:
        task["secrets"] = dict.fromkeys(sorted(spec.secrets))  # null: given by name when the job is started
    task["setup"] = render_setup(spec)
    task["run"] = render_run(spec, state_path(spec))
    return task


def _infra(spec: JobSpec) -> str:
    region = spec.zone.rpartition("-")[0]
    return f"gcp/{region}/{spec.zone}" if spec.zone else "gcp"


class _Dumper(yaml.SafeDumper):
    """Writes scripts as one can read them."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def _files(spec: JobSpec) -> Files:
    need(spec, {"bundle": "the folder of the project, such as . (SkyPilot sends it and makes an environment of it)"})
    need_bucket(spec)
    refuse(
        spec,
        {
            "reservation": "SkyPilot has its own setting (gcp.specific_reservations); use on_demand",
            "priority": "SkyPilot has none by name; leave it empty",
            "service_account": "SkyPilot has its own setting (gcp.remote_identity); leave it empty",
            "teacher": "not beside a SkyPilot job; use jobset, or write the traces first (`octomed distill`)",
        },
    )
    if spec.slices > 1:
        raise UserError(f"slices={spec.slices}: SkyPilot has one slice a job; use jobset, xpk or queued_resources")
    verb = spec.command.verb
    machines = cloud_tpu.workers(spec) if ACCELERATORS[spec.accelerator].is_tpu else spec.hosts
    if machines > 1 and verb not in ("train", "distill"):
        raise UserError(
            f"topology={spec.topology!r}: `octomed {verb}` runs on one machine; only train and distill run on more"
        )
    text = yaml.dump(build_task(spec), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return {FILE: HEADER.format(file=FILE) + text, RUNNING: "running\n", STOP: "stop\n"}


def _check(files: Files) -> None:
    """Refuse what is no task: unknown fields, wrong types, and scripts that bash cannot read.

    Raises:
        UserError: with the place.
    """
    try:
        task = yaml.safe_load(files[FILE])
    except yaml.YAMLError as error:
        raise UserError(f"{FILE} is no YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(task, dict):
        raise UserError(f"{FILE} holds no task")
    _check_fields(task, FIELDS, "")
    for path, mount in task.get("file_mounts", {}).items():
        if not isinstance(mount, dict):
            raise UserError(f"{FILE}: file_mounts.{path}={mount!r} is no group")
        _check_fields(mount, MOUNT_FIELDS, f"file_mounts.{path}.")
    for script in ("setup", "run"):
        check_bash(f"{FILE}: {script}", task.get(script, ""))


def _check_fields(given: dict[str, Any], known: dict[str, Any], where: str) -> None:
    for name, value in given.items():
        if name not in known:
            raise UserError(f"{FILE}: SkyPilot has no field {where}{name}{did_you_mean(name, list(known))}")
        kind = known[name]
        if isinstance(kind, re.Pattern):
            if not (isinstance(value, str) and kind.fullmatch(value)):
                raise UserError(f"{FILE}: {where}{name}={value!r} does not look like {kind.pattern}")
            continue
        group = isinstance(kind, dict)
        if type(value) is not (dict if group else kind):
            raise UserError(f"{FILE}: {where}{name}={value!r} is no {'group' if group else kind.__name__}")
        if group:
            _check_fields(value, kind, f"{where}{name}.")


def _up(spec: JobSpec, folder: Path) -> Commands:
    secrets = [word for name in sorted(spec.secrets) for word in ("--secret", name)]
    launch = ["sky", "jobs", "launch", "--yes", "--detach-run", "--name", spec.name, *secrets, str(folder / FILE)]
    return [["gcloud", "storage", "cp", str(folder / RUNNING), state_path(spec)], launch]


def _logs(spec: JobSpec, _: Path, options: LogOptions) -> Commands:
    if options.rank is not None:
        raise UserError(f"rank={options.rank}: SkyPilot shows all machines together, with ranks; leave it out")
    if options.since:
        raise UserError(f"since={options.since!r}: SkyPilot's logs have no times; use tail")
    follow = "--follow" if options.follow else "--no-follow"
    return [["sky", "jobs", "logs", "--name", spec.name, follow, "--tail", str(options.tail)]]


SKYPILOT = Backend(
    name="skypilot",
    files=_files,
    check=_check,
    tools=("sky", "gcloud"),
    up=_up,
    status=lambda *_: [["sky", "jobs", "queue", "--verbose"]],
    # `sky jobs cancel` leaves no time to save. The machines see the file, save, and end the job.
    stop=lambda spec, folder: [["gcloud", "storage", "cp", str(folder / STOP), state_path(spec)]],
    down=lambda spec, _: [["sky", "jobs", "cancel", "--yes", "--name", spec.name]],
    logs=_logs,
    ask_state=lambda spec, _: sky_state.ask_state(spec),
    read_state=sky_state.read_state,
    removed=lambda spec: [f"managed job {spec.name}: its machines, with what lies on their disks"],
)
