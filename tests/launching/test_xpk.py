"""xpk: its command line, refusals, and how the command in the pod acts on codes. ``test_real_launchers.py`` has xpk."""

import dataclasses
import shlex
import signal
from pathlib import Path

import pytest

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.backends.xpk import XPK, command_line, create_words
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.spec import Command, JobSpec, Secret
from tests.launching.acted import Stage, ended

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def spec() -> JobSpec:
    config = configuration.load(str(ROOT / "configs/launch/octomed_7b_v5e_256.py"))
    # Nothing is mounted here; what a pod does without its mounts is in test_mounts.py.
    return dataclasses.replace(read_spec(config, roots=(ROOT,)), mounts={})


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    stage.program("octomed", '#!/bin/bash\nexec planned pod "$@"\n')
    return stage


# As xpk 1.16 writes it around the command of a pod; test_real_launchers.py has the whole of it.
POD = "trap 'kill -TERM $! 2>/dev/null' TERM\n({command}) & wait $!; code=$?; wait $!; exit $code\n"


def pod(spec: JobSpec) -> list[str]:
    return ["bash", "-c", POD.format(command=command_line(spec))]


@pytest.mark.parametrize(
    ("ends", "starts", "code"),
    [((0,), 1, 0), ((42, 42, 42, 0), 4, 0), ((42, 43), 2, 43), ((1,), 1, 1), (("kill", 0), 1, 137)],
)
def test_only_42_starts_again_in_the_pod(stage, spec, ends, starts, code):
    stage.plan("pod", *ends)
    assert stage.run(pod(spec))[0] == code
    assert len(stage.words("pod")) == starts


def test_no_such_command_is_no_crash(stage, spec):
    (stage.programs / "octomed").unlink()
    assert stage.run(pod(spec), PATH=f"{stage.programs}:/usr/bin:/bin")[0] == 126


def test_term_reaches_the_trainer(stage, spec):
    stage.plan("pod", "wait", 0)
    process = stage.start(pod(spec))
    stage.until("waiting-pod")
    process.send_signal(signal.SIGTERM)
    ended(process)
    assert len(stage.words("pod")) == 1


def test_the_words_of_the_command_arrive_as_they_are(stage, spec):
    stage.plan("pod", 0)
    odd = dataclasses.replace(spec, command=Command("train", "c.py", ("a='b c'", 'd="$HOME\\n{x}"')))
    line = command_line(odd)
    assert "\n" not in line
    assert stage.run(["bash", "-c", line])[0] == 0
    assert stage.words("pod")[0].endswith("""--config.a='b c' --config.d="$HOME\\n{x}\"""")


def test_the_command_line(spec):
    words = create_words(dataclasses.replace(spec, slices=2, capacity="reserved", reservation="march", namespace="med"))
    for word in (
        "--tpu-type=v5litepod-256",
        "--num-slices=2",
        "--reservation=march",
        "--max-restarts=10",
        "--termination-grace-period-seconds=600",
        "--namespace=med",
        "--priority=medium",
        "--env=JAX_COMPILATION_CACHE_DIR=gs://YOUR_BUCKET/jax-cache",
    ):
        assert word in words
    assert XPK.files(spec) == XPK.files(spec)


def test_up_runs_the_script_that_holds_the_command(spec):
    words = shlex.split(XPK.files(spec)["xpk.sh"].replace("\\\n", " "), comments=True)
    assert words == ["exec", *create_words(spec), "$@"]
    assert XPK.up(spec, Path("out")) == [["bash", "out/xpk.sh"]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accelerator": "h100", "topology": "1x8"}, "has only TPUs"),
        ({"secrets": {"HF_TOKEN": Secret("octomed", "hf_token")}}, "secrets=HF_TOKEN: xpk only passes values"),
        ({"service_account": "octomed"}, "service_account=octomed: xpk has none"),
        ({"cluster": ""}, "cluster is empty"),
        ({"image": ""}, "image is empty"),
        ({"workdir": "runs/x"}, "lost with the machine"),
        ({"priority": "urgent"}, "none of xpk's"),
        ({"name": "n" * 40}, "1 letters too long"),
        ({"topology": "2x4"}, "topology='2x4'"),
    ],
)
def test_what_xpk_cannot_do_is_refused(spec, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        XPK.files(dataclasses.replace(spec, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("--num-slices=", "--num-slicez=", "has no --num-slicez"),
        ("--spot", "--spott", "has no --spott"),
        ("v5litepod-256", "v5litepot-256", "does not take --tpu-type=v5litepot-256"),
        ("workload create", "workload crate", "not `xpk workload create`"),
    ],
)
def test_a_planted_typo_is_caught(spec, right, wrong, message):
    files = dict(XPK.files(spec))
    XPK.check(files)
    with pytest.raises(UserError, match=message):
        XPK.check({"xpk.sh": files["xpk.sh"].replace(right, wrong, 1)})


def test_the_commands(spec):
    [words] = XPK.logs(spec, Path("out"), LogOptions(rank=63, tail=7, since="10m", follow=True))
    assert "job-index=0,batch.kubernetes.io/job-completion-index=63" in words[3]
    assert words[-2:] == ["--since=10m", "--follow"]
    assert "--tail=7" in words
    [words] = XPK.down(spec, Path("out"))
    assert words[:3] == ["xpk", "workload", "delete"]
    assert XPK.stop(spec, Path("out")) == XPK.down(spec, Path("out"))
