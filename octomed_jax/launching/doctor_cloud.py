"""What the tools of the clouds and clusters say before a job is started."""

import json
import re
from collections.abc import Sequence

from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.finding import BAD, DOUBT, GOOD, UNKNOWN, Finding
from octomed_jax.launching.image import image_digest
from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.tools import NO_ANSWER, NO_PROGRAM, Answer, Ask
from octomed_jax.storage import in_bucket

# Machine types of Compute Engine with the hosts of ACCELERATORS, and the quota of a region that their chips count
# against. There is none for v6e in a region's list: its quota is one by TPU family.
MACHINE_TYPES = {"v5e": "ct5lp-hightpu-4t", "v6e": "ct6e-standard-4t", "h100": "a3-highgpu-8g"}
QUOTAS = {"v5e": "TPU_LITE_PODSLICE_V5", "h100": "NVIDIA_H100_GPUS"}
QUOTA_PAGE = "look at IAM & Admin > Quotas of the console"
# onJobFailureMessagePatterns, by which an exit code becomes a restart, came with it.
JOBSET = (0, 10)
KUBERNETES = ("jobset", "xpk")
WITH_IMAGE = (*KUBERNETES, "queued_resources")


def login(spec: JobSpec, place: Backend, ask: Ask) -> list[Finding]:
    """Ask who is logged in, and whether that one may start the job."""
    found = []
    if _google(spec, place):
        answer = ask(["gcloud", "auth", "list", "--filter=status:ACTIVE", "--format=value(account)"])
        if answer.code == 0 and answer.out:
            found.append(Finding("login", GOOD, f"gcloud as {answer.out.splitlines()[0]}"))
        elif answer.code == 0:
            found.append(Finding("login", BAD, "gcloud has no active account", "gcloud auth login"))
        else:
            found.append(_cannot_tell("login", answer))
    if place.name in KUBERNETES:
        found.append(_cluster(spec, ask))
    if place.name == "skypilot":
        answer = ask(["sky", "check", "gcp"])
        found.append(_asked("login", answer, "SkyPilot may use Google Cloud", "sky check gcp says what is missing"))
    return found


def _cluster(spec: JobSpec, ask: Ask) -> Finding:
    context = ask(["kubectl", "config", "current-context"])
    name, where = spec.cluster or "CLUSTER", _region(spec) or "REGION"
    cure = f"gcloud container clusters get-credentials {name} --location={where}"
    if context.code in (NO_PROGRAM, NO_ANSWER):
        return _cannot_tell("cluster", context)
    if context.code:
        return Finding("cluster", BAD, f"kubectl: {context.why}", cure)
    may = ask(["kubectl", "auth", "can-i", "create", "jobsets.jobset.x-k8s.io", f"--namespace={spec.namespace}"])
    if may.out.splitlines()[-1:] == ["yes"]:
        return Finding("cluster", GOOD, f"{context.out}: may create JobSets in the namespace {spec.namespace}")
    if may.out.splitlines()[-1:] == ["no"]:
        text = f"{context.out}: may not create JobSets in the namespace {spec.namespace}"
        return Finding("cluster", BAD, text, "ask for the role roles/container.developer")
    return Finding("cluster", UNKNOWN, f"{context.out}: {may.why}", cure)


def region(spec: JobSpec, place: Backend, ask: Ask) -> list[Finding]:
    """Ask whether the job's zone has its machines."""
    kind = MACHINE_TYPES.get(spec.accelerator)
    if place.name in ("local", "slurm") or kind is None:
        return []
    if not spec.zone:
        return [Finding("region", UNKNOWN, "the launch config names no zone", "set zone")]
    words = ["compute", "machine-types", "list", f"--zones={spec.zone}", f"--filter=name={kind}"]
    answer = ask(["gcloud", *words, "--format=value(name)", *_project(spec)])
    if answer.code:
        return [_cannot_tell("region", answer)]
    if kind in answer.out.split():
        return [Finding("region", GOOD, f"{spec.zone} has {kind}")]
    return [Finding("region", BAD, f"{spec.zone} has no {kind}", "choose a zone that has it")]


def quota(spec: JobSpec, place: Backend, ask: Ask) -> list[Finding]:
    """Ask how many chips the project may use in the job's region, as Compute Engine lists it."""
    if place.name in ("local", "slurm") or spec.accelerator == "cpu":
        return []
    return [quota_left("quota", spec, spec.accelerator, spec.capacity, spec.chips, ask)]


def quota_left(name: str, spec: JobSpec, accelerator: str, capacity: str, chips: int, ask: Ask) -> Finding:
    """Ask whether a number of chips is within the quota of the job's region."""
    if not _region(spec):
        return Finding(name, UNKNOWN, "the launch config names no zone", "set zone")
    if accelerator not in QUOTAS:
        return Finding(name, UNKNOWN, f"Compute Engine lists none for {accelerator} by region", QUOTA_PAGE)
    metric = ("PREEMPTIBLE_" if capacity == "spot" else "") + QUOTAS[accelerator]
    answer = ask(["gcloud", "compute", "regions", "describe", _region(spec), "--format=json(quotas)", *_project(spec)])
    if answer.code:
        return _cannot_tell(name, answer)
    try:
        limits = {one["metric"]: one["limit"] - one["usage"] for one in json.loads(answer.out)["quotas"]}
    except (ValueError, KeyError, TypeError):
        return Finding(name, UNKNOWN, "gcloud did not answer as it used to", QUOTA_PAGE)
    if metric not in limits:
        return Finding(name, UNKNOWN, f"{_region(spec)} lists no {metric}", QUOTA_PAGE)
    text = f"{limits[metric]:.0f} of {metric} left in {_region(spec)}; the job takes {chips}"
    return Finding(name, GOOD if limits[metric] >= chips else BAD, text, QUOTA_PAGE)


