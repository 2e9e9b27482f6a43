"""The command line for xpk, which makes a JobSet of it on a cluster that xpk itself has made or adapted.

xpk counts every restart of a JobSet. So that 42 is not counted, the processes start again within their pods; what xpk
restarts (codes 127 to 255, and pods that were taken away) counts.
"""

import re
import shlex
from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.launching.backends import cloud_tpu, kubernetes_state
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
from octomed_jax.launching.backends.kubernetes import as_it_stands
from octomed_jax.launching.backends.shell import check_bash, command_lines, keep_going, quoted
from octomed_jax.launching.mounts import mounts_of
from octomed_jax.launching.spec import JobSpec

FILE = "xpk.sh"
PRIORITIES = ("very-low", "low", "medium", "high", "very-high")
NAME_LIMIT = 39  # xpk refuses longer names
# Flags of `xpk workload create` 1.16 that are used here, with what their values look like.
FLAGS = {
    "cluster": r"[a-z]([-a-z0-9]{0,37}[a-z0-9])?",
    "project": r"[a-z][-a-z0-9.:]*",
    "zone": r"[a-z]+-[a-z]+[0-9]+-[a-z]",
    "namespace": r"[-a-z0-9]+",
    "workload": r"[a-z][-a-z0-9]*",
    "tpu-type": r"(v5litepod|v6e)-[0-9]+",
    "num-slices": r"[0-9]+",
    "docker-image": r"\S+:\S+",
    "max-restarts": r"[0-9]+",
    "termination-grace-period-seconds": r"[0-9]+",
    "priority": "|".join(PRIORITIES),
    "reservation": r"\S+",
    "env": r"[A-Z_][A-Z0-9_]*=.*",
    "command": r"exec bash -c .+",
    "spot": None,
    "on-demand": None,
}
HEADER = """\
#!/bin/bash
# Rendered by `octomed launch render --backend=xpk`; change the launch config, not this file.
# `bash xpk.sh --dry-run --output-manifest-file=FILE` shows the JobSet that xpk 1.16 makes of it.
"""
NOT_ATTACHED = (
    '[ -d {path} ] || {{ echo "octomed launch: no folder {path} in this pod; attach {source} to the cluster first: '
    'xpk storage attach (docs/launch-xpk.md)" >&2; exit 2; }}'
)
# To xpk, 127 (no such command) is a crash, and worth another try.
NO_SUCH_COMMAND = '[ "$code" -ne 127 ] || code=126'


def create_words(spec: JobSpec) -> list[str]:
    """Return the command that starts the job."""
    capacity = {"spot": "--spot", "on_demand": "--on-demand", "reserved": f"--reservation={spec.reservation}"}
    return [
        *["xpk", "workload", "create"],
        *_cluster(spec),
        f"--workload={spec.name}",
        f"--tpu-type={cloud_tpu.accelerator_type(spec)}",
        f"--num-slices={spec.slices}",
        f"--docker-image={spec.image}",
        f"--max-restarts={spec.retries}",
        f"--termination-grace-period-seconds={spec.grace_seconds}",
        f"--priority={spec.priority or 'medium'}",
        capacity[spec.capacity],
        *[f"--env={name}={as_it_stands(value)}" for name, value in sorted(spec.environment.items())],
        # xpk makes a container's command of it, in which Kubernetes makes $ of $$, the shell's own number.
        f"--command={as_it_stands(command_line(spec))}",
    ]


def command_line(spec: JobSpec) -> str:
    """Return what runs in every pod, in one line: xpk writes it into a line of its own script.

    ``exec``, because xpk passes TERM on to the shell that it starts, not to what that shell starts.
    """
    # xpk's command line has no mounts: storage is attached to the cluster, and the pod looks whether it was.
    mounted = "\n".join(NOT_ATTACHED.format(path=one.path, source=one.source) for one in mounts_of(spec))
    lines = keep_going(0, before=mounted, after=NO_SUCH_COMMAND).splitlines()
    script = "\n".join([*[line for line in lines if not line.startswith("#")], 'keep_going "$@"\n'])
    escaped = script.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"exec bash -c $'{escaped}' octomed octomed {quoted(spec.words())}"


