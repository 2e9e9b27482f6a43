"""Queued TPUs: commands, refusals, and the scripts of machine and supervisor with stand-ins for gcloud and docker."""

import dataclasses
import shlex
import signal
from pathlib import Path

import pytest

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.backends.queued_resources import (
    QUEUED_RESOURCES,
    check_create,
    create_words,
    node_names,
)
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import Command, JobSpec, Secret
from tests.launching.acted import Stage, ended

ROOT = Path(__file__).resolve().parents[2]

# The bucket is a folder; of the queue only the state is known.
GCLOUD = """\
#!/bin/bash
echo "$@" >>"$ACTED/gcloud"
bucket() { echo "$ACTED/bucket/${1#gs://}"; }
case "$*" in
  "storage cat "*) cat "$(bucket "$3")" 2>/dev/null ;;
  "storage cp - "*) mkdir -p "$(dirname "$(bucket "$4")")" && cat >"$(bucket "$4")" ;;
  "storage ls "*) ls "$(bucket "$3")" 2>/dev/null ;;
  "storage rm "*) rm -rf "$(bucket "$4")" ;;
  "secrets "*) [ -z "${NO_SECRET:-}" ] && echo "planted" ;;
  *" describe "*) cat "$ACTED/queue" ;;
  *" create "*) echo ACTIVE >"$ACTED/queue" ;;
  *" delete "*) echo GONE >"$ACTED/queue" ;;
esac
"""
DOCKER = """\
#!/bin/bash
case $1 in
  pull) [ -z "${NO_PULL:-}" ] ;;
  rm) ;;
  stop) kill -TERM "$(cat "$ACTED/container")" ;;
  run)
    echo $$ >"$ACTED/container"
    echo "$JAX_COORDINATOR_ADDRESS $JAX_NUM_PROCESSES $JAX_PROCESS_ID ${HF_TOKEN:-}" >>"$ACTED/told"
    exec planned container "$@"
    ;;
esac
"""
CURL = '#!/bin/bash\nfor last in "$@"; do :; done\ncat "$ACTED/attributes/${last##*/}"\n'
STATE = "bucket/b/run/launch/state"


@pytest.fixture
def stage(tmp_path):
    """One of two machines: the second."""
    stage = Stage(tmp_path)
    for name, text in (("gcloud", GCLOUD), ("docker", DOCKER), ("curl", CURL)):
        stage.program(name, text)
    (tmp_path / "attributes").mkdir()
    for name, value in {
        "agent-worker-number": "1",
        "worker-network-endpoints": "uid:0:10.0.0.2,uid:1:10.0.0.3",
        "tpu-env": "ACCELERATOR_TYPE: 'v5litepod-8'\n",
    }.items():
        (tmp_path / "attributes" / name).write_text(value)
    state(stage, "running")
    return stage


def state(stage: Stage, text: str | None = None) -> str:
    path = stage.folder / STATE
    if text is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return path.read_text().strip()


def attribute(stage: Stage, name: str, value: str) -> None:
    (stage.folder / "attributes" / name).write_text(value)


SPEC = JobSpec(
    name="test",
    command=Command("train", "c.py", ("a='b c'",)),
    workdir="gs://b/run",
    topology="4x4",
    image="us-docker.pkg.dev/p/octomed/trainer:1",
    project="your-project",
    zone="us-west4-a",
    retries=1,
    grace_seconds=60,
    environment={"PLAIN": "a b"},
)


def start(stage: Stage, script: str, spec: JobSpec = SPEC, **environment: str):
    render(spec, QUEUED_RESOURCES, stage.folder / "rendered")
    return stage.start(["bash", str(stage.folder / "rendered" / script)], **environment)


def acted(stage: Stage, script: str, spec: JobSpec = SPEC, **environment: str) -> tuple[int, str]:
    return ended(start(stage, script, spec, **environment))


