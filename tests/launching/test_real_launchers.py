"""Rendered files shown to the real programs, offline: xpk's dry run, SkyPilot's loader, gcloud's parser, shellcheck."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from octomed_jax import configuration
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.backends.jobset import JOBSET
from octomed_jax.launching.backends.queued_resources import QUEUED_RESOURCES
from octomed_jax.launching.backends.skypilot import SKYPILOT
from octomed_jax.launching.backends.slurm import SLURM
from octomed_jax.launching.backends.xpk import XPK, create_words
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import JobSpec, Secret
from tests.launching.acted import Stage, ended
from tests.launching.kubelet import filled_in

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
XPK_BIN = ROOT / ".venv-xpk/bin"
SKY_PYTHON = ROOT / ".venv-sky/bin/python"
SHELLCHECK = ROOT / ".tools/shellcheck/bin/shellcheck"
GCLOUD = shutil.which("gcloud")

needs_xpk = pytest.mark.skipif(
    not (XPK_BIN.parent / ".ready").exists() or GCLOUD is None or shutil.which("kubectl") is None,
    reason="no xpk here (make .venv-xpk/.ready), or no gcloud and kubectl, without which it does not start",
)
needs_sky = pytest.mark.skipif(
    not (SKY_PYTHON.parents[1] / ".ready").exists(), reason="no SkyPilot here (make .venv-sky/.ready)"
)
needs_gcloud = pytest.mark.skipif(GCLOUD is None, reason="no gcloud on PATH")
needs_shellcheck = pytest.mark.skipif(
    not (SHELLCHECK.parents[1] / ".ready").exists(), reason="no shellcheck here (make .tools/shellcheck/.ready)"
)


def read(name: str) -> JobSpec:
    return read_spec(configuration.load(str(ROOT / "configs/launch" / name)), roots=(ROOT,))


SPEC = read("octomed_7b_v5e_256.py")
NOTHING_MOUNTED = dataclasses.replace(SPEC, mounts={})  # its pod looks for them
TWO_SLICES = dataclasses.replace(SPEC, accelerator="v6e", slices=2, name="octomed-7b-v6e")


def run(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program that finds no account and no settings of whoever runs the tests."""
    away = {"HOME": str(folder), "CLOUDSDK_CONFIG": str(folder / "gcloud"), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    away |= {"KUBECONFIG": str(folder / "kubeconfig"), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1", **environment}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDSDK", "PYTHONPATH"))}
    return subprocess.run(
        words, env={**kept, **away}, cwd=ROOT, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )


