"""What `octomed launch doctor` finds, with answers of the tools as they give them, and with the real tools, offline."""

import dataclasses
import fcntl
import json
import os
import socket
from pathlib import Path

import pytest

from octomed_jax.cli.main import main
from octomed_jax.launching import doctor_here
from octomed_jax.launching.backends.jobset import JOBSET
from octomed_jax.launching.backends.local import LOCAL
from octomed_jax.launching.backends.skypilot import SKYPILOT
from octomed_jax.launching.doctor import counted, examine, lines
from octomed_jax.launching.finding import BAD, DOUBT, GOOD, UNKNOWN, Finding
from octomed_jax.launching.spec import Command, JobSpec, Secret, Teacher
from octomed_jax.launching.tools import Answer, ask

ROOT = Path(__file__).resolve().parents[2]
SPEC = JobSpec(
    name="test",
    command=Command("train", "configs/octomed_7b.py"),
    workdir="gs://b/work",
    accelerator="v5e",
    topology="4x8",
    slices=2,
    capacity="spot",
    image="us-docker.pkg.dev/p/r/i:1",
    zone="us-west4-a",
    project="p",
)
NODES = "\n".join(f"node/n{i}" for i in range(16))
QUOTAS = {
    "quotas": [
        {"metric": "PREEMPTIBLE_TPU_LITE_PODSLICE_V5", "limit": 100.0, "usage": 20.0},
        {"metric": "TPU_LITE_PODSLICE_V5", "limit": 0.0, "usage": 0.0},
    ]
}
# What each tool says where all is well, by words of its command.
WELL = {
    "auth list": "me@example.org",
    "current-context": "gke_p_us-west4_c",
    "can-i": "yes",
    "machine-types": "ct5lp-hightpu-4t",
    "regions describe": json.dumps(QUOTAS),
    "buckets describe": "US-WEST4",
    "images describe": "sha256:" + "ab" * 32,
    "get nodes": NODES,
    "get deployment": "registry.k8s.io/jobset/jobset:v0.10.1",
}


def tools(**changed: object):
    """Return tools that say what WELL has, but for some: a text, or an Answer. Underscores stand for blanks."""
    says = {**WELL, **{name.replace("_", " ").replace("can i", "can-i"): said for name, said in changed.items()}}

    def answered(words):
        [said] = [said for name, said in says.items() if name in " ".join(words)]
        return said if isinstance(said, Answer) else Answer(0, str(said), "")

    return answered


def found(spec: JobSpec = SPEC, place=JOBSET, **changed: object) -> dict[str, Finding]:
    return {one.name: one for one in examine(spec, place, tools(**changed))}


@pytest.fixture(autouse=True)
def _kubectl(tmp_path, monkeypatch):
    """A kubectl on PATH, wherever the tests run; a real one comes first."""
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{tmp_path}")


def test_all_is_well():
    findings = found()
    assert {one.state for one in findings.values()} == {GOOD}, lines(list(findings.values()))
    assert findings["quota"].text == "80 of PREEMPTIBLE_TPU_LITE_PODSLICE_V5 left in us-west4; the job takes 64"
    assert findings["hosts"].text == "16 of 16 hosts are there"
    assert findings["login"].text == "gcloud as me@example.org"


