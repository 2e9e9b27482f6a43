"""What a run tells of itself in a file, and what of it another shell may believe."""

import socket
import subprocess
import sys
import time

import pytest
from etils import epath
from fault_server import Faults, serving
from teacher_helpers import make_config, make_question, write_folder

from octomed_jax import progress
from octomed_jax.errors import TryAgain
from octomed_jax.teacher.distill import distill
from octomed_jax.teacher.ledger import Ledger
from octomed_jax.teacher.status import Status, is_working, read_status, status_lines


@pytest.fixture
def told(tmp_path):
    with progress.bar("asking", 100, "attempts") as line:
        status = Status(epath.Path(tmp_path), 0, 1, line, temperature=0.6)
        status.owns = True
        status.show(force=True)
    [told] = read_status(tmp_path)
    return told


def test_a_process_that_is_gone_does_not_work(told):
    now = time.time()
    assert is_working(told, now)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = {**told, "process": ended.pid}
    assert not is_working(gone, now)
    assert ": GONE without a word" in "\n".join(status_lines([gone], now))
    elsewhere = {**gone, "host": f"not-{socket.gethostname()}"}  # its processes cannot be seen from here
    assert is_working(elsewhere, now)
    assert not is_working(elsewhere, now + 31)
    assert not is_working({**told, "ended": True}, now)


def test_a_process_that_is_refused_leaves_the_owners_file(tmp_path):
    folder = write_folder(tmp_path / "questions", [make_question(2)])
    with (
        serving(Faults(folder)) as url,
        Ledger(tmp_path / "run" / "shards" / "00000"),
        pytest.raises(TryAgain, match="is in use by process"),
    ):
        distill(make_config(endpoint=url), folder, tmp_path / "run")
    assert read_status(tmp_path / "run") == []


def test_copies_are_told_while_it_goes_on(told):
    lines = "\n".join(status_lines([{**told, "long_samples": 400, "copies": 300}], time.time()))
    assert "ALARM: 300 of 400 long samples are copies" in lines
    assert "ALARM" not in "\n".join(status_lines([told], time.time()))
