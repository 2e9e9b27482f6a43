"""Kubernetes manifests from typed models, as YAML, and their strict check without a cluster.

Models and schemas come from packages (extra ``launch``): kubeflow-trainer-api has JobSet and the core kinds as pydantic
models, kubernetes-validate the JSON schemas of Kubernetes itself. LeaderWorkerSet is in neither; what we use of it is
in ``LEADER_WORKER_SET``.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import yaml

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.launching.backends.kubernetes_values import check_job, check_pod, check_rules
from octomed_jax.launching.spec import Secret

# How the names of the models begin, by group of the API.
CORE, BATCH = "IoK8sApiCoreV1", "IoK8sApiBatchV1"
META, JOBSET_API = "IoK8sApimachineryPkgApisMetaV1", "JobsetV1alpha2"
VERSION = "1.34"  # of Kubernetes, whose schemas a manifest must pass
NAME_LIMIT = 63
MISSING = "needs kubeflow-trainer-api and kubernetes-validate; install them with pip install 'octomed-jax[launch]'"

# LeaderWorkerSet v1 (kubernetes-sigs/lws, v0.8), as far as it is used; its pod templates are checked as such.
_TEMPLATE = {"type": "object", "required": ["spec"]}
LEADER_WORKER_SET: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["replicas", "leaderWorkerTemplate", "startupPolicy"],
    "properties": {
        "replicas": {"type": "integer", "minimum": 0},
        "startupPolicy": {"enum": ["LeaderCreated", "LeaderReady"]},
        "networkConfig": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"subdomainPolicy": {"enum": ["Shared", "UniquePerReplica"]}},
        },
        "leaderWorkerTemplate": {
            "type": "object",
            "additionalProperties": False,
            "required": ["workerTemplate"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "restartPolicy": {"enum": ["RecreateGroupOnPodRestart", "RecreateGroupAfterStart", "None"]},
                "leaderTemplate": _TEMPLATE,
                "workerTemplate": _TEMPLATE,
            },
        },
    },
}


def models() -> ModuleType:
    """Return the typed models.

    Raises:
        UserError: they are not installed.
    """
    try:
        import kubeflow_trainer_api.models
    except ImportError as error:
        raise UserError(f"the jobset backend {MISSING}") from error
    return kubeflow_trainer_api.models


def model(kind: str, /, **fields: Any) -> Any:
    """Return a model of the API with its fields, named as in a manifest; None leaves a field out.

    Raises:
        UserError: a field that the API has not, or a value of the wrong type. (The models alone would drop the former.)
    """
    made = getattr(models(), kind)
    names = [field.alias or name for name, field in made.model_fields.items()]
    for name in fields:
        if name not in names:
            raise UserError(f"{kind} of the Kubernetes API has no field {name!r}{did_you_mean(name, names)}")
    try:
        return made(**{name: value for name, value in fields.items() if value is not None})
    except ValueError as error:  # pydantic's ValidationError is one
        raise UserError(f"{kind} of the Kubernetes API refuses {_first(error)}") from error


def quantities(amounts: Mapping[str, str]) -> dict[str, Any]:
    """Return amounts of resources, such as ``{"google.com/tpu": "4"}``, as models."""
    return {name: models().IoK8sApimachineryPkgApiResourceQuantity(amount) for name, amount in amounts.items()}


def as_it_stands(text: str) -> str:
    """Return a word of a command or a value so that Kubernetes leaves it as it is: it fills in $(NAME)."""
    return text.replace("$", "$$")


def environment(plain: Mapping[str, str], secrets: Mapping[str, Secret]) -> list[Any]:
    """Return variables of a container in the order of their names: values of plain ones, the places of secret ones."""
    found = [model(f"{CORE}EnvVar", name=name, value=as_it_stands(value)) for name, value in sorted(plain.items())]
    for name, place in sorted(secrets.items()):
        key = model(f"{CORE}SecretKeySelector", name=place.secret, key=place.key)
        found.append(model(f"{CORE}EnvVar", name=name, valueFrom=model(f"{CORE}EnvVarSource", secretKeyRef=key)))
    return found


def restricted_pod(**fields: Any) -> Any:
    """Return what a pod says of its user, as namespaces ask for that take no other (Pod Security, ``restricted``)."""
    profile = model(f"{CORE}SeccompProfile", type="RuntimeDefault")
    return model(f"{CORE}PodSecurityContext", runAsNonRoot=True, seccompProfile=profile, **fields)


def restricted() -> Any:
    """Return what a container says besides."""
    none = model(f"{CORE}Capabilities", drop=["ALL"])
    return model(f"{CORE}SecurityContext", allowPrivilegeEscalation=False, capabilities=none)


class _Dumper(yaml.SafeDumper):
    """YAML as a person writes it: texts of several lines as such, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the dumper gives it
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def to_yaml(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Return manifests as YAML; equal ones give equal bytes."""
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def check_file(name: str, text: str) -> None:
    """Refuse a file with a manifest that the API would not take so.

    Raises:
        UserError: naming the file, the object and the place in it.
    """
    try:
        manifests = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise UserError(f"{name} is no YAML: {' '.join(str(error).split())}") from error
    if not manifests or not all(isinstance(manifest, dict) for manifest in manifests):
        raise UserError(f"{name} holds no manifest")
    for manifest in manifests:
        try:
            check_manifest(manifest)
        except UserError as error:
            named = manifest.get("metadata")
            which = named.get("name") if isinstance(named, dict) else None
            raise UserError(f"{name}, {manifest.get('kind')} {which}: {error}") from error


def check_manifest(manifest: dict[str, Any]) -> None:
    """Refuse a manifest with an unknown field, a value of the wrong type, or a name that is too long."""
    named = manifest.get("metadata")
    name = named.get("name") if isinstance(named, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= NAME_LIMIT:
        raise UserError(f"metadata.name={name!r} must have 1 to {NAME_LIMIT} letters")
    match manifest.get("kind"):
        case "JobSet":
            _check_jobset(manifest)
        case "LeaderWorkerSet":
            _check_leader_worker_set(manifest)
        case "Deployment":
            _check_core(manifest, "")
            check_pod(manifest["spec"]["template"]["spec"], "spec.template.spec.")
        case "Service" | "ConfigMap" | "NetworkPolicy":
            _check_core(manifest, "")
        case kind:
            known = "JobSet, LeaderWorkerSet, Deployment, Service, ConfigMap, NetworkPolicy"
            raise UserError(f"kind={kind!r} is none of {known}")


def _check_jobset(manifest: dict[str, Any]) -> None:
    """By the typed models, and each Job also by the schema of Kubernetes."""
    if manifest.get("apiVersion") != "jobset.x-k8s.io/v1alpha2":
        raise UserError(f"apiVersion={manifest.get('apiVersion')!r} must be 'jobset.x-k8s.io/v1alpha2'")
    try:
        read = models().JobsetV1alpha2JobSet.from_dict(manifest)
    except ValueError as error:
        raise UserError(f"not valid at {_first(error)}") from error
    assert read is not None
    # The models drop what they do not know instead of refusing it: whatever did not come back is unknown.
    lost = _difference(manifest, read.to_dict(), "")
    if lost:
        raise UserError(f"the JobSet API has no field {lost}")
    for index, one in enumerate(manifest["spec"].get("replicatedJobs", [])):
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": one["template"]["spec"]}
        where = f"spec.replicatedJobs[{index}].template."
        _check_core(job, where)
        check_job(job["spec"], f"{where}spec.")
    check_rules(manifest)


def _check_leader_worker_set(manifest: dict[str, Any]) -> None:
    import jsonschema

    if manifest.get("apiVersion") != "leaderworkerset.x-k8s.io/v1":
        raise UserError(f"apiVersion={manifest.get('apiVersion')!r} must be 'leaderworkerset.x-k8s.io/v1'")
    extra = sorted(manifest.keys() - {"apiVersion", "kind", "metadata", "spec"})
    if extra:
        raise UserError(f"LeaderWorkerSet has no field {extra[0]!r}")
    try:
        jsonschema.validate(manifest.get("spec"), LEADER_WORKER_SET)
    except jsonschema.ValidationError as error:
        raise UserError(f"not valid at {_place(['spec', *error.absolute_path])}: {error.message}") from error
    for part in ("leaderTemplate", "workerTemplate"):
        if part in (templates := manifest["spec"]["leaderWorkerTemplate"]):
            named = {"metadata": {"name": "pod"}, "template": templates[part]}
            _check_core({"apiVersion": "v1", "kind": "PodTemplate", **named}, f"spec.leaderWorkerTemplate.{part}: ")
            check_pod(templates[part]["spec"], f"spec.leaderWorkerTemplate.{part}.spec.")


def _check_core(manifest: dict[str, Any], inside: str) -> None:
    """By the schema of Kubernetes, strictly."""
    if not isinstance(manifest.get("apiVersion"), str):
        raise UserError(f"apiVersion={manifest.get('apiVersion')!r} must be a text, such as 'v1'")
    try:
        import kubernetes_validate
    except ImportError as error:
        raise UserError(f"the jobset backend {MISSING}") from error
    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise UserError(f"not valid at {inside}{_place(error.path)}: {error.message}") from error
    except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
        raise UserError(
            f"apiVersion={manifest.get('apiVersion')!r} has no such kind in Kubernetes {VERSION}"
        ) from error


def _place(path: Iterable[Any]) -> str:
    """Return ``spec.containers[0].env`` of a path in a manifest."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "its top"


def _first(error: ValueError) -> str:
    """Return place and reason of the first of a model's errors."""
    errors: Sequence[Mapping[str, Any]] = getattr(error, "errors", list)()
    first = errors[0] if errors else {"loc": (), "msg": " ".join(str(error).split())}
    return f"{_place(first['loc'])}: {' '.join(str(first['msg']).split())}"


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
