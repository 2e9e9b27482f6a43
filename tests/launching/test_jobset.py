"""The JobSet manifest: the typed models take it, nothing unknown passes, and exit codes lead to the right action."""

import dataclasses
import re
import sys
from pathlib import Path

import pytest
import yaml

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.jobset import FILE, JOBSET, check, render_jobset
from octomed_jax.launching.backends.kubernetes import model
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import JobSpec

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def spec() -> JobSpec:
    return read_spec(configuration.load(str(ROOT / "configs/launch/octomed_7b_v5e_256.py:gke")), roots=(ROOT,))


def checked(manifest: dict) -> None:
    check({FILE: yaml.safe_dump(manifest)})


def plain(spec: JobSpec) -> dict:
    return yaml.safe_load(render_jobset(spec))


def test_a_planted_unknown_field_is_refused(spec):
    job = ("spec", "replicatedJobs", 0, "template", "spec")
    for path in (
        (),
        ("spec",),
        ("spec", "failurePolicy"),
        (*job, "template", "spec"),
        job,
        ("metadata",),
    ):
        manifest = plain(spec)
        node = manifest
        for step in path:
            node = node[step]
        node["maxRestartz"] = 3
        with pytest.raises(UserError, match=r"jobset.yaml, JobSet octomed-7b: the JobSet API has no field .*Restartz"):
            checked(manifest)


def test_an_unknown_field_of_a_container_is_refused(spec):
    manifest = plain(spec)
    container = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]
    container["env"].append({"name": "A", "vlaue": "b"})
    with pytest.raises(UserError, match=r"env\[2\]\.vlaue"):
        checked(manifest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replicas": "one"}, "replicas"),
        ({"name": 7}, "name"),
    ],
)
def test_a_wrong_type_is_refused(spec, change, message):
    manifest = plain(spec)
    manifest["spec"]["replicatedJobs"][0].update(change)
    with pytest.raises(UserError, match=message):
        checked(manifest)


def test_a_typo_in_our_own_code_is_refused_where_it_stands():
    with pytest.raises(UserError, match=r"has no field 'maxRestartz' \(did you mean 'maxRestarts'\?\)"):
        model("JobsetV1alpha2FailurePolicy", maxRestartz=3)
    with pytest.raises(UserError, match="maxRestarts: Input should be a valid integer"):
        model("JobsetV1alpha2FailurePolicy", maxRestarts="3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no manifest"),
        ("a: [", "is no YAML"),
        ("kind: JobSet", "metadata.name=None must have"),
        ("kind: Jobset\nmetadata: {name: x}", "kind='Jobset' is none of JobSet"),
        ("kind: JobSet\nmetadata: {name: x}", "apiVersion=None must be"),
        ("kind: Service\nmetadata: {name: " + "x" * 64 + "}", "1 to 63 letters"),
    ],
)
def test_what_is_no_manifest_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        check({FILE: text})


def job_and_pod(spec: JobSpec):
    manifest = yaml.safe_load(render_jobset(spec))
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    return manifest, job, job["template"]["spec"]


def test_tpu_selectors_hosts_and_chips(spec):
    _, job, pod = job_and_pod(spec)
    assert job["completions"] == job["parallelism"] == 64
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "16x16",
        "cloud.google.com/gke-spot": "true",
    }
    assert pod["containers"][0]["resources"]["limits"] == {"google.com/tpu": "4"}
    assert pod["terminationGracePeriodSeconds"] == 600
    assert pod["restartPolicy"] == "Never"


def test_capacity_slices_and_priority(spec):
    changed = dataclasses.replace(spec, capacity="reserved", reservation="march", slices=4, priority="high")
    manifest, _, pod = job_and_pod(changed)
    assert manifest["spec"]["replicatedJobs"][0]["replicas"] == 4
    assert pod["nodeSelector"]["cloud.google.com/reservation-name"] == "march"
    assert "tolerations" not in pod
    assert pod["priorityClassName"] == "high"


def test_hosts_without_chips_ask_for_processors_and_do_a_share_each(spec):
    command = dataclasses.replace(spec.command, verb="distill", options=())
    changed = dataclasses.replace(spec, accelerator="cpu", topology="4", capacity="on_demand", command=command)
    manifest, job, pod = job_and_pod(changed)
    [container] = pod["containers"]
    assert job["completions"] == 4
    assert "nodeSelector" not in pod
    assert "annotations" not in manifest["metadata"]
    assert "limits" not in container["resources"]
    assert container["resources"]["requests"]["cpu"] == "8"
    assert container["args"][-1] == "--shard=$(OCTOMED_HOST_INDEX)/4"
    index = next(entry for entry in container["env"] if entry["name"] == "OCTOMED_HOST_INDEX")
    assert "job-completion-index" in str(index["valueFrom"])


def test_what_stop_has_set_up_takes_back(spec):
    manifest, _, _ = job_and_pod(spec)
    assert manifest["spec"]["suspend"] is False
    assert "--force-conflicts" in JOBSET.up(spec, Path("out"))[0]
    assert '"suspend":true' in JOBSET.stop(spec, Path("out"))[0][-1]