def xpk(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return run(words, folder, PATH=f"{XPK_BIN}:{os.environ['PATH']}")


def xpk_manifest(spec: JobSpec, folder: Path) -> dict:
    """Return the JobSet that xpk makes of the rendered script."""
    [script] = render(spec, XPK, folder / "rendered")
    manifest = folder / "manifest.yaml"
    words = ["bash", str(script), "--dry-run", "--skip-validation", f"--output-manifest-file={manifest}"]
    done = xpk(words, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return yaml.safe_load(manifest.read_text())


@needs_xpk
@pytest.mark.parametrize("spec", [SPEC, TWO_SLICES], ids=["v5e-256", "two of v6e-256"])
def test_xpk_makes_the_jobset_that_we_make_where_they_overlap(spec, tmp_path):
    theirs = xpk_manifest(spec, tmp_path)
    ours = yaml.safe_load(JOBSET.files(spec)["jobset.yaml"])
    assert overlap(theirs) == overlap(ours)


def overlap(manifest: dict) -> dict:
    [job] = manifest["spec"]["replicatedJobs"]
    of_job = job["template"]["spec"]
    pod = of_job["template"]["spec"]
    [container] = pod["containers"]
    selector = {
        name: pod["nodeSelector"][f"cloud.google.com/{name}"] for name in ("gke-tpu-accelerator", "gke-tpu-topology")
    }
    return {
        "name": manifest["metadata"]["name"],
        "version": manifest["apiVersion"],
        "annotations": manifest["metadata"]["annotations"],
        "slices": job["replicas"],
        "hosts": (of_job["completions"], of_job["parallelism"]),
        "backoff": of_job["backoffLimit"],
        "restarts": manifest["spec"]["failurePolicy"]["maxRestarts"],
        "restart": pod["restartPolicy"],
        "grace": pod["terminationGracePeriodSeconds"],
        "selector": selector,
        "image": container["image"],
        "chips": str(container["resources"]["limits"]["google.com/tpu"]),
        "environment": {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry},
    }


@needs_xpk
@pytest.mark.parametrize(("ends", "starts", "code"), [((42, 42, 0), 3, 0), ((43,), 1, 43), (("kill",), 1, 137)])
def test_the_script_that_xpk_writes_acts_on_codes(ends, starts, code, tmp_path):
    stage = Stage(tmp_path / "stage")
    stage.program("octomed", '#!/bin/bash\nexec planned pod "$@"\n')
    stage.plan("pod", *ends)
    assert stage.run(pod_command(xpk_manifest(NOTHING_MOUNTED, tmp_path)))[0] == code
    assert len(stage.words("pod")) == starts


@needs_xpk
def test_the_script_that_xpk_writes_passes_term_on(tmp_path):
    stage = Stage(tmp_path / "stage")
    stage.program("octomed", '#!/bin/bash\nexec planned pod "$@"\n')
    stage.plan("pod", "wait", 0)
    process = stage.start(pod_command(xpk_manifest(NOTHING_MOUNTED, tmp_path)))
    stage.until("waiting-pod")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 42
    assert len(stage.words("pod")) == 1


def pod_command(manifest: dict) -> list[str]:
    [job] = manifest["spec"]["replicatedJobs"]
    [container] = job["template"]["spec"]["template"]["spec"]["containers"]
    return [filled_in(word, {}) for word in container["command"]]


@needs_xpk
def test_a_code_that_must_not_be_tried_again_fails_the_jobset_of_xpk(tmp_path):
    manifest = xpk_manifest(SPEC, tmp_path)
    [job] = manifest["spec"]["replicatedJobs"]
    [rule] = job["template"]["spec"]["podFailurePolicy"]["rules"]
    again = rule["onExitCodes"]["values"]
    assert (rule["action"], rule["onExitCodes"]["operator"]) == ("FailJob", "NotIn")
    assert not {1, 2, 43, 126} & set(again)
    assert {137, 139, 143} <= set(again)


@needs_xpk
def test_xpk_refuses_a_planted_typo_and_takes_the_other_commands(tmp_path):
    words = create_words(SPEC)
    typo = xpk([*[word.replace("--num-slices", "--num-slicez") for word in words], "--dry-run"], tmp_path)
    assert typo.returncode != 0
    assert "--num-slicez" in typo.stderr
    wrong = xpk([*[word.replace("v5litepod-256", "v5litepod-255") for word in words], "--dry-run"], tmp_path)
    assert wrong.returncode != 0
    for words in (*XPK.status(SPEC, tmp_path), *XPK.down(SPEC, tmp_path)):
        done = xpk([*words, "--dry-run", "--skip-validation"], tmp_path)
        assert "error: " not in done.stderr, done.stderr
        assert done.returncode == 0, done.stdout + done.stderr


LOAD = """\
import json, sys, sky
task = sky.Task.from_yaml(sys.argv[1])
[resources] = task.resources
print(json.dumps({"name": task.name, "nodes": task.num_nodes, "accelerators": resources.accelerators,
    "arguments": resources.accelerator_args, "spot": resources.use_spot, "zone": resources.zone,
    "recovery": resources.job_recovery, "secrets": sorted(task.secrets),
    "mounts": {path: [one.source, one.mode.value] for path, one in task.storage_mounts.items()}}))
"""
PARSE = """\
import sys
from sky.client.cli.command import cli
group, words = cli, sys.argv[1:]
while words and words[0] in getattr(group, "commands", {}):
    group = group.commands[words.pop(0)]
group.make_context("sky", words)
print("taken")
"""


def sky(script: str, words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run([str(SKY_PYTHON), "-c", script, *words], folder, **environment)


@needs_sky
def test_skypilots_loader_takes_the_task(tmp_path):
    spec = dataclasses.replace(SPEC, secrets={"HF_TOKEN": Secret("octomed", "hf_token")})
    path, *_ = render(spec, SKYPILOT, tmp_path / "rendered")
    # As it is with the value that `sky jobs launch --secret HF_TOKEN` puts in.
    given = tmp_path / "given.yaml"
    given.write_text(
        path.read_text().replace("HF_TOKEN: null", "HF_TOKEN: planted").replace("YOUR_BUCKET", "your-bucket")
    )
    done = sky(LOAD, [str(given)], tmp_path)
    assert done.returncode == 0, done.stderr
    task = json.loads(done.stdout.splitlines()[-1])
    assert task["accelerators"] == {"tpu-v5litepod-256": 1}
    assert task["arguments"] == {"runtime_version": "v2-alpha-tpuv5-lite", "tpu_vm": True}
    assert (task["name"], task["nodes"], task["spot"], task["zone"]) == ("octomed-7b", 1, True, "us-west4-a")
    assert task["secrets"] == ["HF_TOKEN"]
    assert task["mounts"] == {"/octomed-buckets/your-bucket": ["gs://your-bucket", "MOUNT"]}
    assert {**task["recovery"], "strategy": None} == {
        "strategy": None,
        "max_restarts_on_errors": 0,
        "recover_on_exit_codes": [42],
    }


@needs_sky
@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("use_spot: true", "use_spt: true", "use_spot"),
        ("use_spot: true", "use_spot: maybe", "maybe"),
        ("resources:", "resorces:", "resorces"),
        ("- 42", "- 420", "420"),
    ],
)
def test_skypilot_refuses_a_planted_typo(right, wrong, message, tmp_path):
    path = tmp_path / "sky.yaml"
    path.write_text(SKYPILOT.files(SPEC)["sky.yaml"].replace(right, wrong, 1))
    done = sky(LOAD, [str(path)], tmp_path)
    assert done.returncode != 0
    assert message in done.stderr


@needs_sky
def test_skypilot_takes_our_commands(tmp_path):
    spec = dataclasses.replace(SPEC, secrets={"HF_TOKEN": Secret("octomed", "hf_token")})
    options = LogOptions(tail=20, follow=True)
    commands = [
        SKYPILOT.up(spec, tmp_path)[1],
        *SKYPILOT.status(spec, tmp_path),
        *SKYPILOT.logs(spec, tmp_path, options),
        *SKYPILOT.down(spec, tmp_path),
    ]
    for words in commands:
        assert words[0] == "sky"
        done = sky(PARSE, words[1:], tmp_path, HF_TOKEN="planted")
        assert done.stdout.endswith("taken\n"), done.stderr
    typo = sky(PARSE, ["jobs", "queue", "--verboze"], tmp_path)
    assert "--verboze" in typo.stderr


def gcloud(words: list[str], folder: Path) -> str:
    """Return what gcloud says: without an account it stops after it has taken the words."""
    done = run(words, folder, CLOUDSDK_CORE_CHECK_GCE_METADATA="false")
    assert done.returncode != 0
    return done.stderr


@needs_gcloud
@pytest.mark.parametrize(
    "spec",
    [SPEC, dataclasses.replace(TWO_SLICES, capacity="reserved", reservation="march")],
    ids=["v5e-256", "two reserved of v6e-256"],
)
def test_gcloud_takes_our_commands(spec, tmp_path):
    render(spec, QUEUED_RESOURCES, tmp_path / "rendered")
    folder = tmp_path / "rendered"
    commands = [
        *QUEUED_RESOURCES.up(spec, folder),
        *QUEUED_RESOURCES.status(spec, folder),
        *QUEUED_RESOURCES.logs(spec, folder, LogOptions(rank=1, tail=20, since="2h")),
        *QUEUED_RESOURCES.logs(spec, folder, LogOptions(follow=True)),
        *QUEUED_RESOURCES.down(spec, folder),
        *SKYPILOT.stop(spec, folder),
    ]
    if spec.slices > 1:  # the same but for the request itself
        commands = QUEUED_RESOURCES.up(spec, folder)[1:]
    for words in commands:
        assert "do not currently have an active account" in gcloud(list(words), tmp_path), words


@needs_gcloud
@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [("--zone=", "--zona=", "--zona="), ("--runtime-version=", "--runtime-versoin=", "--runtime-versoin=")],
)
def test_gcloud_refuses_a_planted_typo(right, wrong, message, tmp_path):
    render(SPEC, QUEUED_RESOURCES, tmp_path)
    words = [word.replace(right, wrong) for word in QUEUED_RESOURCES.up(SPEC, tmp_path)[1]]
    said = gcloud(words, tmp_path)
    assert "unrecognized arguments" in said
    assert message in said


