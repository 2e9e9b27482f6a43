"""A JobSet manifest for Google Kubernetes Engine: one Job a slice, one pod a host, all restarted together.

How a pod's exit code becomes an action (the contract is in ``errors.py``). The Job fails as soon as one pod does, and
says which rule matched in the message of its condition; the rules of the JobSet read that message:

    1, 2, 43, 126, 127   a bug, wrong input, stop and look, no such command   fail now
    42, or a disruption  try again; the node was taken away                   restart, not counted
    137, 139, 143, ...   killed, crashed                                      restart, at most ``retries`` times

Needs JobSet 0.10 or newer (``onJobFailureMessagePatterns``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from octomed_jax.errors import UserError
from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.backends.base import Backend, Files, LogOptions
from octomed_jax.launching.exit_policy import FAIL_NOW, TRY_AGAIN
from octomed_jax.launching.read_spec import NAME_LIMIT
from octomed_jax.launching.spec import JobSpec

FILE = "jobset.yaml"
SUSPENDED = '{"spec":{"suspend":true}}'
JOB = "trainer"
CONTAINER = "octomed"
COORDINATOR_PORT = 8476
POD_SUFFIX = 6  # Kubernetes ends a pod's name with a hyphen and five random letters

HEADER = """\
# Rendered by `octomed launch render --backend=jobset`; change the launch config, not this file.
# Apply:  kubectl apply --server-side -f jobset.yaml
# Watch:  kubectl get jobset {name}; kubectl logs --prefix -f -l jobset.sigs.k8s.io/jobset-name={name}
"""


def render_jobset(spec: JobSpec) -> str:
    """Return the manifest as YAML; equal specs give equal bytes.

    Raises:
        UserError: the spec has no image, a name is too long, or kubeflow-trainer-api is not installed.
    """
    if not spec.image:
        raise UserError(
            "image is empty; name the trainer's image with a fixed tag (launch/trainer.Dockerfile makes it)"
        )
    _, _, tag = spec.image.rpartition("/")[2].partition(":")
    if tag in ("", "latest") and "@sha256:" not in spec.image:
        raise UserError(
            f"image={spec.image!r} has no fixed tag or digest; a restart could run other code than the start"
        )
    if "://" not in spec.workdir:
        raise UserError(f"workdir={spec.workdir!r} is lost with the pod; use a bucket, such as gs://BUCKET/{spec.name}")
    longest = f"{spec.name}-{JOB}-{spec.slices - 1}-{spec.hosts - 1}"
    if len(longest) + POD_SUFFIX > NAME_LIMIT:
        over = len(longest) + POD_SUFFIX - NAME_LIMIT
        raise UserError(
            f"name={spec.name!r} is {over} letters too long: the pod {longest}-xxxxx would pass {NAME_LIMIT}"
        )
    manifest = validated(build_jobset(spec))
    return HEADER.format(name=spec.name) + yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120)


def validated(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return ``manifest`` as the typed models of the JobSet API write it.

    Raises:
        UserError: a field that the API does not know, a value of the wrong type, or the models are not installed.
    """
    try:
        from kubeflow_trainer_api.models import JobsetV1alpha2JobSet
    except ImportError as error:
        raise UserError(
            "the jobset backend needs kubeflow-trainer-api; install it with pip install 'octomed-jax[launch]'"
        ) from error
    try:
        model = JobsetV1alpha2JobSet.from_dict(manifest)
    except ValueError as error:  # pydantic's ValidationError is one
        errors = getattr(error, "errors", None)
        first = errors()[0] if errors else {"loc": (), "msg": str(error)}
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"the JobSet manifest is not valid at {where or 'its top'}: {first['msg']}") from error
    assert model is not None
    result = model.to_dict()
    # These models drop what they do not know instead of refusing it: whatever did not come back is unknown.
    lost = _difference(manifest, result, "")
    if lost:
        raise UserError(f"the JobSet API has no field {lost}")
    return result


