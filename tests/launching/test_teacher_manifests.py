"""The teacher beside a job: one service a copy, readiness by a real token, nobody else let in, nothing unknown."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from octomed_jax import configuration
from octomed_jax.cli.main import VERBS
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.jobset import JOBSET, TEACHER_FILE, check
from octomed_jax.launching.endpoints import served
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.spec import JobSpec, Secret

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def spec() -> JobSpec:
    return read_spec(configuration.load(str(ROOT / "configs/launch/teacher_gpu.py")), VERBS, roots=(ROOT,))


def manifests(spec: JobSpec) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(JOBSET.files(spec)[TEACHER_FILE]))


def of_kind(spec: JobSpec, kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests(spec) if manifest["kind"] == kind]


def on_two_nodes(spec: JobSpec) -> JobSpec:
    assert spec.teacher
    return dataclasses.replace(spec, teacher=dataclasses.replace(spec.teacher, nodes=2))


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    return deployment["spec"]["template"]["spec"]


def test_each_copy_has_a_service_that_selects_it_alone(spec):
    deployments = of_kind(spec, "Deployment")
    services = of_kind(spec, "Service")
    assert len(deployments) == len(services) == spec.teacher.replicas == 4
    for service in services:
        wanted = service["spec"]["selector"].items()
        chosen = [one for one in deployments if wanted <= one["spec"]["template"]["metadata"]["labels"].items()]
        assert [one["metadata"]["name"] for one in chosen] == [service["metadata"]["name"]]


def test_the_job_is_told_the_addresses_of_the_services(spec):
    job = yaml.safe_load(JOBSET.files(spec)["jobset.yaml"])["spec"]["replicatedJobs"][0]["template"]["spec"]
    [container] = job["template"]["spec"]["containers"]
    told = {entry["name"]: entry.get("value") for entry in container["env"]}
    ports = {one["metadata"]["name"]: one["spec"]["ports"][0]["port"] for one in of_kind(spec, "Service")}
    urls = [f"http://{name}.{spec.namespace}.svc:{port}" for name, port in ports.items()]
    assert told["OCTOMED_TEACHER_ENDPOINTS"].split(",") == urls == list(served(spec).endpoints)
    assert told["OCTOMED_TEACHER_MODEL"] == spec.teacher.model
    # What requests call the model is what vLLM serves it as.
    command = pod_of(of_kind(spec, "Deployment")[0])["containers"][0]["command"]
    assert command[command.index("--served-model-name") + 1] == spec.teacher.model


def test_ready_means_a_token_not_an_open_port(spec):
    [config_map] = of_kind(spec, "ConfigMap")
    for deployment in of_kind(spec, "Deployment"):
        pod = pod_of(deployment)
        [container] = pod["containers"]
        [mount] = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "probe"]
        [volume] = [one["configMap"]["name"] for one in pod["volumes"] if one["name"] == "probe"]
        assert volume == config_map["metadata"]["name"]
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            _, script, port, model = container[kind]["exec"]["command"]
            assert script.removeprefix(f"{mount}/") in config_map["data"]
            assert (port, model) == (str(spec.teacher.port), spec.teacher.model)
        assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] == 7200


def test_only_the_jobs_pods_may_ask(spec):
    [policy] = of_kind(spec, "NetworkPolicy")
    job = yaml.safe_load(JOBSET.files(spec)["jobset.yaml"])["spec"]["replicatedJobs"][0]["template"]["spec"]
    [rule] = policy["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": spec.teacher.port}]
    [asking] = rule["from"]
    assert asking["podSelector"]["matchLabels"] == job["template"]["metadata"]["labels"]
    for deployment in of_kind(spec, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_no_container_is_root(spec):
    for job in (spec, on_two_nodes(spec)):
        for pod in pods(job):
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["runAsUser"] > 0
            assert pod["automountServiceAccountToken"] is False
            [container] = pod["containers"]
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["resources"]["limits"] == {"nvidia.com/gpu": "8"}


def pods(spec: JobSpec) -> list[dict[str, Any]]:
    found = [pod_of(one) for one in of_kind(spec, "Deployment")]
    for one in of_kind(spec, "LeaderWorkerSet"):
        template = one["spec"]["leaderWorkerTemplate"]
        found += [template["leaderTemplate"]["spec"], template["workerTemplate"]["spec"]]
    assert found
    return found


def test_several_nodes_are_a_group_with_one_endpoint(spec):
    job = on_two_nodes(spec)
    assert not of_kind(job, "Deployment")
    [group] = of_kind(job, "LeaderWorkerSet")
    template = group["spec"]["leaderWorkerTemplate"]
    assert (group["spec"]["replicas"], template["size"]) == (4, 2)
    assert template["restartPolicy"] == "RecreateGroupOnPodRestart"
    [leader], [worker] = (template[part]["spec"]["containers"] for part in ("leaderTemplate", "workerTemplate"))
    assert "readinessProbe" in leader
    assert "readinessProbe" not in worker
    assert leader["command"][-6:] == ["--node-rank", "0", "--master-addr", "$(LWS_LEADER_ADDRESS)", *MASTER]
    assert worker["command"][-7:] == [
        *("--node-rank", "$(LWS_WORKER_INDEX)", "--master-addr", "$(LWS_LEADER_ADDRESS)", *MASTER),
        "--headless",
    ]
    for index, service in enumerate(of_kind(job, "Service")):
        assert service["spec"]["selector"] == {
            "leaderworkerset.sigs.k8s.io/name": group["metadata"]["name"],
            "leaderworkerset.sigs.k8s.io/group-index": str(index),
            "leaderworkerset.sigs.k8s.io/worker-index": "0",
        }
    [policy] = of_kind(job, "NetworkPolicy")
    among = policy["spec"]["ingress"][1]["from"][0]["podSelector"]["matchLabels"]
    assert among.items() <= template["workerTemplate"]["metadata"]["labels"].items()


MASTER = ("--master-port", "29500")


def test_secrets_are_references_for_the_server_and_its_key_also_for_the_job(spec):
    key = {"VLLM_API_KEY": Secret("teacher", "key"), "HF_TOKEN": Secret("octomed", "hf_token")}
    job = dataclasses.replace(spec, teacher=dataclasses.replace(spec.teacher, secrets=key))
    env = pod_of(of_kind(job, "Deployment")[0])["containers"][0]["env"]
    references = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in env if "valueFrom" in one}
    assert references["VLLM_API_KEY"] == {"name": "teacher", "key": "key"}
    assert references["HF_TOKEN"] == {"name": "octomed", "key": "hf_token"}
    asking = yaml.safe_load(JOBSET.files(job)["jobset.yaml"])["spec"]["replicatedJobs"][0]["template"]["spec"]
    names = [one["name"] for one in asking["template"]["spec"]["containers"][0]["env"]]
    assert "VLLM_API_KEY" in names
    assert "HF_TOKEN" not in names
    assert served(job).api_key_env == "VLLM_API_KEY"


# Where a typo is planted in each kind, and what the check says of it.
PLACES = [
    ("Service", ("spec",), "spec"),
    ("Service", ("spec", "ports", 0), "spec.ports[0]"),
    ("ConfigMap", (), "its top"),
    ("Deployment", ("spec",), "spec"),
    ("Deployment", ("spec", "template", "spec"), "spec.template.spec"),
    ("Deployment", ("spec", "template", "spec", "containers", 0), "containers[0]"),
    ("Deployment", ("spec", "template", "spec", "containers", 0, "readinessProbe"), "readinessProbe"),
    ("Deployment", ("spec", "template", "spec", "containers", 0, "env", 0), "env[0]"),
    ("NetworkPolicy", ("spec", "ingress", 0), "spec.ingress[0]"),
    ("LeaderWorkerSet", ("spec",), "spec"),
    ("LeaderWorkerSet", (), "has no field 'replicaz'"),
    ("LeaderWorkerSet", ("spec", "leaderWorkerTemplate"), "spec.leaderWorkerTemplate"),
    ("LeaderWorkerSet", ("spec", "leaderWorkerTemplate", "workerTemplate", "spec"), "workerTemplate"),
]


@pytest.mark.parametrize(("kind", "path", "place"), PLACES)
def test_a_planted_typo_is_caught(spec, kind, path, place):
    job = on_two_nodes(spec) if kind == "LeaderWorkerSet" else spec
    all_of_them = manifests(job)
    node: Any = next(manifest for manifest in all_of_them if manifest["kind"] == kind)
    for step in path:
        node = node[step]
    node["replicaz"] = 1
    with pytest.raises(UserError) as caught:
        check({TEACHER_FILE: yaml.safe_dump_all(all_of_them)})
    message = str(caught.value)
    assert message.startswith(f"teacher.yaml, {kind} ")
    assert "replicaz" in message
    assert place in message
    assert "\n" not in message


def test_a_value_of_the_wrong_type_is_caught(spec):
    [first, *rest] = manifests(spec)
    first["spec"]["ports"][0]["port"] = "8000"
    with pytest.raises(UserError, match=r"teacher.yaml, Service .*spec.ports\[0\].port"):
        check({TEACHER_FILE: yaml.safe_dump_all([first, *rest])})
    [group] = of_kind(on_two_nodes(spec), "LeaderWorkerSet")
    group["spec"]["startupPolicy"] = "Whenever"
    with pytest.raises(UserError, match=r"spec\.startupPolicy: 'Whenever' is not one of"):
        check({TEACHER_FILE: yaml.safe_dump(group)})


def test_names_that_do_not_fit_are_refused(spec):
    with pytest.raises(UserError, match="letters too long for the pods of its teacher"):
        JOBSET.files(dataclasses.replace(spec, name="n" * 40))


def test_commands_reach_all_of_a_teacher(spec):
    folder = Path("out")
    assert [words[-1] for words in JOBSET.up(spec, folder)] == [
        "--filename=out/teacher.yaml",
        "--filename=out/jobset.yaml",
    ]
    [_, scaled] = JOBSET.stop(spec, folder)
    assert scaled[2:] == ["scale", "deployment", "--replicas=0", "--selector=app.kubernetes.io/part-of=octomed-traces"]
    [_, gone] = JOBSET.down(spec, folder)
    kinds = gone[3].split(",")
    assert {manifest["kind"].lower() for manifest in manifests(spec)} == set(kinds)
    labels = [manifest["metadata"]["labels"] for manifest in manifests(spec)]
    assert {one["app.kubernetes.io/part-of"] for one in labels} == {"octomed-traces"}
    removed = JOBSET.removed(spec)
    for manifest in manifests(spec):
        assert any(f"{manifest['kind']} {manifest['metadata']['name']} " in line for line in removed)
    assert JOBSET.stop(on_two_nodes(spec), folder)[1][3] == "leaderworkerset"