@pytest.mark.parametrize(
    ("ends", "starts", "says"),
    [
        # That all went well is said by the first machine, and this is the second.
        ((0,), 1, "running"),
        ((42, 42, 42, 0), 4, "running"),
        ((43,), 1, "ended 43"),
        ((42, 2), 2, "ended 2"),
        (("kill", "kill", 0), 2, "ended 137"),
    ],
)
def test_a_machine_acts_on_codes_and_tells_the_others(stage, ends, starts, says):
    stage.plan("container", *ends)
    acted(stage, "startup.sh")
    assert len(stage.words("container")) == starts
    assert state(stage) == says


def test_the_first_machine_says_that_all_is_done(stage):
    attribute(stage, "agent-worker-number", "0")
    stage.plan("container", 0)
    acted(stage, "startup.sh")
    assert state(stage) == "ended 0"


def test_a_machine_is_told_where_the_others_are(stage):
    stage.plan("container", 0)
    spec = dataclasses.replace(SPEC, secrets={"HF_TOKEN": Secret("octomed", "hf_token")})
    acted(stage, "startup.sh", spec)
    assert (stage.folder / "told").read_text() == "10.0.0.2:8476 2 1 planted\n"
    [words] = stage.words("container")
    assert words.endswith("octomed/trainer:1 train --config=c.py --config.run=gs://b/run --config.a='b c'")
    assert "--env PLAIN=a b --env HF_TOKEN" in words
    assert "planted" not in words
    assert "secrets versions access latest --project=your-project --secret=octomed-hf_token" in (
        (stage.folder / "gcloud").read_text()
    )


def test_machines_of_several_slices_count_on(stage):
    attribute(stage, "worker-network-endpoints", "host-0,host-1")
    env = "MEGASCALE_COORDINATOR_ADDRESS: '10.1.0.2:8080'\nMEGASCALE_NUM_SLICES: '2'\nMEGASCALE_SLICE_ID: '1'\n"
    attribute(stage, "tpu-env", env)
    stage.plan("container", 0)
    acted(stage, "startup.sh", dataclasses.replace(SPEC, slices=2))
    assert (stage.folder / "told").read_text() == "10.1.0.2:8476 4 3 \n"


@pytest.mark.parametrize("says", ["stop", "ended 43"])
def test_stop_and_the_failure_of_another_machine_end_it(stage, says):
    stage.plan("container", "wait", 0)
    process = start(stage, "startup.sh")
    stage.until("waiting-container")
    state(stage, says)
    ended(process)
    assert len(stage.words("container")) == 1
    assert state(stage) == says
    assert (stage.folder / "bucket/b/run/launch/stopped/test-0-1").exists() == (says == "stop")


@pytest.mark.parametrize("missing", ["NO_SECRET", "NO_PULL"])
def test_a_machine_that_cannot_begin_ends_all(stage, missing):
    spec = dataclasses.replace(SPEC, secrets={"HF_TOKEN": Secret("octomed", "hf_token")})
    code, _ = acted(stage, "startup.sh", spec, **{missing: "1"})
    assert (code, state(stage)) == (2, "ended 2")
    assert not stage.words("container")


def test_a_job_that_has_ended_is_not_started_again_by_a_reboot(stage):
    state(stage, "ended 0")
    assert acted(stage, "startup.sh")[0] == 0
    assert not stage.words("container")


def test_the_supervisor_asks_again_for_what_was_taken_and_gives_back_what_has_ended(stage):
    (stage.folder / "queue").write_text("SUSPENDED\n")
    process = start(stage, "supervise.sh")
    for _ in range(200):
        if (stage.folder / "queue").read_text() == "ACTIVE\n":
            break
        signal.sigtimedwait([], 0.05)
    state(stage, "ended 43")
    assert ended(process)[0] == 43
    told = [line for line in (stage.folder / "gcloud").read_text().splitlines() if "queued-resources" in line]
    done = [line.split()[3] for line in told if "describe" not in line]
    assert done == ["delete", "create", "delete"]