def _difference(sent: Any, got: Any, where: str) -> str:
    """Return the dotted name of the first thing in ``sent`` that is not the same in ``got``, or an empty string."""
    if isinstance(sent, dict) and isinstance(got, dict):
        for key, value in sent.items():
            name = f"{where}.{key}".lstrip(".")
            if key not in got:
                return name
            if found := _difference(value, got[key], name):
                return found
        return ""
    if isinstance(sent, list) and isinstance(got, list) and len(sent) == len(got):
        for index, (one, other) in enumerate(zip(sent, got, strict=True)):
            if found := _difference(one, other, f"{where}[{index}]"):
                return found
        return ""
    return "" if sent == got and type(sent) is type(got) else where


def build_jobset(spec: JobSpec) -> dict[str, Any]:
    """Return the manifest as plain data, before the models have seen it."""
    replicated: dict[str, Any] = {"name": JOB, "replicas": spec.slices, "template": {"spec": _job(spec)}}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": spec.name,
            "labels": {"app.kubernetes.io/name": "octomed", "app.kubernetes.io/instance": spec.name},
            # One slice is one node pool: no two Jobs may share a pool.
            "annotations": {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"},
        },
        "spec": {
            # The headless service by which the hosts find each other, from before they are ready.
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True, "subdomain": spec.name},
            "failurePolicy": {
                "maxRestarts": spec.retries,
                "rules": [
                    _restart_uncounted("tryAgain", f"failed with exit code {TRY_AGAIN} "),
                    _restart_uncounted("disruption", "has condition DisruptionTarget "),
                    {"name": "failNow", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]},
                    # Anything else (killed, crashed) restarts and counts, which is what a JobSet does without a rule.
                ],
            },
            "replicatedJobs": [replicated],
        },
    }


def _restart_uncounted(name: str, pattern: str) -> dict[str, Any]:
    return {
        "name": name,
        "action": "RestartJobSetAndIgnoreMaxRestarts",
        "onJobFailureReasons": ["PodFailurePolicy"],
        "onJobFailureMessagePatterns": [pattern],
    }


def _job(spec: JobSpec) -> dict[str, Any]:
    return {
        "completionMode": "Indexed",
        "completions": spec.hosts,
        "parallelism": spec.hosts,
        # One lost host stops all: the JobSet restarts the group, a Job alone must not replace single pods.
        "backoffLimit": 0,
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                _on_exit([TRY_AGAIN]),
                _on_exit(list(FAIL_NOW)),
            ]
        },
        "template": {
            "metadata": {"labels": {"app.kubernetes.io/name": "octomed", "app.kubernetes.io/instance": spec.name}},
            "spec": _pod(spec),
        },
    }


def _on_exit(codes: list[int]) -> dict[str, Any]:
    return {"action": "FailJob", "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": codes}}


def _pod(spec: JobSpec) -> dict[str, Any]:
    machine = ACCELERATORS[spec.accelerator]
    selector: dict[str, str] = {}
    if machine.is_tpu:
        selector["cloud.google.com/gke-tpu-accelerator"] = machine.selector
        selector["cloud.google.com/gke-tpu-topology"] = spec.topology
    else:
        selector["cloud.google.com/gke-accelerator"] = machine.selector
    pod: dict[str, Any] = {
        "restartPolicy": "Never",  # podFailurePolicy needs it, and a restart of one container would not rejoin the rest
        "terminationGracePeriodSeconds": spec.grace_seconds,
        "nodeSelector": selector,
        "containers": [_container(spec)],
    }
    if spec.capacity == "spot":
        selector["cloud.google.com/gke-spot"] = "true"
        pod["tolerations"] = [
            {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
        ]
    if spec.capacity == "reserved":
        selector["cloud.google.com/reservation-name"] = spec.reservation
    if spec.priority:
        pod["priorityClassName"] = spec.priority
    if spec.service_account:
        pod["serviceAccountName"] = spec.service_account
    return pod


def _container(spec: JobSpec) -> dict[str, Any]:
    machine = ACCELERATORS[spec.accelerator]
    amount = {machine.resource: str(machine.chips_per_host)}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": spec.image,
        "command": ["octomed"],
        "args": spec.words(),
        "resources": {"limits": amount, "requests": amount},
    }
    if machine.is_tpu:
        # 8471: the chips of a slice talk to each other; 8431: usage metrics.
        container["ports"] = [{"containerPort": 8471}, {"containerPort": 8431}]
    environment = [*_coordination(spec), *_settings(spec)]
    if environment:
        container["env"] = environment
    return container


