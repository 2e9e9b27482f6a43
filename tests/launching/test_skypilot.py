"""SkyPilot: the task, refusals, and how its script acts on codes. ``test_real_launchers.py`` has SkyPilot's loader."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.backends.skypilot import SKYPILOT
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.spec import Command, JobSpec, Secret
from tests.launching.acted import Stage, ended

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def spec() -> JobSpec:
    config = configuration.load(str(ROOT / "configs/launch/octomed_7b_v5e_256.py"))
    return read_spec(config, roots=(ROOT,))


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    (tmp_path / "octomed/bin").mkdir(parents=True)
    told = 'echo "${JAX_COORDINATOR_ADDRESS:-} ${JAX_NUM_PROCESSES:-} ${JAX_PROCESS_ID:-}" >>"$ACTED/told"\n'
    octomed = tmp_path / "octomed/bin/octomed"
    octomed.write_text(f'#!/bin/bash\n{told}exec planned machine "$@"\n')
    octomed.chmod(0o755)
    stage.program("gcloud", '#!/bin/bash\n[ "$1 $2" = "storage cat" ] && cat "$ACTED/state"\n')
    (tmp_path / "state").write_text("running\n")
    return stage


def task_of(spec: JobSpec) -> dict:
    return yaml.safe_load(SKYPILOT.files(spec)["sky.yaml"])


def machine(stage: Stage, spec: JobSpec):
    places = {"HOME": str(stage.folder), "SKYPILOT_NODE_IPS": "10.0.0.2\n10.0.0.3", "SKYPILOT_NODE_RANK": "1"}
    return stage.start(["bash", "-c", task_of(spec)["run"]], **places)


@pytest.mark.parametrize(
    ("ends", "starts", "code"),
    [((0,), 1, 0), ((42, 42, 0), 3, 0), ((43,), 1, 43), ((1,), 1, 1), ((2,), 1, 2), (("kill", "kill", 0), 2, 137)],
)
def test_codes_are_acted_on_before_skypilot_sees_them(stage, spec, ends, starts, code):
    stage.plan("machine", *ends)
    assert ended(machine(stage, dataclasses.replace(spec, retries=1)))[0] == code
    assert len(stage.words("machine")) == starts
    # What is left after that: 42 of a machine that is taken away starts again, all else ends.
    recovery = task_of(spec)["resources"]["job_recovery"]
    assert recovery == {"max_restarts_on_errors": 0, "recover_on_exit_codes": [42]}


def test_stop_saves_and_ends_well(stage, spec):
    stage.plan("machine", "wait", 0)
    process = machine(stage, spec)
    stage.until("waiting-machine")
    (stage.folder / "state").write_text("stop\n")
    code, printed = ended(process)
    assert code == 0
    assert "saved, and stopped with exit code 42" in printed
    assert len(stage.words("machine")) == 1


def test_the_machines_of_a_slice_are_told_where_they_meet(stage, spec):
    stage.plan("machine", 0)
    ended(machine(stage, spec))
    assert (stage.folder / "told").read_text() == "10.0.0.2:8476 2 1\n"
    assert stage.words("machine")[0].startswith("train --config=configs/octomed_7b.py --config.run=gs://YOUR_BUCKET")


def test_each_machine_distills_its_share(stage, spec):
    stage.plan("machine", 0)
    cpu = dataclasses.replace(spec, accelerator="cpu", topology="2", command=Command("distill", "c.py"))
    ended(machine(stage, cpu))
    assert stage.words("machine")[0].endswith(" --shard=1/2")
    assert task_of(cpu)["num_nodes"] == 2
    assert "accelerators" not in task_of(cpu)["resources"]


def test_the_task(spec):
    task = task_of(spec)
    assert task["resources"]["accelerators"] == "tpu-v5litepod-256"
    assert task["resources"]["infra"] == "gcp/us-west4/us-west4-a"
    assert task["resources"]["use_spot"] is True
    assert "num_nodes" not in task
    assert "'.[tpu]'" in task["setup"]
    gpu = task_of(dataclasses.replace(spec, accelerator="h100", topology="4x8", zone="", capacity="on_demand"))
    assert gpu["num_nodes"] == 4
    assert gpu["resources"]["accelerators"] == "H100:8"
    assert gpu["resources"]["infra"] == "gcp"
    assert SKYPILOT.files(spec) == SKYPILOT.files(spec)


def test_secrets_go_by_name_alone(spec):
    secret = dataclasses.replace(spec, secrets={"HF_TOKEN": Secret("octomed", "hf_token")})
    assert task_of(secret)["secrets"] == {"HF_TOKEN": None}
    SKYPILOT.check(SKYPILOT.files(secret))
    _, words = SKYPILOT.up(secret, Path("out"))
    assert words[words.index("--secret") + 1] == "HF_TOKEN"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bundle": ""}, "bundle is empty"),
        ({"workdir": "runs/x"}, "lost with the machine"),
        ({"slices": 2}, "one slice a job"),
        ({"capacity": "reserved", "reservation": "march"}, "specific_reservations"),
        ({"priority": "high"}, "priority=high"),
        ({"service_account": "octomed"}, "remote_identity"),
        ({"command": Command("verify", "c.py")}, "runs on one machine"),
    ],
)
def test_what_skypilot_cannot_do_is_refused(spec, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        SKYPILOT.files(dataclasses.replace(spec, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("use_spot: true", "use_spt: true", r"no field resources\.use_spt \(did you mean 'use_spot'\?\)"),
        ("use_spot: true", "use_spot: maybe", r"resources\.use_spot='maybe' is no bool"),
        ("resources:", "resorces:", "no field resorces"),
        ("esac", "easc", r"sky\.yaml: run: line"),
        ("resources:", "- resources:", "is no YAML"),
    ],
)
def test_a_planted_typo_is_caught(spec, right, wrong, message):
    files = dict(SKYPILOT.files(spec))
    SKYPILOT.check(files)
    files["sky.yaml"] = files["sky.yaml"].replace(right, wrong, 1)
    with pytest.raises(UserError, match=message):
        SKYPILOT.check(files)


def test_the_commands(spec):
    folder = Path("out")
    state, launch = SKYPILOT.up(spec, folder)
    assert state == ["gcloud", "storage", "cp", "out/running.state", "gs://YOUR_BUCKET/octomed-7b/launch/state"]
    assert launch[-1] == "out/sky.yaml"
    assert SKYPILOT.stop(spec, folder)[0][3] == "out/stop.state"
    assert SKYPILOT.logs(spec, folder, LogOptions(tail=9))[0][-3:] == ["--no-follow", "--tail", "9"]
    for options, message in ((LogOptions(rank=1), "rank=1"), (LogOptions(since="1h"), "since='1h'")):
        with pytest.raises(UserError, match=message):
            SKYPILOT.logs(spec, folder, options)