def test_gpu_hosts_are_told_where_the_first_one_is(spec):
    _, _, pod = job_and_pod(dataclasses.replace(spec, accelerator="h100", topology="4x8", capacity="on_demand"))
    environment = {entry["name"]: entry for entry in pod["containers"][0]["env"]}
    assert environment["JAX_COORDINATOR_ADDRESS"]["value"] == "octomed-7b-trainer-0-0.octomed-7b:8476"
    assert environment["JAX_NUM_PROCESSES"]["value"] == "4"
    assert "job-completion-index" in str(environment["JAX_PROCESS_ID"]["valueFrom"])
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "8"}


def action(spec: JobSpec, exit_code: int | None) -> str:
    """Play the two controllers: what happens when a pod ends with ``exit_code`` (None: its node is taken away).

    The messages are those of the Job controller of Kubernetes 1.31.
    """
    manifest, job, _ = job_and_pod(spec)
    reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    for index, rule in enumerate(job["podFailurePolicy"]["rules"]):
        end = f"matching {rule['action']} rule at index {index}"
        if "onPodConditions" in rule and exit_code is None:
            reason, message = "PodFailurePolicy", f"Pod default/x-0 has condition DisruptionTarget {end}"
            break
        if "onExitCodes" in rule and exit_code in rule["onExitCodes"]["values"]:
            reason = "PodFailurePolicy"
            message = f"Container octomed for pod default/x-0 failed with exit code {exit_code} {end}"
            break
    for rule in manifest["spec"]["failurePolicy"]["rules"]:
        patterns = rule.get("onJobFailureMessagePatterns", [""])
        if reason in rule["onJobFailureReasons"] and any(re.search(pattern, message) for pattern in patterns):
            return rule["action"]
    return "RestartJobSet"


@pytest.mark.parametrize(
    ("exit_code", "expected"),
    [
        *[(code, "FailJobSet") for code in (1, 2, 43, 126, 127)],
        (42, "RestartJobSetAndIgnoreMaxRestarts"),
        (None, "RestartJobSetAndIgnoreMaxRestarts"),
        *[(code, "RestartJobSet") for code in (134, 137, 139, 143)],
    ],
)
def test_exit_codes_follow_the_contract(spec, exit_code, expected):
    assert action(spec, exit_code) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": ""}, "image is empty"),
        ({"image": "registry:5000/octomed"}, "no fixed tag"),
        ({"image": "registry/octomed:latest"}, "no fixed tag"),
        ({"workdir": "runs/x"}, "lost with the pod"),
        ({"name": "a" * 45}, "letters too long"),
    ],
)
def test_what_no_cluster_could_run_is_refused(spec, changes, message):
    with pytest.raises(UserError, match=message):
        render_jobset(dataclasses.replace(spec, **changes))


def test_the_longest_name_that_fits_is_taken(spec):
    longest = 63 - len("-trainer-0-63-xxxxx")
    render_jobset(dataclasses.replace(spec, name="a" * longest))
    with pytest.raises(UserError, match="1 letters too long"):
        render_jobset(dataclasses.replace(spec, name="a" * (longest + 1)))


def test_a_digest_is_as_good_as_a_tag(spec):
    render_jobset(dataclasses.replace(spec, image="registry/octomed@sha256:" + "0" * 64))


def test_rendering_again_changes_nothing_and_overwrites_nothing(spec, tmp_path):
    [path] = render(spec, JOBSET, tmp_path)
    before = path.stat().st_mtime_ns
    assert render(spec, JOBSET, tmp_path) == [path]
    assert path.stat().st_mtime_ns == before
    with pytest.raises(UserError, match="holds another rendering"):
        render(dataclasses.replace(spec, slices=2), JOBSET, tmp_path)
    assert yaml.safe_load(path.read_text())["spec"]["replicatedJobs"][0]["replicas"] == 1


def test_an_output_that_is_a_file_is_refused(spec, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="something else lies there"):
        render(spec, JOBSET, tmp_path / "file")


def test_without_the_models_one_line_says_what_to_install(spec, monkeypatch):
    rendered = {FILE: render_jobset(spec)}
    for package in ("kubernetes_validate", "kubeflow_trainer_api.models"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=r"octomed-jax\[launch\]"):
            check(rendered)
    with pytest.raises(UserError, match=r"octomed-jax\[launch\]"):
        render_jobset(spec)


def test_hosts_without_tpus_ask_for_no_more_than_a_restricted_namespace_gives(spec):
    def pod(accelerator: str, topology: str) -> dict:
        changed = dataclasses.replace(spec, accelerator=accelerator, topology=topology, slices=1)
        return plain(changed)["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]

    restricted = pod("cpu", "1")
    assert restricted["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    [container] = restricted["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert pod("h100", "1x8")["securityContext"] == restricted["securityContext"]
    # There an image whose user is root must start: it may be the only one that can open the chips.
    assert "securityContext" not in pod("v5e", "2x2")
