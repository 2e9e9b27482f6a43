"""A JobSet manifest for Google Kubernetes Engine: one Job a slice, one pod a host, all restarted together.

How a pod's exit code becomes an action (the contract is in ``errors.py``). The Job fails as soon as one pod does, and
says which rule matched in the message of its condition; the rules of the JobSet read that message:

    1, 2, 43, 126, 127   a bug, wrong input, stop and look, no such command   fail now
    42, or a disruption  try again; the node was taken away                   restart, not counted
    137, 139, 143, ...   killed, crashed                                      restart, at most ``retries`` times

Needs JobSet 0.10 or newer (``onJobFailureMessagePatterns``). A teacher beside the job has manifests of its own
(``teacher_manifests.py``): its end restarts no training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.backends import jobset_mounts, kubernetes_state, teacher_manifests
from octomed_jax.launching.backends.base import Backend, Commands, Files, LogOptions
from octomed_jax.launching.backends.fields import check_rank, need_image, need_train
from octomed_jax.launching.backends.kubernetes import (
    BATCH,
    CORE,
    JOBSET_API,
    META,
    NAME_LIMIT,
    as_it_stands,
    check_file,
    environment,
    model,
    quantities,
    restricted,
    restricted_pod,
    to_yaml,
)
from octomed_jax.launching.endpoints import environment_of, served
from octomed_jax.launching.exit_policy import FAIL_NOW, TRY_AGAIN
from octomed_jax.launching.mounts import mounts_of
from octomed_jax.launching.spec import SHARED, JobSpec
from octomed_jax.teacher.server.vllm import KEY

FILE, TEACHER_FILE = "jobset.yaml", "teacher.yaml"
JOB = "trainer"
CONTAINER = "octomed"
COORDINATOR_PORT = 8476
POD_SUFFIX = 6  # Kubernetes ends a pod's name with a hyphen and five random letters
# What a host without chips asks for: ours, to be measured. Without a request it could land beside anything.
CPU_REQUESTS = {"cpu": "8", "memory": "32Gi"}
HOST_INDEX = "OCTOMED_HOST_INDEX"
INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"

HEADER = """\
# Rendered by `octomed launch render --backend=jobset`; change the launch config, not this file.
"""


def render_jobset(spec: JobSpec) -> str:
    """Return the manifest as YAML; equal specs give equal bytes.

    Raises:
        UserError: the spec has no image, a name is too long, or the typed models are not installed.
    """
    need_image(spec)
    if "://" not in spec.workdir:
        raise UserError(f"workdir={spec.workdir!r} is lost with the pod; use a bucket, such as gs://BUCKET/{spec.name}")
    if not _shares(spec):
        need_train(spec, spec.slices * spec.hosts)
    longest = f"{spec.name}-{JOB}-{spec.slices - 1}-{spec.hosts - 1}"
    if len(longest) + POD_SUFFIX > NAME_LIMIT:
        over = len(longest) + POD_SUFFIX - NAME_LIMIT
        raise UserError(
            f"name={spec.name!r} is {over} letters too long: the pod {longest}-xxxxx would pass {NAME_LIMIT}"
        )
    return HEADER + to_yaml([build_jobset(spec).to_dict()])


def build_jobset(spec: JobSpec) -> Any:
    """Return the manifest as the model of the JobSet API."""
    replicated = model(
        f"{JOBSET_API}ReplicatedJob",
        name=JOB,
        replicas=spec.slices,
        template=model(f"{BATCH}JobTemplateSpec", spec=_job(spec)),
    )
    rules = [
        _restart_uncounted("tryAgain", f"failed with exit code {TRY_AGAIN} "),
        _restart_uncounted("disruption", "has condition DisruptionTarget "),
        _rule(name="failNow", action="FailJobSet", onJobFailureReasons=["PodFailurePolicy"]),
        # Anything else (killed, crashed) restarts and counts, which is what a JobSet does without a rule.
    ]
    # One slice is one node pool: no two Jobs may share a pool.
    alone = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"}
    return model(
        f"{JOBSET_API}JobSet",
        apiVersion="jobset.x-k8s.io/v1alpha2",
        kind="JobSet",
        metadata=model(
            f"{META}ObjectMeta",
            name=spec.name,
            namespace=spec.namespace,
            labels=labels(spec),
            annotations=alone if ACCELERATORS[spec.accelerator].is_tpu else None,
        ),
        spec=model(
            f"{JOBSET_API}JobSetSpec",
            # Said, so that `up` takes back what `stop` has set.
            suspend=False,
            # The headless service by which the hosts find each other, from before they are ready.
            network=model(
                f"{JOBSET_API}Network", enableDNSHostnames=True, publishNotReadyAddresses=True, subdomain=spec.name
            ),
            failurePolicy=model(f"{JOBSET_API}FailurePolicy", maxRestarts=spec.retries, rules=rules),
            replicatedJobs=[replicated],
        ),
    )


def labels(spec: JobSpec) -> dict[str, str]:
    """Return the labels of the job and its pods."""
    return {"app.kubernetes.io/name": "octomed", "app.kubernetes.io/instance": spec.name}


def _rule(**fields: Any) -> Any:
    return model(f"{JOBSET_API}FailurePolicyRule", **fields)


def _restart_uncounted(name: str, pattern: str) -> Any:
    return _rule(
        name=name,
        action="RestartJobSetAndIgnoreMaxRestarts",
        onJobFailureReasons=["PodFailurePolicy"],
        onJobFailureMessagePatterns=[pattern],
    )


def _job(spec: JobSpec) -> Any:
    taken_away = model(f"{BATCH}PodFailurePolicyOnPodConditionsPattern", type="DisruptionTarget", status="True")
    rules = [
        model(f"{BATCH}PodFailurePolicyRule", action="FailJob", onPodConditions=[taken_away]),
        _on_exit([TRY_AGAIN]),
        _on_exit(list(FAIL_NOW)),
    ]
    return model(
        f"{BATCH}JobSpec",
        completionMode="Indexed",
        completions=spec.hosts,
        parallelism=spec.hosts,
        # One lost host stops all: the JobSet restarts the group, a Job alone must not replace single pods.
        backoffLimit=0,
        podFailurePolicy=model(f"{BATCH}PodFailurePolicy", rules=rules),
        template=model(
            f"{CORE}PodTemplateSpec",
            metadata=model(
                f"{META}ObjectMeta", labels=labels(spec), annotations=jobset_mounts.annotations(mounts_of(spec))
            ),
            spec=_pod(spec),
        ),
    )


def _on_exit(codes: list[int]) -> Any:
    requirement = model(
        f"{BATCH}PodFailurePolicyOnExitCodesRequirement", containerName=CONTAINER, operator="In", values=codes
    )
    return model(f"{BATCH}PodFailurePolicyRule", action="FailJob", onExitCodes=requirement)


def _pod(spec: JobSpec) -> Any:
    machine = ACCELERATORS[spec.accelerator]
    selector: dict[str, str] = {}
    tolerations = None
    if machine.is_tpu:
        selector["cloud.google.com/gke-tpu-accelerator"] = machine.selector
        selector["cloud.google.com/gke-tpu-topology"] = spec.topology
    elif machine.is_gpu:
        selector["cloud.google.com/gke-accelerator"] = machine.selector
    if spec.capacity == "spot":
        selector["cloud.google.com/gke-spot"] = "true"
        spot = {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
        tolerations = [model(f"{CORE}Toleration", **spot)]
    if spec.capacity == "reserved":
        selector["cloud.google.com/reservation-name"] = spec.reservation
    return model(
        f"{CORE}PodSpec",
        restartPolicy="Never",  # podFailurePolicy needs it, and a restart of one container would not rejoin the rest
        terminationGracePeriodSeconds=spec.grace_seconds,
        nodeSelector=selector or None,
        containers=[_container(spec)],
        tolerations=tolerations,
        priorityClassName=spec.priority or None,
        serviceAccountName=spec.service_account or None,
        securityContext=None if machine.is_tpu else restricted_pod(),
        volumes=jobset_mounts.volumes(mounts_of(spec)),
    )


def _container(spec: JobSpec) -> Any:
    machine = ACCELERATORS[spec.accelerator]
    chips = {machine.resource: str(machine.chips_per_host)} if machine.resource else None
    # 8471: the chips of a slice talk to each other; 8431: usage metrics.
    ports = [model(f"{CORE}ContainerPort", containerPort=port) for port in (8471, 8431)] if machine.is_tpu else None
    return model(
        f"{CORE}Container",
        name=CONTAINER,
        image=spec.image,
        command=["octomed"],
        args=_words(spec),
        resources=model(
            f"{CORE}ResourceRequirements",
            limits=quantities(chips) if chips else None,
            requests=quantities(chips or CPU_REQUESTS),
        ),
        ports=ports,
        env=[*_coordination(spec), *_settings(spec)] or None,
        # On TPU the image's user decides: whether a node lets one that is not root open its chips was not tried.
        securityContext=None if machine.is_tpu else restricted(),
        volumeMounts=jobset_mounts.volume_mounts(mounts_of(spec)),
    )


def _words(spec: JobSpec) -> list[str]:
    """Return the words after ``octomed``; hosts that share work get their share, which Kubernetes fills in."""
    return [*map(as_it_stands, spec.words()), *([f"--shard=$({HOST_INDEX})/{spec.hosts}"] if _shares(spec) else [])]


def _shares(spec: JobSpec) -> bool:
    return spec.accelerator == "cpu" and spec.hosts > 1 and spec.command.verb in SHARED


def _coordination(spec: JobSpec) -> list[Any]:
    """Return what jax.distributed needs. Nothing on TPU: GKE sets TPU_WORKER_* and MEGASCALE_*, which jax reads."""
    field = model(f"{CORE}EnvVarSource", fieldRef=model(f"{CORE}ObjectFieldSelector", fieldPath=INDEX))
    if _shares(spec):
        return [model(f"{CORE}EnvVar", name=HOST_INDEX, valueFrom=field)]
    if not ACCELERATORS[spec.accelerator].is_gpu:
        return []
    first = f"{spec.name}-{JOB}-0-0.{spec.name}"
    return [
        model(f"{CORE}EnvVar", name="JAX_COORDINATOR_ADDRESS", value=f"{first}:{COORDINATOR_PORT}"),
        model(f"{CORE}EnvVar", name="JAX_NUM_PROCESSES", value=str(spec.hosts)),
        model(f"{CORE}EnvVar", name="JAX_PROCESS_ID", valueFrom=field),
    ]


def _settings(spec: JobSpec) -> list[Any]:
    """Return the job's own variables, and where its teacher is."""
    teacher = served(spec)
    plain = {**spec.environment, **(environment_of(teacher) if teacher else {})}
    key = {KEY: spec.teacher.secrets[KEY]} if spec.teacher and KEY in spec.teacher.secrets else {}
    return environment(plain, {**key, **spec.secrets})


