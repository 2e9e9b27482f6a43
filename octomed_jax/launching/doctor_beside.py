"""What a job on Kubernetes needs besides its own machines: its secrets, and a teacher's machines, image and kinds."""

from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.doctor_cloud import image_there, nodes_there, quota_left
from octomed_jax.launching.finding import BAD, GOOD, UNKNOWN, Finding
from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.tools import Ask

# The keys of a secret, and nothing of their values.
KEYS = "--output=go-template={{range $key, $value := .data}}{{$key}} {{end}}"


def secrets(spec: JobSpec, place: Backend, ask: Ask) -> list[Finding]:
    """Ask whether the secrets are there: without one, a pod waits for good."""
    if place.name != "jobset":
        return []
    wanted: dict[str, set[str]] = {}
    for one in (*spec.secrets.values(), *(spec.teacher.secrets.values() if spec.teacher else ())):
        wanted.setdefault(one.secret, set()).add(one.key)
    return [_secret(spec, name, keys, ask) for name, keys in sorted(wanted.items())]


def _secret(spec: JobSpec, name: str, keys: set[str], ask: Ask) -> Finding:
    answer = ask(["kubectl", f"--namespace={spec.namespace}", "get", "secret", name, KEYS])
    made = f"kubectl --namespace={spec.namespace} create secret generic {name} --from-env-file=FILE"
    if answer.code and "notfound" in answer.err.lower():
        return Finding("secret", BAD, f"{name} is not in the namespace {spec.namespace}", made)
    if answer.code:
        return Finding("secret", UNKNOWN, f"{name}: {answer.why}")
    missing = sorted(keys - set(answer.out.split()))
    if missing:
        return Finding("secret", BAD, f"{name} has no key {', '.join(missing)}", made)
    return Finding("secret", GOOD, f"{name} is in the namespace {spec.namespace}, with {', '.join(sorted(keys))}")


def teacher(spec: JobSpec, place: Backend, ask: Ask) -> list[Finding]:
    """Ask for what the teacher beside the job takes."""
    served = spec.teacher
    if served is None or place.name != "jobset":
        return []
    nodes = served.nodes * served.replicas
    found = [
        quota_left("teacher's quota", spec, served.accelerator, "on_demand", nodes * served.gpus, ask),
        image_there("teacher's image", served.image, "launch/teacher.Dockerfile", ask),
        nodes_there("teacher's hosts", served.accelerator, "", nodes, ask),
    ]
    return [*found, _leader_worker_set(ask)] if served.nodes > 1 else found


def _leader_worker_set(ask: Ask) -> Finding:
    """A copy of several nodes is a group of a LeaderWorkerSet, which a cluster does not have by itself."""
    name = "LeaderWorkerSet"
    answer = ask(["kubectl", "get", "crd", "leaderworkersets.leaderworkerset.x-k8s.io", "--output=name"])
    if answer.code and "notfound" in answer.err.lower():
        return Finding(name, BAD, "the cluster does not know it", "install it; docs/launch-jobset.md says how")
    return Finding(name, UNKNOWN, answer.why) if answer.code else Finding(name, GOOD, "the cluster knows it")
