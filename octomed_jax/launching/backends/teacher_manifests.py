"""A teacher beside a job on Kubernetes: vLLM on GPU nodes, a service for each copy, and nobody else let in.

One node a copy: a Deployment. Several: a LeaderWorkerSet, whose first pod of each group has the endpoint. Each copy has
a service of its own, because `octomed distill` shares the work among endpoints itself, and better than a balancer that
knows nothing of tokens. Ready means a real token (``token_probe.py``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.backends.kubernetes import (
    CORE,
    META,
    NAME_LIMIT,
    as_it_stands,
    environment,
    model,
    models,
    quantities,
    restricted,
    restricted_pod,
)
from octomed_jax.launching.endpoints import service_names
from octomed_jax.launching.spec import JobSpec, Teacher
from octomed_jax.launching.teacher_command import node_words, vllm_words

PART_OF = "app.kubernetes.io/part-of"
CONTAINER = "vllm"
USER = 10001  # of launch/teacher.Dockerfile; vLLM's own image runs as any user too
CACHE = "/cache"
PROBE = Path(__file__).parent / "token_probe.py"
PROBE_AT = "/probe"
LOAD_MINUTES = 120  # for weights to come from the hub and the first token; then the pod is started again
GRACE_SECONDS = 30  # nothing to save
POD_SUFFIX = len("-1234567890-12345")  # of a Deployment's pod
LWS = "leaderworkerset.sigs.k8s.io"


def build(spec: JobSpec, teacher: Teacher, asking: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the manifests; ``asking`` are the labels of the pods that may ask.

    Raises:
        UserError: a name is too long for Kubernetes.
    """
    names = service_names(spec)
    if len(names[-1]) + POD_SUFFIX > NAME_LIMIT:
        raise UserError(
            f"name={spec.name!r} is {len(names[-1]) + POD_SUFFIX - NAME_LIMIT} letters too long for the pods of its "
            f"teacher, {names[-1]}-..."
        )
    if teacher.nodes == 1:
        workloads = [_deployment(spec, teacher, name) for name in names]
    else:
        workloads = [_leader_worker_set(spec, teacher)]
    services = [_service(spec, teacher, index, name) for index, name in enumerate(names)]
    return [*services, _probe(spec), *workloads, _network_policy(spec, teacher, asking)]


def kinds(teacher: Teacher) -> str:
    """Return what kubectl calls all kinds of which a teacher has something."""
    return f"{kind(teacher)},service,configmap,networkpolicy"


def kind(teacher: Teacher) -> str:
    """Return what kubectl calls that which runs the copies."""
    return "deployment" if teacher.nodes == 1 else "leaderworkerset"


def parts(spec: JobSpec, teacher: Teacher) -> list[str]:
    """Return what there is of a teacher, a line each."""
    names = service_names(spec)
    workloads = [f"Deployment {name}" for name in names] if teacher.nodes == 1 else [f"LeaderWorkerSet {_name(spec)}"]
    shared = [f"ConfigMap {_name(spec)}", f"NetworkPolicy {_name(spec)}"]
    return [*workloads, *(f"Service {name}" for name in names), *shared]


def _name(spec: JobSpec) -> str:
    return f"{spec.name}-teacher"


def _labels(spec: JobSpec, copy: str = "") -> dict[str, str]:
    labels = {"app.kubernetes.io/name": "octomed-teacher", PART_OF: spec.name}
    return {**labels, **({"app.kubernetes.io/instance": copy} if copy else {})}


def _metadata(spec: JobSpec, name: str, copy: str = "") -> Any:
    return model(f"{META}ObjectMeta", name=name, namespace=spec.namespace, labels=_labels(spec, copy))


def _probe(spec: JobSpec) -> dict[str, Any]:
    made = model(
        f"{CORE}ConfigMap",
        apiVersion="v1",
        kind="ConfigMap",
        metadata=_metadata(spec, _name(spec)),
        data={PROBE.name: PROBE.read_text()},
    )
    return made.to_dict()


def _service(spec: JobSpec, teacher: Teacher, index: int, name: str) -> dict[str, Any]:
    leader = {f"{LWS}/name": _name(spec), f"{LWS}/group-index": str(index), f"{LWS}/worker-index": "0"}
    port = model(
        f"{CORE}ServicePort",
        name="http",
        port=teacher.port,
        targetPort=models().IoK8sApimachineryPkgUtilIntstrIntOrString(teacher.port),
    )
    made = model(
        f"{CORE}Service",
        apiVersion="v1",
        kind="Service",
        metadata=_metadata(spec, name, name),
        spec=model(
            f"{CORE}ServiceSpec",
            selector=_labels(spec, name) if teacher.nodes == 1 else leader,
            ports=[port],
        ),
    )
    return made.to_dict()


def _deployment(spec: JobSpec, teacher: Teacher, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(spec, name, name).to_dict(),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},  # the GPUs of a node do not hold an old and a new copy at once
            "progressDeadlineSeconds": LOAD_MINUTES * 60 + 600,
            "selector": {"matchLabels": _labels(spec, name)},
            "template": _template(
                spec, teacher, _as_they_stand(vllm_words(teacher)), _labels(spec, name), answers=True
            ),
        },
    }