@pytest.mark.parametrize(
    ("name", "changed", "state", "text"),
    [
        ("login", {"auth_list": ""}, BAD, "no active account"),
        ("cluster", {"current-context": Answer(1, "", "error: current-context is not set")}, BAD, "is not set"),
        ("cluster", {"can_i": "no"}, BAD, "may not create JobSets"),
        ("cluster", {"can_i": Answer(1, "", "E1 memcache\nThe connection was refused")}, UNKNOWN, "was refused"),
        ("region", {"machine-types": ""}, BAD, "us-west4-a has no ct5lp-hightpu-4t"),
        ("quota", {"regions_describe": json.dumps({"quotas": []})}, UNKNOWN, "lists no PREEMPTIBLE"),
        ("quota", {"regions_describe": "[]"}, UNKNOWN, "did not answer as it used to"),
        ("bucket", {"buckets_describe": "EUROPE-WEST4"}, DOUBT, "in europe-west4, the job in us-west4"),
        ("bucket", {"buckets_describe": "US"}, GOOD, "is there, in us"),
        ("bucket", {"buckets_describe": Answer(1, "", "ERROR: gs://b not found: 404.")}, BAD, "404"),
        ("bucket", {"buckets_describe": Answer(1, "", "ERROR: no account")}, UNKNOWN, "no account"),
        ("hosts", {"get_nodes": "node/n0"}, DOUBT, "1 of 16 hosts"),
        ("hosts", {"get_nodes": Answer(127, "", "kubectl is not on PATH")}, UNKNOWN, "not on PATH"),
        ("JobSet", {"get_deployment": "registry.k8s.io/jobset/jobset:v0.9.0"}, BAD, "version 0.9 in the cluster"),
        ("JobSet", {"get_deployment": Answer(1, "", "Error: NotFound")}, UNKNOWN, "NotFound"),
    ],
)
def test_what_is_wrong_is_named_with_its_cure(name, changed, state, text):
    one = found(**changed)[name]
    assert (one.state, text in one.text) == (state, True), one
    assert one.cure or state in (GOOD, UNKNOWN)


def test_an_image_that_is_not_there_and_one_nobody_can_ask_for():
    def says(code: int, error: str):
        def answered(words):
            return Answer(code, "", error) if words[0] in ("docker",) or "images" in words else tools()(words)

        return {one.name: one for one in examine(SPEC, JOBSET, answered)}["image"]

    assert says(1, "ERROR: NOT_FOUND: no such tag").state == BAD
    assert says(1, "ERROR: no account").state == UNKNOWN


def test_an_image_that_the_back_end_does_not_use_is_not_looked_for():
    """SkyPilot sends the project, and this machine has it: an image that was never pushed holds up neither."""
    gone = Answer(1, "", "ERROR: NOT_FOUND: no such tag")
    spec = dataclasses.replace(SPEC, bundle=".", slices=1)
    for place in (SKYPILOT, LOCAL):
        assert "image" not in found(spec, place, images_describe=gone, **{"check gcp": "enabled"})


TEACHER = Teacher(
    "m/m", "us-docker.pkg.dev/p/r/t:1", nodes=2, replicas=2, secrets={"HF_TOKEN": Secret("octomed", "hf_token")}
)
BESIDE = {
    "get secret octomed": "hf_token other ",
    "get crd": "crd/leaderworkersets.leaderworkerset.x-k8s.io",
    "regions describe": json.dumps({"quotas": [{"metric": "NVIDIA_H100_GPUS", "limit": 32.0, "usage": 0.0}]}),
}


def beside(**changed: object) -> dict[str, Finding]:
    spec = dataclasses.replace(SPEC, accelerator="cpu", topology="1", slices=1, teacher=TEACHER)
    return found(spec, **{**BESIDE, **changed})


def test_what_a_teacher_and_the_secrets_need_is_looked_for():
    findings = beside()
    texts = {name: findings[name].text for name in list(findings)[-5:] if findings[name].state == GOOD}
    assert texts == {
        "secret": "octomed is in the namespace default, with hf_token",
        "teacher's quota": "32 of NVIDIA_H100_GPUS left in us-west4; the job takes 32",
        "teacher's image": "us-docker.pkg.dev/p/r/t:1 is sha256:" + "ab" * 32,
        "teacher's hosts": "16 of 4 hosts are there",
        "LeaderWorkerSet": "the cluster knows it",
    }


