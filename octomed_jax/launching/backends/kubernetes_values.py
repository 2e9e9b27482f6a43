"""Values that the schemas of Kubernetes and JobSet leave open, and that the cluster refuses or waits for in vain."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.launching.accelerators import ACCELERATORS

# Of JobSet 0.10: what its webhook takes.
ACTIONS = ("FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts")
REASONS = (
    *("BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes"),
    *("MaxFailedIndexesExceeded", "PodFailurePolicy"),
)
RULE_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
ANNOTATIONS = ("alpha.jobset.sigs.k8s.io/exclusive-topology",)
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([KMGTPE]i|[mkMGTPE])?")
# Labels of Google's nodes; a pod that asks for another one waits for good.
LABELS = {
    "cloud.google.com/gke-tpu-accelerator": tuple(one.selector for one in ACCELERATORS.values() if one.is_tpu),
    "cloud.google.com/gke-accelerator": tuple(one.selector for one in ACCELERATORS.values() if one.is_gpu),
    "cloud.google.com/gke-tpu-topology": tuple(
        topology for one in ACCELERATORS.values() if one.is_tpu for topology in one.hosts
    ),
    "cloud.google.com/gke-spot": ("true",),
    "cloud.google.com/reservation-name": (),  # any
}


def check_rules(manifest: Mapping[str, Any]) -> None:
    """Refuse a JobSet with a rule that its webhook refuses, or an annotation that nobody reads.

    Raises:
        UserError: with the place.
    """
    for name in manifest["metadata"].get("annotations") or {}:
        _one_of(name, ANNOTATIONS, "metadata.annotations")
    rules = (manifest["spec"].get("failurePolicy") or {}).get("rules") or []
    for index, rule in enumerate(rules):
        where = f"spec.failurePolicy.rules[{index}]"
        _one_of(rule["action"], ACTIONS, f"{where}.action")
        for reason in rule.get("onJobFailureReasons") or []:
            _one_of(reason, REASONS, f"{where}.onJobFailureReasons")
        if not RULE_NAME.fullmatch(rule["name"]):
            raise UserError(f"{where}.name={rule['name']!r} must match {RULE_NAME.pattern}")


def check_job(job: Mapping[str, Any], where: str) -> None:
    """Refuse a Job whose rules look at a container that it has not; and what ``check_pod`` refuses.

    Raises:
        UserError: with the place.
    """
    pod = job["template"]["spec"]
    names = [container["name"] for container in pod["containers"]]
    for index, rule in enumerate((job.get("podFailurePolicy") or {}).get("rules") or []):
        if named := (rule.get("onExitCodes") or {}).get("containerName"):
            _one_of(named, names, f"{where}podFailurePolicy.rules[{index}].onExitCodes.containerName")
    check_pod(pod, f"{where}template.spec.")


def check_pod(pod: Mapping[str, Any], where: str) -> None:
    """Refuse a pod that mounts what is no volume of it, asks for amounts that are none, or for nodes that nobody has.

    Raises:
        UserError: with the place.
    """
    volumes = [volume["name"] for volume in pod.get("volumes") or []]
    for index, container in enumerate(pod["containers"]):
        inside = f"{where}containers[{index}]"
        for mount in container.get("volumeMounts") or []:
            _one_of(mount["name"], volumes, f"{inside}.volumeMounts")
            if not mount["mountPath"].startswith("/") or ":" in mount["mountPath"]:
                raise UserError(f"{inside}.volumeMounts: {mount['mountPath']!r} is no absolute path without a colon")
        for kind, amounts in (container.get("resources") or {}).items():
            for resource, amount in amounts.items() if isinstance(amounts, Mapping) else ():
                if not QUANTITY.fullmatch(str(amount)):
                    raise UserError(f"{inside}.resources.{kind}.{resource}={amount!r} is no amount, such as 4 or 32Gi")
    for label, value in (pod.get("nodeSelector") or {}).items():
        _one_of(label, LABELS, f"{where}nodeSelector")
        if LABELS[label]:
            _one_of(value, LABELS[label], f"{where}nodeSelector.{label}")


def _one_of(value: str, known: Iterable[str], where: str) -> None:
    names = list(known)
    if value not in names:
        raise UserError(f"{where} holds {value!r}{did_you_mean(value, names)}; known: {', '.join(names) or 'none'}")