def _leader_worker_set(spec: JobSpec, teacher: Teacher) -> dict[str, Any]:
    # LeaderWorkerSet sets both variables in every pod; Kubernetes fills them in.
    first, rank = "$(LWS_LEADER_ADDRESS)", "$(LWS_WORKER_INDEX)"
    words = [_as_they_stand(node_words(teacher, one, first), first, rank) for one in ("0", rank)]
    leader = _template(spec, teacher, words[0], _labels(spec), answers=True)
    worker = _template(spec, teacher, words[1], _labels(spec), answers=False)
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": _metadata(spec, _name(spec)).to_dict(),
        "spec": {
            "replicas": teacher.replicas,
            "startupPolicy": "LeaderCreated",  # the leader is not ready before its workers are there
            "networkConfig": {"subdomainPolicy": "Shared"},
            "leaderWorkerTemplate": {
                "size": teacher.nodes,
                # A copy that has lost a node cannot go on: all its nodes begin again.
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": leader,
                "workerTemplate": worker,
            },
        },
    }


def _as_they_stand(words: list[str], *filled_in: str) -> list[str]:
    """Return words that Kubernetes leaves as they are, but for those that it shall fill in."""
    return [word if word in filled_in else as_it_stands(word) for word in words]


def _template(
    spec: JobSpec, teacher: Teacher, words: list[str], labels: dict[str, str], answers: bool
) -> dict[str, Any]:
    """Return a pod of the teacher; ``answers``: whether it has the endpoint."""
    volumes = [
        model(f"{CORE}Volume", name="cache", emptyDir=model(f"{CORE}EmptyDirVolumeSource")),
        # NCCL's processes talk through shared memory; the 64 MB of a container are too few.
        model(f"{CORE}Volume", name="shm", emptyDir=model(f"{CORE}EmptyDirVolumeSource", medium="Memory")),
        model(f"{CORE}Volume", name="probe", configMap=model(f"{CORE}ConfigMapVolumeSource", name=_name(spec))),
    ]
    pod = model(
        f"{CORE}PodSpec",
        terminationGracePeriodSeconds=GRACE_SECONDS,
        automountServiceAccountToken=False,
        serviceAccountName=spec.service_account or None,
        nodeSelector={"cloud.google.com/gke-accelerator": ACCELERATORS[teacher.accelerator].selector},
        tolerations=[model(f"{CORE}Toleration", key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")],
        securityContext=restricted_pod(runAsUser=USER, runAsGroup=USER, fsGroup=USER),
        containers=[_container(teacher, words, answers)],
        volumes=volumes,
    )
    return model(f"{CORE}PodTemplateSpec", metadata=model(f"{META}ObjectMeta", labels=labels), spec=pod).to_dict()


def _container(teacher: Teacher, words: list[str], answers: bool) -> Any:
    plain = {"HOME": CACHE, "HF_HOME": f"{CACHE}/huggingface", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    gpus = quantities({"nvidia.com/gpu": str(teacher.gpus)})
    probes: dict[str, Any] = {}
    if answers:
        probes = {
            "ports": [model(f"{CORE}ContainerPort", name="http", containerPort=teacher.port)],
            "startupProbe": _token_probe(teacher, every=30, tries=LOAD_MINUTES * 2),
            "readinessProbe": _token_probe(teacher, every=30, tries=2),
            # As `octomed teacher serve`: no token for five minutes, and it is started again.
            "livenessProbe": _token_probe(teacher, every=60, tries=5),
        }
    return model(
        f"{CORE}Container",
        name=CONTAINER,
        image=teacher.image,
        command=words,
        env=environment(plain, teacher.secrets),
        resources=model(f"{CORE}ResourceRequirements", limits=gpus, requests=gpus),
        securityContext=restricted(),
        volumeMounts=[
            model(f"{CORE}VolumeMount", name="cache", mountPath=CACHE),
            model(f"{CORE}VolumeMount", name="shm", mountPath="/dev/shm"),
            model(f"{CORE}VolumeMount", name="probe", mountPath=PROBE_AT, readOnly=True),
        ],
        **probes,
    )


def _token_probe(teacher: Teacher, every: int, tries: int) -> Any:
    """Return a probe that asks for a token, with Python, which vLLM's image has in any case."""
    command = ["python3", f"{PROBE_AT}/{PROBE.name}", str(teacher.port), teacher.model]
    return model(
        f"{CORE}Probe",
        exec=model(f"{CORE}ExecAction", command=command),
        periodSeconds=every,
        timeoutSeconds=60,
        failureThreshold=tries,
    )


def _network_policy(spec: JobSpec, teacher: Teacher, asking: Mapping[str, str]) -> dict[str, Any]:
    port = {"protocol": "TCP", "port": teacher.port}
    ingress: list[dict[str, Any]] = [{"from": [{"podSelector": {"matchLabels": dict(asking)}}], "ports": [port]}]
    if teacher.nodes > 1:  # the nodes of a copy talk on ports of their own choice
        ingress.append({"from": [{"podSelector": {"matchLabels": _labels(spec)}}]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(spec, _name(spec)).to_dict(),
        "spec": {"podSelector": {"matchLabels": _labels(spec)}, "policyTypes": ["Ingress"], "ingress": ingress},
    }
