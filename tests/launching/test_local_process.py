"""A process of this machine: exit codes, the log, its last line, locks, and ending what was started."""

import sys
import time

import pytest

from octomed_jax.launching.process import LocalProcess, last_line, locked
from octomed_jax.storage import Locked


def shell(text: str) -> list[str]:
    return ["sh", "-c", text]


def code_of(process: LocalProcess, seconds: float = 20.0) -> int:
    limit = time.monotonic() + seconds
    while (code := process.poll()) is None:
        assert time.monotonic() < limit, "the command did not end"
        time.sleep(0.01)
    return code


@pytest.mark.parametrize(("text", "code"), [("exit 0", 0), ("exit 43", 43), ("kill -9 $$", 137)])
def test_exit_codes(text, code, tmp_path):
    assert code_of(LocalProcess(shell(text), tmp_path / "log")) == code


def test_output_is_appended(tmp_path):
    log = tmp_path / "logs" / "log"
    for _ in range(2):
        assert code_of(LocalProcess(shell("echo one; echo two >&2"), log)) == 0
    assert log.read_text() == "one\ntwo\n" * 2
    assert last_line(log) == "two"


def test_last_line_takes_carriage_returns_and_broken_text(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"start\nhalf\rwhole \xff\r\n\n")
    assert last_line(log) == "whole \N{REPLACEMENT CHARACTER}"
    assert last_line(tmp_path / "none") == ""


def test_a_lock_is_held_by_the_command_itself(tmp_path):
    lock, log = tmp_path / "lock", tmp_path / "log"
    with locked(lock), pytest.raises(Locked, match="still works there"):
        LocalProcess(shell("exit 0"), log, lock)
    process = LocalProcess([sys.executable, "-c", "input()"], log, lock)  # reads from nothing: ends with 1
    assert code_of(process) == 1
    waiting = LocalProcess(shell("exec sleep 60"), log, lock)
    with pytest.raises(Locked, match="still works there"):
        LocalProcess(shell("exit 0"), log, lock)
    waiting.kill()
    assert code_of(LocalProcess(shell("exit 0"), log, lock)) == 0


@pytest.mark.parametrize(("end", "code"), [("terminate", 143), ("kill", 137)])
def test_a_command_is_ended(end, code, tmp_path):
    process = LocalProcess(shell("exec sleep 60"), tmp_path / "log")
    assert process.poll() is None
    getattr(process, end)()
    assert code_of(process) == code
