"""Pieces of work in processes of this machine and on a real Ray cluster: each comes back, errors and kills too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.executor import engine_started, run_pieces


def square(number):
    return number * number


def fail_at_three(number):
    if number == 3:
        raise StopAndLook("three is wrong")
    return number


def killed_once(folder):
    """End the process without a word the first time, and say try again the second."""
    marks = sorted(Path(folder).glob("mark-*"))
    (Path(folder) / f"mark-{len(marks)}").touch()
    if not marks:
        os.kill(os.getpid(), signal.SIGKILL)
    if len(marks) == 1:
        raise TryAgain("its lock is still held")
    return "done"


@pytest.mark.parametrize("workers", [1, 2])
def test_every_piece_comes_back_with_its_result(workers):
    assert dict(run_pieces(square, range(7), workers=workers)) == {number: number**2 for number in range(7)}
    with pytest.raises(StopAndLook, match="three is wrong"):
        list(run_pieces(fail_at_three, range(7), workers=workers))


def threads_of(_):
    return os.environ.get("OMP_NUM_THREADS")


@pytest.mark.parametrize(("given", "wanted"), [(None, "1"), ("3", "3")])
def test_processes_compute_in_one_thread_unless_somebody_says_more(monkeypatch, given, wanted):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert {threads for _, threads in run_pieces(threads_of, range(2), workers=2)} == {wanted}
    assert os.environ.get("OMP_NUM_THREADS") == given


def process_of(_):
    return os.getpid()


def test_processes_are_kept_for_all_the_work_of_a_block():
    with engine_started("local", 2):
        first, second = ({process for _, process in run_pieces(process_of, range(8), workers=2)} for _ in range(2))
        assert list(run_pieces(process_of, [0], workers=2)) == [(0, os.getpid())]
        with pytest.raises(StopAndLook, match="three is wrong"):
            list(run_pieces(fail_at_three, range(7), workers=2))
        third = {process for _, process in run_pieces(process_of, range(8), workers=2)}
    assert len(first | second | third) <= 2
    assert os.getpid() not in first
    assert not first & {process for _, process in run_pieces(process_of, range(8), workers=2)}


def test_an_unknown_engine_is_named():
    with pytest.raises(UserError, match="unknown engine 'beam'; one of local, ray"):
        list(run_pieces(square, [1], "beam"))


PARENT = """
import sys
sys.path.insert(0, {tests!r})
from test_executor import say_and_wait
from octomed_jax.executor import run_pieces
list(run_pieces(say_and_wait, sys.argv[1:], workers=2))
"""


def say_and_wait(mark):
    partial = Path(f"{mark}.partial")
    partial.write_text(str(os.getpid()))
    partial.rename(mark)
    time.sleep(600)


def ended(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{process}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "Z"  # it ended, and nobody has asked about it yet


def until(so):
    limit = time.monotonic() + 60
    while not so():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says which processes have ended")
def test_processes_end_with_the_one_that_started_them(tmp_path):
    marks = [tmp_path / "one", tmp_path / "two"]
    code = PARENT.format(tests=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", code, *map(str, marks)]) as parent:
        until(lambda: all(mark.exists() for mark in marks))
        parent.kill()
    processes = [int(mark.read_text()) for mark in marks]
    until(lambda: all(map(ended, processes)))


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="the ray extra is not installed; make test-integration installs it")
    # The tests' modules are not installed: the cluster's processes find them as this one does.
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}})
    yield ray
    ray.shutdown()


@pytest.mark.integration
def test_ray_gives_the_same_and_survives_a_killed_process(cluster, tmp_path):
    assert cluster.is_initialized()
    assert dict(run_pieces(square, range(7), "ray")) == {number: number**2 for number in range(7)}
    with pytest.raises(StopAndLook, match="three is wrong"):
        list(run_pieces(fail_at_three, range(7), "ray"))
    assert list(run_pieces(killed_once, [str(tmp_path)], "ray")) == [(str(tmp_path), "done")]
    assert len(list(tmp_path.iterdir())) == 3