def _coordination(spec: JobSpec) -> list[dict[str, Any]]:
    """Return what jax.distributed needs. Nothing on TPU: GKE sets TPU_WORKER_* and MEGASCALE_*, which jax reads."""
    if ACCELERATORS[spec.accelerator].is_tpu:
        return []
    first = f"{spec.name}-{JOB}-0-0.{spec.name}"
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    return [
        {"name": "JAX_COORDINATOR_ADDRESS", "value": f"{first}:{COORDINATOR_PORT}"},
        {"name": "JAX_NUM_PROCESSES", "value": str(spec.hosts)},
        {"name": "JAX_PROCESS_ID", "valueFrom": {"fieldRef": {"fieldPath": index}}},
    ]


def _settings(spec: JobSpec) -> list[dict[str, Any]]:
    plain = [{"name": name, "value": value} for name, value in sorted(spec.environment.items())]
    secret = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": place.secret, "key": place.key}}}
        for name, place in sorted(spec.secrets.items())
    ]
    return [*plain, *secret]


def _files(spec: JobSpec) -> Files:
    return {FILE: render_jobset(spec)}


def check(files: Files) -> None:
    """Refuse a manifest that the typed models of the JobSet API would not write so.

    Raises:
        UserError: it is no JobSet, or has an unknown field or a value of the wrong type.
    """
    try:
        manifest = yaml.safe_load(files[FILE])
    except yaml.YAMLError as error:
        raise UserError(f"{FILE} is no YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{FILE} holds no manifest")
    validated(manifest)


def _kubectl(spec: JobSpec, *words: str) -> Sequence[Sequence[str]]:
    return [["kubectl", f"--namespace={spec.namespace}", *words]]


def _logs(spec: JobSpec, _: Path, options: LogOptions) -> Sequence[Sequence[str]]:
    label = f"jobset.sigs.k8s.io/jobset-name={spec.name}"
    if options.rank is not None:
        slice_, host = divmod(options.rank, spec.hosts)
        label += f",jobset.sigs.k8s.io/job-index={slice_},batch.kubernetes.io/job-completion-index={host}"
    words = ["logs", f"--selector={label}", "--prefix", f"--tail={options.tail or -1}"]
    words += [f"--max-log-requests={spec.slices * spec.hosts}"]
    words += [f"--since={options.since}"] if options.since else []
    return _kubectl(spec, *words, *(["--follow"] if options.follow else []))


JOBSET = Backend(
    name="jobset",
    files=_files,
    check=check,
    tools=("kubectl",),
    up=lambda spec, folder: _kubectl(spec, "apply", "--server-side", f"--filename={folder / FILE}"),
    status=lambda spec, _: _kubectl(spec, "get", "jobset", spec.name, "--output=wide"),
    # Pods of a suspended JobSet are asked to end, and have their grace to save; `up` lifts the suspension.
    stop=lambda spec, _: _kubectl(
        spec, "patch", "jobset", spec.name, "--type=merge", '--patch={"spec":{"suspend":true}}'
    ),
    down=lambda spec, _: _kubectl(spec, "delete", "jobset", spec.name, "--ignore-not-found"),
    logs=_logs,
    removed=lambda spec: [f"JobSet {spec.name} of namespace {spec.namespace}, with its Jobs, pods and service"],
)