def scripts() -> dict[str, str]:
    """Return every script that these back ends render."""
    secret = {"HF_TOKEN": Secret("octomed", "hf_token")}
    found = {f"queued/{name}": text for name, text in QUEUED_RESOURCES.files(replaced(SPEC, secret)).items()}
    found |= {f"two/{name}": text for name, text in QUEUED_RESOURCES.files(TWO_SLICES).items()}
    found |= XPK.files(SPEC)
    for variant in ("distill_slurm.py", "distill_slurm.py:cpu"):
        found |= {f"{variant}/{name}": text for name, text in SLURM.files(read(variant)).items()}
    train = dataclasses.replace(
        SPEC, accelerator="h100", topology="4x8", capacity="on_demand", bundle="/shared/octomed"
    )
    found |= {f"train/{name}": text for name, text in SLURM.files(train).items()}
    for spec in (SPEC, train):
        task = yaml.safe_load(SKYPILOT.files(spec)["sky.yaml"])
        found |= {f"{spec.accelerator}/{part}.sh": f"#!/bin/bash\n{task[part]}" for part in ("setup", "run")}
    return {name: text for name, text in found.items() if not name.endswith((".state", ".yaml"))}


def replaced(spec: JobSpec, secrets: dict[str, Secret]) -> JobSpec:
    return dataclasses.replace(spec, secrets=secrets)


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker on PATH")
def test_docker_takes_the_options_of_a_machine_and_refuses_a_planted_one(tmp_path):
    """docker reads its options in their order, before it asks its daemon: the first that it does not know is ours."""
    text = dict(QUEUED_RESOURCES.files(SPEC))["startup.sh"]
    words = shlex.split(re.search(r"^trainer=\(\n(.*?)^\)$", text, flags=re.MULTILINE | re.DOTALL)[1])
    image = words.index("$image")
    for right, wrong in (("", ""), ("--stop-timeout", "--stop-time"), ("--ulimit", "--ulimits")):
        planted = [wrong if word == right else word for word in words[:image]]
        done = run([*planted, "--octomed-no-such-flag", *words[image:]], tmp_path)
        assert f"unknown flag: {wrong or '--octomed-no-such-flag'}" in done.stdout + done.stderr


@needs_shellcheck
def test_shellcheck_finds_nothing(tmp_path):
    paths = []
    for number, text in enumerate(scripts().values()):
        paths.append(tmp_path / f"{number}.sh")
        paths[-1].write_text(text)
    assert len(paths) > 10
    done = run([str(SHELLCHECK), "--shell=bash", "--severity=warning", *map(str, paths)], tmp_path)
    assert done.returncode == 0, done.stdout


@needs_shellcheck
def test_shellcheck_finds_a_planted_typo_that_bash_reads(tmp_path):
    path = tmp_path / "job.sh"
    text = SLURM.files(read("distill_slurm.py"))["job.sbatch"]
    path.write_text(text.replace("case $code in", "case $cdoe in", 1))
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    done = run([str(SHELLCHECK), "--shell=bash", "--severity=warning", str(path)], tmp_path)
    assert "cdoe is referenced but not assigned" in done.stdout