def test_stop_waits_for_the_machines_and_gives_them_back(stage):
    (stage.folder / "queue").write_text("ACTIVE\n")
    process = start(stage, "stop.sh", dataclasses.replace(SPEC, topology="2x4"))
    for _ in range(200):
        if state(stage) == "stop":
            break
        signal.sigtimedwait([], 0.05)
    assert (stage.folder / "queue").read_text() == "ACTIVE\n"
    saved = stage.folder / "bucket/b/run/launch/stopped/test-0-0"
    saved.parent.mkdir(parents=True, exist_ok=True)
    saved.write_text("42\n")
    assert ended(process)[0] == 0
    assert (stage.folder / "queue").read_text() == "GONE\n"


def test_the_request_for_two_reserved_slices():
    spec = dataclasses.replace(SPEC, accelerator="v6e", slices=2, capacity="reserved", reservation="march")
    words = create_words(spec, "startup.sh")
    assert words[:6] == ["gcloud", "alpha", "compute", "tpus", "queued-resources", "create"]
    for word in ("--accelerator-type=v6e-16", "--runtime-version=v2-alpha-tpuv6e", "--node-count=2", "--reserved"):
        assert word in words
    check_create(words, "here")
    assert node_names(spec) == ["test-0", "test-1"]
    assert "--spot" in create_words(dataclasses.replace(SPEC, capacity="spot"), "startup.sh")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accelerator": "h100", "topology": "1x8"}, "has only TPUs"),
        ({"image": ""}, "image is empty"),
        ({"image": "trainer:latest"}, "no fixed tag"),
        ({"workdir": "runs/x"}, "lost with the machine"),
        ({"project": ""}, "project is empty"),
        ({"zone": ""}, "zone is empty"),
        ({"priority": "high"}, "priority=high"),
        ({"service_account": "octomed"}, "wants none of Kubernetes"),
        ({"command": Command("verify", "c.py")}, "runs on one machine"),
        ({"name": "n" * 60}, "3 letters too long"),
    ],
)
def test_what_it_cannot_do_is_refused(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        QUEUED_RESOURCES.files(dataclasses.replace(SPEC, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "right", "wrong", "message"),
    [
        ("supervise.sh", "--zone=", "--zona=", "has no --zona=us-west4-a"),
        ("supervise.sh", "--node-id=test", "--node-id=Test", "does not take --node-id=Test"),
        ("startup.sh", "esac", "easc", r"startup\.sh: line"),
    ],
)
def test_a_planted_typo_is_caught(name, right, wrong, message):
    files = dict(QUEUED_RESOURCES.files(SPEC))
    QUEUED_RESOURCES.check(files)
    files[name] = files[name].replace(right, wrong, 1)
    with pytest.raises(UserError, match=message):
        QUEUED_RESOURCES.check(files)


def test_the_commands():
    folder = Path("out")
    state, create = QUEUED_RESOURCES.up(SPEC, folder)
    assert shlex.join(state) == "gcloud storage cp out/running.state gs://b/run/launch/state"
    assert create[-1] == "--metadata-from-file=startup-script=out/startup.sh"
    [words] = QUEUED_RESOURCES.logs(SPEC, folder, LogOptions(rank=3, tail=20, since="2h"))
    assert '=~"^/?test-0-3$"' in words[3]
    assert words[-2:] == ["--limit=20", "--freshness=2h"]
    with pytest.raises(UserError, match="leave out tail and since"):
        QUEUED_RESOURCES.logs(SPEC, folder, LogOptions(tail=3, follow=True))
    assert len(QUEUED_RESOURCES.removed(dataclasses.replace(SPEC, slices=2))) == 3


def test_the_config_for_it_is_there():
    config = configuration.load(str(ROOT / "configs/launch/octomed_7b_v5e_256.py"))
    files = QUEUED_RESOURCES.files(read_spec(config, roots=(ROOT,)))
    QUEUED_RESOURCES.check(files)
    assert "--accelerator-type=v5litepod-256" in files["supervise.sh"]