def bucket(spec: JobSpec, _: Backend, ask: Ask) -> list[Finding]:
    """Ask where the bucket of the work folder is."""
    if not in_bucket(spec.workdir):
        return []
    name = re.sub(r"^(\w+://[^/]+).*", r"\1", spec.workdir)
    if not name.startswith("gs://"):
        return [Finding("bucket", UNKNOWN, f"{name} is none of Google's")]
    answer = ask(["gcloud", "storage", "buckets", "describe", name, "--format=value(location)"])
    if answer.code and ("404" in answer.err or "not found" in answer.err.lower()):
        return [Finding("bucket", BAD, f"{name}: {answer.why}", f"gcloud storage buckets create {name}")]
    if answer.code:
        return [_cannot_tell("bucket", answer)]
    place, here = answer.out.lower(), _region(spec)
    if not here or here == place or (place in ("us", "eu", "asia") and here.startswith(place.replace("eu", "europe"))):
        return [Finding("bucket", GOOD, f"{name} is there, in {place}")]
    return [Finding("bucket", DOUBT, f"{name} is in {place}, the job in {here}", "use a bucket of the job's region")]


def image(spec: JobSpec, place: Backend, ask: Ask) -> list[Finding]:
    """Ask whether the image is there, where the back end uses it."""
    if not spec.image or place.name not in WITH_IMAGE:
        return []
    return [image_there("image", spec.image, "launch/trainer.Dockerfile", ask)]


def image_there(name: str, reference: str, made_by: str, ask: Ask) -> Finding:
    """Ask whether an image is there."""
    answers: list[Answer] = []

    def kept(words: Sequence[str]) -> Answer:
        answers.append(ask(words))
        return answers[-1]

    digest, why = image_digest(reference, kept)
    if digest:
        return Finding(name, GOOD, f"{reference} is {digest}")
    missing = any("not found" in answer.err.lower() or "not_found" in answer.err.lower() for answer in answers)
    missing = missing and not any(answer.code == NO_PROGRAM for answer in answers[:1])
    return Finding(name, BAD if missing else UNKNOWN, f"{reference}: {why}", f"build and push it ({made_by})")


def hosts(spec: JobSpec, place: Backend, ask: Ask) -> list[Finding]:
    """Count the machines of the job's kind."""
    wanted = spec.slices * spec.hosts
    if place.name in KUBERNETES:
        return [nodes_there("hosts", spec.accelerator, spec.topology, wanted, ask)]
    if place.name != "slurm":
        return []
    partition = [f"--partition={spec.partition}"] if spec.partition else []
    words = ["sinfo", "--noheader", "--Node", "--format=%N", *partition]
    return [_counted("hosts", words, wanted, "choose another partition", ask)]


def nodes_there(name: str, accelerator: str, topology: str, wanted: int, ask: Ask) -> Finding:
    """Count the nodes of a cluster that have an accelerator."""
    machine = ACCELERATORS[accelerator]
    label = f"cloud.google.com/gke-{'tpu-' if machine.is_tpu else ''}accelerator={machine.selector}"
    label += f",cloud.google.com/gke-tpu-topology={topology}" if machine.is_tpu else ""
    words = ["kubectl", "get", "nodes", "--output=name", *([f"--selector={label}"] if machine.selector else [])]
    cure = "pools that grow by themselves begin at 0; otherwise make a node pool for every slice"
    return _counted(name, words, wanted, cure, ask)


def _counted(name: str, words: Sequence[str], wanted: int, cure: str, ask: Ask) -> Finding:
    answer = ask(words)
    if answer.code:
        return _cannot_tell(name, answer)
    count = len(set(answer.out.split()))
    return Finding(name, GOOD if count >= wanted else DOUBT, f"{count} of {wanted} hosts are there", cure)


def controller(_: JobSpec, place: Backend, ask: Ask) -> list[Finding]:
    """Ask for the version of JobSet: older ones do not know the rules that read exit codes."""
    if place.name not in KUBERNETES:
        return []
    path = "--output=jsonpath={.spec.template.spec.containers[*].image}"
    answer = ask(["kubectl", "get", "deployment", "jobset-controller-manager", "--namespace=jobset-system", path])
    if answer.code:
        return [_cannot_tell("JobSet", answer)]
    version = re.search(r"jobset:v(\d+)\.(\d+)", answer.out)
    if not version:
        return [Finding("JobSet", UNKNOWN, f"no version in {answer.out!r}")]
    good = (int(version[1]), int(version[2])) >= JOBSET
    text = f"version {version[1]}.{version[2]} in the cluster, 0.10 or newer is needed"
    return [Finding("JobSet", GOOD if good else BAD, text, "install a newer JobSet into the cluster")]


def _google(spec: JobSpec, place: Backend) -> bool:
    return "gcloud" in place.tools or place.name in KUBERNETES or spec.workdir.startswith("gs://")


def _region(spec: JobSpec) -> str:
    return spec.zone.rpartition("-")[0] if re.search(r"-[a-z]$", spec.zone) else spec.zone


def _project(spec: JobSpec) -> list[str]:
    return [f"--project={spec.project}"] if spec.project else []


def _asked(name: str, answer: Answer, good: str, cure: str) -> Finding:
    if answer.code in (NO_PROGRAM, NO_ANSWER):
        return _cannot_tell(name, answer)
    return Finding(name, BAD, answer.why, cure) if answer.code else Finding(name, GOOD, good)


def _cannot_tell(name: str, answer: Answer) -> Finding:
    return Finding(name, UNKNOWN, answer.why)
