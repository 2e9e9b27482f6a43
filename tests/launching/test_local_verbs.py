"""The local script's words, run for real: in the background, started again as on a cluster, looked at and stopped."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.backends.local import LOCAL, SCRIPT_NAME, render_local
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import Command, JobSpec
from octomed_jax.launching.tools import ask

SPEC = JobSpec(name="test", command=Command("train", "c.py"), workdir="out", processes=2, retries=2, grace_seconds=5)

# Stands for octomed: at its Nth start it does what the Nth line of codes-RANK says, later what the last one says.
FAKE = """\
#!/bin/sh
echo start >>"starts-$JAX_PROCESS_ID"
number=$(wc -l <"starts-$JAX_PROCESS_ID")
what=$(head -n "$number" "codes-$JAX_PROCESS_ID" | tail -n 1)
echo "rank $JAX_PROCESS_ID does $what"
case $what in
  saves) trap 'exit 42' TERM; echo ready >"ready-$JAX_PROCESS_ID"; while :; do sleep 0.1; done ;;
  late) trap 'exit 42' TERM; sleep 0.5; echo "said late"; exit 0 ;;
  killed) kill -KILL $$ ;;
  *) exit "$what" ;;
esac
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the config file and a fake octomed; whatever a test leaves running is ended."""
    (tmp_path / "c.py").touch()
    fake = tmp_path / "fake-octomed"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCTOMED", str(fake))
    # A shell cannot trap what was ignored when it started, and tests may run under nohup or in the background.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield tmp_path
    for number, handler in before.items():
        signal.signal(number, handler)
    for path in (tmp_path / "rendered/logs").glob("*.pid"):
        with contextlib.suppress(ProcessLookupError, ValueError, IndexError):
            os.kill(int(path.read_text().split()[0]), signal.SIGKILL)


def does(project: Path, *ranks: Sequence[str], spec: JobSpec = SPEC) -> None:
    """Say what each rank does at each of its starts, and render the script."""
    for rank, what in enumerate(ranks):
        (project / f"codes-{rank}").write_text("".join(f"{one}\n" for one in what))
    render(spec, LOCAL, project / "rendered")


def word(commands: Sequence[Sequence[str]]) -> tuple[int, str]:
    [words] = commands
    ran = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=40, check=False)
    return ran.returncode, ran.stdout


def run(name: str) -> tuple[int, str]:
    return word(getattr(LOCAL, name)(SPEC, Path("rendered")))


def logs(**options) -> tuple[int, str]:
    return word(LOCAL.logs(SPEC, Path("rendered"), LogOptions(**options)))


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state() -> str:
    [words] = LOCAL.ask_state(SPEC, Path("rendered"))
    return LOCAL.read_state(SPEC, [ask(words)]).state


def exit_code(project: Path) -> int:
    path = project / "rendered/logs/exit"
    until(path.exists)
    return int(path.read_text())


def starts(project: Path) -> int:
    return len((project / "starts-0").read_text().splitlines())


def test_it_goes_to_the_background_and_is_stopped_after_saving(project):
    does(project, ["saves"], ["saves"])
    assert run("status") == (0, "test: not started here\n")
    assert state() == "gone"
    code, printed = run("up")
    assert (code, "started in the background" in printed) == (0, True)
    until(lambda: (project / "ready-0").exists() and (project / "ready-1").exists())
    code, printed = run("status")
    assert code == 0
    assert "test: running as process" in printed
    assert "rank 1: process " in printed
    assert state() == "running"
    assert printed.count("does saves") == 2
    code, printed = run("up")
    assert (code, "still runs here" in printed) == (42, True)
    code, printed = run("stop")
    assert code == 0
    assert "asking process" in printed
    assert "test: ended with exit code 42\nrank 0: ended with exit code 42" in printed
    assert starts(project) == 1  # told to end, it does not begin again
    assert state() == "stopped"
    assert run("up")[0] == 0
    assert run("down")[0] == 0
    assert not (project / "rendered/logs").exists()
    assert (project / "rendered" / SCRIPT_NAME).exists()
    assert run("status") == (0, "test: not started here\n")


@pytest.mark.parametrize(
    ("first", "second", "code", "times"),
    [
        (["0"], ["0"], 0, 1),
        (["42", "42", "42", "0"], ["saves"] * 3 + ["0"], 0, 4),  # more often than `retries`: not counted
        (["killed", "0"], ["saves", "0"], 0, 2),
        (["killed"], ["saves"], 42, 3),  # counted, though the others say 42: two restarts
        (["saves", "saves"], ["42", "43"], 43, 2),
        (["2"], ["saves"], 2, 1),
        (["1"], ["saves"], 1, 1),
        (["127"], ["saves"], 127, 1),
    ],
)
def test_it_starts_again_as_the_first_exit_code_asks_for(project, first, second, code, times):
    does(project, first, second)
    assert run("up")[0] == 0
    assert exit_code(project) == code
    until(lambda: state() != "running")  # the script itself ends a moment after it has left its code
    assert state() == {0: "done", 42: "stopped"}.get(code, "failed")
    assert starts(project) == times
    log = (project / "rendered/logs/rank-0.log").read_text()
    assert log.count("rank 0 does") == times  # of all starts
    assert log.count("octomed launch: start ") == times - 1


def test_the_log_of_a_rank_or_of_all_and_its_end(project):
    does(project, ["42", "0"], ["0"])
    assert logs()[0] == 2  # nothing there yet
    run("up")
    exit_code(project)
    assert logs(rank=0) == (0, "rank 0 does 42\noctomed launch: start 2\nrank 0 does 0\n")
    assert logs(rank=0, tail=1) == (0, "rank 0 does 0\n")
    _, printed = logs()
    assert "rank 1 does 0" in printed
    assert "start 2, not counted: the first exit code was 42" in printed
    with pytest.raises(UserError, match=r"--since=5m: the local logs hold no times"):
        logs(since="5m")
    with pytest.raises(UserError, match="ranks 0 to 1"):
        logs(rank=2)


def test_a_log_is_followed_to_the_end_of_the_job(project):
    does(project, ["late"], ["late"])
    run("up")
    until((project / "rendered/logs/rank-1.log").exists)
    code, printed = logs(rank=1, follow=True)
    assert (code, printed) == (0, "rank 1 does late\nsaid late\n")


def test_ranks_that_outlived_what_started_them_are_found_and_stopped(project):
    does(project, ["saves"], ["saves"])
    run("up")
    until(lambda: (project / "ready-0").exists() and (project / "ready-1").exists())
    folder = project / "rendered/logs"
    keeper, rank = (int((folder / name).read_text().split()[0]) for name in ("run.pid", "rank-0.pid"))
    attempt = psutil.Process(rank).parents()[1].pid  # the rank's own parent learns its exit code
    assert psutil.Process(attempt).ppid() == keeper
    for pid in (keeper, attempt):
        os.kill(pid, signal.SIGKILL)
    until(lambda: "was killed, and process" in run("status")[1])
    assert state() == "running"
    assert run("up")[0] == 42
    _, printed = run("stop")
    assert state() == "failed"
    assert printed.count("asking process") == 2
    assert "test: killed; start it again to go on\nrank 0: ended with exit code 42" in printed


def test_a_process_that_only_has_the_number_of_ours_is_left_alone(project):
    does(project, ["0"], ["0"])
    folder = project / "rendered/logs"
    folder.mkdir()
    (folder / "run.pid").write_text(f"{os.getpid()} 1\n")  # ours, by number: not born then
    assert "test: killed" in run("status")[1]
    assert run("stop")[0] == 0
    assert run("up")[0] == 0
    assert exit_code(project) == 0


def test_a_script_with_a_typing_mistake_is_refused():
    with pytest.raises(UserError, match=r"run_local\.sh is no script that sh can read"):
        LOCAL.check({SCRIPT_NAME: render_local(SPEC).replace("esac", "ecas", 1)})


def test_a_name_with_a_quote_stays_one_word():
    spec = dataclasses.replace(SPEC, workdir="it's here")
    LOCAL.check(LOCAL.files(spec))