def _files(spec: JobSpec) -> Files:
    files = {FILE: render_jobset(spec)}
    if spec.teacher:
        files[TEACHER_FILE] = HEADER + to_yaml(teacher_manifests.build(spec, spec.teacher, labels(spec)))
    return files


def check(files: Files) -> None:
    """Refuse manifests with a field that the API does not know, or a value of the wrong type.

    Raises:
        UserError: naming the file, the object and the place in it.
    """
    for name, text in files.items():
        check_file(name, text)


def _kubectl(spec: JobSpec, *words: str) -> list[str]:
    return ["kubectl", f"--namespace={spec.namespace}", *words]


def _teacher(spec: JobSpec, *words: str) -> list[str]:
    """Return a command about all that the teacher consists of."""
    return _kubectl(spec, *words, f"--selector={teacher_manifests.PART_OF}={spec.name}")


def _up(spec: JobSpec, folder: Path) -> Commands:
    # Forced: `stop` has set fields that are ours.
    words = ("apply", "--server-side", "--force-conflicts")
    files = [*([TEACHER_FILE] if spec.teacher else []), FILE]
    return [_kubectl(spec, *words, f"--filename={folder / name}") for name in files]


def _status(spec: JobSpec, _: Path) -> Commands:
    told = [_kubectl(spec, "get", "jobset", spec.name, "--output=wide")]
    return [*told, *([_teacher(spec, "get", "pods", "--output=wide")] if spec.teacher else [])]