def _files(spec: JobSpec) -> Files:
    need_tpu(spec, "this job for xpk")
    refuse(
        spec,
        {
            "secrets": "xpk only passes values, and they would stand in the JobSet; use jobset, or leave them out",
            "service_account": "xpk has none; leave it empty and let the account of the nodes write the bucket",
            "teacher": "xpk has none; use jobset, or write the traces first (`octomed distill`)",
        },
    )
    need_image(spec)
    need_bucket(spec)
    need_train(spec, spec.slices * spec.hosts)
    need(
        spec,
        {
            "cluster": "the cluster that xpk made (`xpk cluster create`) or adapted",
            "project": "the Google Cloud project",
            "zone": "the zone of the cluster, such as us-east5-b",
        },
    )
    if spec.priority and spec.priority not in PRIORITIES:
        raise UserError(f"priority={spec.priority!r} is none of xpk's: {', '.join(PRIORITIES)}")
    for name, value in spec.environment.items():
        if '"' in value or "\\" in value:
            raise UserError(
                f"environment.{name} holds a quote or a backslash, which xpk's manifest cannot take; use jobset"
            )
    if len(spec.name) > NAME_LIMIT:
        raise UserError(f"name={spec.name!r} is {len(spec.name) - NAME_LIMIT} letters too long for xpk")
    if spec.topology == "2x4":
        raise UserError("topology='2x4': to xpk it is one machine, to the others two; use jobset, or 2x2 or 4x4")
    return {FILE: f'{HEADER}exec {command_lines(create_words(spec))} "$@"\n'}


def _check(files: Files) -> None:
    """Refuse what bash cannot read, and what is no flag of xpk.

    Raises:
        UserError: with the word.
    """
    check_bash(FILE, files[FILE])
    words = shlex.split(files[FILE].replace("\\\n", " "), comments=True)
    if words[:4] != ["exec", "xpk", "workload", "create"] or words[-1] != "$@":
        raise UserError(f"{FILE}: not `xpk workload create`: {quoted(words[:4])}")
    for word in words[4:-1]:
        name, _, value = word.removeprefix("--").partition("=")
        if name not in FLAGS or not word.startswith("--"):
            raise UserError(f"{FILE}: `xpk workload create` has no {word.partition('=')[0]}")
        pattern = FLAGS[name]
        if ("=" in word) != (pattern is not None) or (pattern and not re.fullmatch(pattern, value)):
            raise UserError(f"{FILE}: xpk does not take {word}")


def _cluster(spec: JobSpec) -> list[str]:
    words = [f"--cluster={spec.cluster}", f"--project={spec.project}", f"--zone={spec.zone}"]
    return words if spec.namespace == "default" else [*words, f"--namespace={spec.namespace}"]


def _delete(spec: JobSpec, _: Path) -> Commands:
    # Its pods are asked to end and have their grace to save: what `stop` wants too. `up` then makes them again.
    return [["xpk", "workload", "delete", *_cluster(spec), f"--workload={spec.name}", "--force"]]


def _logs(spec: JobSpec, _: Path, options: LogOptions) -> Commands:
    """xpk itself only prints links; its pods carry the labels of any JobSet."""
    check_rank(options.rank, spec.slices * spec.hosts)
    label = f"jobset.sigs.k8s.io/jobset-name={spec.name}"
    if options.rank is not None:
        slice_, host = divmod(options.rank, spec.hosts)
        label += f",jobset.sigs.k8s.io/job-index={slice_},batch.kubernetes.io/job-completion-index={host}"
    words = ["kubectl", f"--namespace={spec.namespace}", "logs", f"--selector={label}", "--prefix"]
    words += [f"--tail={options.tail or -1}", f"--max-log-requests={spec.slices * spec.hosts}"]
    words += [f"--since={options.since}"] if options.since else []
    return [[*words, *(["--follow"] if options.follow else [])]]


XPK = Backend(
    name="xpk",
    files=_files,
    check=_check,
    tools=("xpk", "gcloud", "kubectl"),
    up=lambda _, folder: [["bash", str(folder / FILE)]],
    status=lambda spec, _: [["xpk", "workload", "list", *_cluster(spec), f"--filter-by-job={spec.name}"]],
    stop=_delete,
    down=_delete,
    logs=_logs,
    # xpk prints a table for people; what it makes is a JobSet.
    ask_state=lambda spec, _: kubernetes_state.ask_state(spec),
    read_state=lambda _, answers: kubernetes_state.read_state(answers),
    removed=lambda spec: [f"workload {spec.name} of cluster {spec.cluster}: its JobSet, pods and service"],
)