@pytest.mark.parametrize(
    ("name", "changed", "state", "text"),
    [
        ("secret", {"get secret octomed": "other "}, BAD, "octomed has no key hf_token"),
        ("secret", {"get secret octomed": Answer(1, "", "Error from server (NotFound): no")}, BAD, "is not in the"),
        ("secret", {"get secret octomed": Answer(1, "", "was refused")}, UNKNOWN, "was refused"),
        ("teacher's quota", {"regions describe": json.dumps(QUOTAS)}, UNKNOWN, "lists no NVIDIA_H100_GPUS"),
        ("teacher's hosts", {"get nodes": "node/n0"}, DOUBT, "1 of 4"),
        ("LeaderWorkerSet", {"get crd": Answer(1, "", "Error from server (NotFound): x")}, BAD, "does not know it"),
        ("LeaderWorkerSet", {"get crd": Answer(1, "", "was refused")}, UNKNOWN, "was refused"),
    ],
)
def test_what_is_missing_beside_the_job_is_named(name, changed, state, text):
    one = beside(**changed)[name]
    assert (one.state, text in one.text) == (state, True), one


def test_too_little_quota_and_none_that_could_be_listed():
    assert found(dataclasses.replace(SPEC, slices=3))["quota"].state == BAD
    assert found(dataclasses.replace(SPEC, capacity="on_demand"))["quota"].state == BAD
    assert found(dataclasses.replace(SPEC, accelerator="v6e"))["quota"].state == UNKNOWN
    assert found(dataclasses.replace(SPEC, zone=""))["quota"].state == UNKNOWN


def test_a_lock_of_libtpu_that_nobody_holds_and_one_that_is_held(tmp_path):
    lock = tmp_path / "libtpu_lockfile"

    def state() -> str:
        [one] = doctor_here.libtpu_lock(SPEC, LOCAL, ask, lock)
        return one.state

    assert state() == GOOD
    lock.touch()
    assert state() == BAD
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert state() == DOUBT


def test_a_version_that_is_known_to_be_bad(monkeypatch):
    monkeypatch.setattr(doctor_here.importlib.metadata, "requires", lambda _: ["numpy<1", "no-such-package>=1", "jax"])
    [one] = doctor_here.versions(SPEC, LOCAL, ask)
    assert (one.state, one.cure) == (BAD, "pip install 'numpy<1'")


def test_a_missing_tool():
    place = dataclasses.replace(JOBSET, tools=("kubectl", "no-such-tool"))
    assert [one.state for one in doctor_here.tools(SPEC, place, ask)] == [GOOD, BAD]


def test_this_machine(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        spec = dataclasses.replace(SPEC, workdir=str(tmp_path / "a/b"), port=port, processes=64, devices=8)
        findings = found(spec, LOCAL)
        assert findings["port"].state == BAD
    assert findings["hosts"].state == DOUBT
    assert findings["work folder"].state == GOOD
    (tmp_path / "file").touch()
    assert found(dataclasses.replace(spec, workdir=str(tmp_path / "file/a")), LOCAL)["work folder"].state == BAD


def test_the_command_with_the_real_tools_ends_by_what_it_found(monkeypatch, capsys):
    """Offline, and with nobody logged in, the real kubectl and gcloud tell nothing: that is said, and is not good."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    line = ["--config=configs/launch/octomed_7b_v5e_256.py:gke", "--backend=jobset"]
    assert main(["launch", "doctor", *line, "--json"]) == 2
    out, err = capsys.readouterr()
    told = json.loads(out)
    states = {one["name"]: one["state"] for one in told["findings"]}
    assert states["cluster"] in (BAD, UNKNOWN)  # without kubectl nothing can be told
    assert {states["hosts"], states["JobSet"]} == {UNKNOWN}
    assert "octomed-7b could not start on jobset as it is here" in err
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = ["--config=configs/launch/demo_local.py", f"--config.port={port}", "--backend=local"]
    assert main(["launch", "doctor", *line]) == 0
    assert "demo-local on local: 0 bad" in capsys.readouterr().out


def test_the_numbers_of_each_state():
    findings = [Finding("a", GOOD, "x"), Finding("b", BAD, "y", "do z")]
    assert counted(findings) == {BAD: 1, DOUBT: 0, UNKNOWN: 0, GOOD: 1}
    assert lines(findings) == ["good     a: x", "bad      b: y", "         -> do z"]