def _stop(spec: JobSpec, _: Path) -> Commands:
    # Pods of a suspended JobSet are asked to end, and have their grace to save.
    asked = [_kubectl(spec, "patch", "jobset", spec.name, "--type=merge", '--patch={"spec":{"suspend":true}}')]
    if spec.teacher:
        asked.append(_teacher(spec, "scale", teacher_manifests.kind(spec.teacher), "--replicas=0"))
    return asked


def _down(spec: JobSpec, _: Path) -> Commands:
    gone = [_kubectl(spec, "delete", "jobset", spec.name, "--ignore-not-found")]
    if spec.teacher:
        gone.append(_teacher(spec, "delete", teacher_manifests.kinds(spec.teacher), "--ignore-not-found"))
    return gone


def _removed(spec: JobSpec) -> Sequence[str]:
    gone = [f"JobSet {spec.name} of namespace {spec.namespace}, with its Jobs, pods and service"]
    if spec.teacher:
        gone += [f"{line} of namespace {spec.namespace}" for line in teacher_manifests.parts(spec, spec.teacher)]
    return gone


def _logs(spec: JobSpec, _: Path, options: LogOptions) -> Commands:
    check_rank(options.rank, spec.slices * spec.hosts)
    label = f"jobset.sigs.k8s.io/jobset-name={spec.name}"
    if options.rank is not None:
        slice_, host = divmod(options.rank, spec.hosts)
        label += f",jobset.sigs.k8s.io/job-index={slice_},batch.kubernetes.io/job-completion-index={host}"
    words = ["logs", f"--selector={label}", "--prefix", f"--tail={options.tail or -1}"]
    words += [f"--max-log-requests={spec.slices * spec.hosts}"]
    words += [f"--since={options.since}"] if options.since else []
    return [_kubectl(spec, *words, *(["--follow"] if options.follow else []))]


JOBSET = Backend(
    name="jobset",
    files=_files,
    check=check,
    tools=("kubectl",),
    up=_up,
    status=_status,
    stop=_stop,
    down=_down,
    logs=_logs,
    ask_state=lambda spec, _: kubernetes_state.ask_state(spec),
    read_state=lambda _, answers: kubernetes_state.read_state(answers),
    removed=_removed,
)
