"""The local script, run for real with a small command in the place of octomed."""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from octomed_jax.launching.backends.local import LOCAL, render_local
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import Command, JobSpec, Secret

SPEC = JobSpec(
    name="test", command=Command("train", "c.py:arg", ("a='b c'",)), workdir="out dir", processes=3, devices=2
)

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STARTED: list[int] = []

# Stands for octomed: notes what it got, then does as CODE_<rank> says (an exit code, or `wait`).
FAKE = """\
#!/bin/sh
printf '%s\\n' "$@" >"args-$JAX_PROCESS_ID"
echo "$JAX_PLATFORMS $XLA_FLAGS $JAX_COORDINATOR_ADDRESS $JAX_NUM_PROCESSES $JAX_PROCESS_ID ${EXTRA:-}"
echo $$ >"pid-$JAX_PROCESS_ID.partial" && mv "pid-$JAX_PROCESS_ID.partial" "pid-$JAX_PROCESS_ID"
eval "what=\\${CODE_$JAX_PROCESS_ID:-0}"
case $what in
  wait) exec sleep 60 ;;
  stubborn) trap '' TERM; while :; do sleep 0.1; done ;;
  saves) trap 'exit 42' TERM; while :; do sleep 0.1; done ;;
  *) exit "$what" ;;
esac
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the config file, a fake octomed, and the script."""
    (tmp_path / "c.py").touch()
    fake = tmp_path / "fake-octomed"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCTOMED", str(fake))
    monkeypatch.setenv("XLA_FLAGS", "--xla_own")
    yield tmp_path
    while STARTED:  # whatever a failing test left behind
        with contextlib.suppress(ProcessLookupError):
            os.killpg(STARTED.pop(), signal.SIGKILL)


def start(project: Path, spec: JobSpec = SPEC, **codes: str) -> subprocess.Popen[str]:
    (project / "rendered").mkdir(exist_ok=True)
    [script] = render(spec, LOCAL, project / "rendered")
    environment = {**os.environ, **{f"CODE_{rank[1:]}": code for rank, code in codes.items()}}
    # A shell cannot trap what was ignored when it started, and tests may run under nohup or in the background.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in PASSED_ON}
    process = subprocess.Popen(
        ["sh", str(script)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    for number, handler in before.items():
        signal.signal(number, handler)
    STARTED.append(process.pid)
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    printed, _ = process.communicate(timeout=20)
    return process.returncode, printed


def pid_of(project: Path, rank: int) -> int:
    path = project / f"pid-{rank}"
    for _ in range(200):
        if path.exists():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"rank {rank} did not start")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
def test_shells_accept_the_script(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    secret = dataclasses.replace(SPEC, secrets={"A_KEY": Secret("s", "k")}, environment={"EXTRA": "it's"})
    (tmp_path / "x.sh").write_text(render_local(secret))
    subprocess.run([shell, "-n", str(tmp_path / "x.sh")], check=True)
    assert "@" not in render_local(secret).replace('"$@"', "")


def test_every_rank_gets_its_place_and_the_same_command(project):
    code, printed = ended(start(project, dataclasses.replace(SPEC, environment={"EXTRA": "it's @PORT@ $HOME"})))
    assert (code, "the result is under out dir" in printed) == (0, True)
    for rank in range(3):
        log = (project / f"rendered/logs/rank-{rank}.log").read_text()
        flags = "--xla_own --xla_force_host_platform_device_count=2"
        assert log == f"cpu {flags} 127.0.0.1:12421 3 {rank} it's @PORT@ $HOME\n"
        words = ["train", "--config=c.py:arg", "--config.run=out dir", "--config.a='b c'"]
        assert (project / f"args-{rank}").read_text().splitlines() == words


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"_0": "42", "_1": "43", "_2": "1"}, 43),
        ({"_0": "42", "_1": "2"}, 2),
        ({"_0": "42", "_1": "1"}, 1),
        ({"_0": "7", "_1": "42"}, 7),
        ({"_1": "42"}, 42),
        ({"_0": "42", "_1": "wait", "_2": "wait"}, 42),
    ],
)
def test_the_most_serious_exit_code_wins(project, codes, expected):
    code, printed = ended(start(project, **codes))
    assert code == expected
    assert f"exit code {expected} from rank" in printed


def test_one_failing_rank_ends_the_others(project):
    process = start(project, _0="wait", _1="1", _2="wait")
    others = [pid_of(project, rank) for rank in (0, 2)]
    code, printed = ended(process)
    assert code == 1
    assert "rank 1 ended with exit code 1; ending the others" in printed
    assert not any(is_running(pid) for pid in others)


def test_a_killed_rank_ends_the_others_and_gives_its_code(project):
    process = start(project, _0="saves", _1="wait", _2="wait")
    others = [pid_of(project, rank) for rank in (0, 2)]
    os.kill(pid_of(project, 1), signal.SIGKILL)
    code, printed = ended(process)
    assert "rank 1 ended with exit code 137" in printed
    assert code == 42  # rank 0 saved when asked to stop: trying again helps
    assert not any(is_running(pid) for pid in others)


def test_a_rank_that_does_not_stop_is_killed_after_the_grace(project):
    process = start(project, dataclasses.replace(SPEC, grace_seconds=1), _0="stubborn", _1="2", _2="0")
    stubborn = pid_of(project, 0)
    code, printed = ended(process)
    assert (code, "killing" in printed) == (2, True)
    assert not is_running(stubborn)


@pytest.mark.parametrize("number", PASSED_ON)
def test_a_signal_is_passed_on(project, number):
    process = start(project, _0="saves", _1="saves", _2="saves")
    pids = [pid_of(project, rank) for rank in range(3)]
    time.sleep(0.2)  # the fake sets its trap after it wrote its id
    process.send_signal(number)
    code, _ = ended(process)
    assert code == 42
    assert not any(is_running(pid) for pid in pids)


def test_a_second_run_does_not_see_the_exit_codes_of_the_first(project):
    assert ended(start(project, _0="1"))[0] == 1
    assert ended(start(project))[0] == 0


def test_what_is_missing_is_said_before_anything_starts(project, monkeypatch):
    spec = dataclasses.replace(SPEC, secrets={"A_KEY": Secret("s", "k")})
    code, printed = ended(start(project, spec))
    assert (code, "A_KEY is not set" in printed) == (2, True)
    (project / "c.py").unlink()
    code, printed = ended(start(project, spec))
    assert (code, "no file c.py here" in printed) == (2, True)
    monkeypatch.setenv("OCTOMED", "no-such-octomed")
    code, printed = ended(start(project, spec))
    assert (code, "no command no-such-octomed" in printed) == (2, True)
    assert not (project / "rendered/logs").exists()
