"""run_local: exit codes, the log, its last line, locks, and ending what was started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from octomed_jax.errors import TryAgain
from octomed_jax.launching.process import last_line, locked, run_local


def shell(text: str) -> list[str]:
    return ["sh", "-c", text]


@pytest.mark.parametrize(("text", "code"), [("exit 0", 0), ("exit 43", 43), ("kill -9 $$", 137)])
def test_exit_codes(text, code, tmp_path):
    assert run_local(shell(text), tmp_path / "log") == code


def test_output_is_appended_and_lines_are_reported(tmp_path):
    lines: list[str] = []
    log = tmp_path / "logs" / "log"
    text = "echo one; echo two >&2; sleep 0.3"
    for _ in range(2):
        assert run_local(shell(text), log, on_line=lines.append, poll_seconds=0.1) == 0
    assert log.read_text() == "one\ntwo\n" * 2
    assert lines == ["two", "two"]


def test_last_line_takes_carriage_returns_and_broken_text(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"start\nhalf\rwhole \xff\r\n\n")
    assert last_line(log) == "whole \N{REPLACEMENT CHARACTER}"
    assert last_line(tmp_path / "none") == ""


def test_a_lock_is_held_by_the_command(tmp_path):
    text = f"{sys.executable} -c 'import fcntl,os,sys; print(1)'"
    with locked(tmp_path / "lock"), pytest.raises(TryAgain, match="still works there"):
        run_local(shell(text), tmp_path / "log", lock=tmp_path / "lock")
    assert run_local(shell(text), tmp_path / "log", lock=tmp_path / "lock") == 0


def test_the_command_is_ended_when_this_process_is_asked_to_end(tmp_path):
    script = (
        "import sys; from pathlib import Path; from octomed_jax.launching.process import run_local\n"
        "run_local(['sh', '-c', 'echo $$; exec sleep 60'], Path(sys.argv[1]))\n"
    )
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", script, str(log)], stderr=subprocess.PIPE, text=True)
    pid = wait_for_pid(log)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert "TryAgain" in errors
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def wait_for_pid(log: Path) -> int:
    for _ in range(200):
        if log.exists() and log.read_text().strip():
            return int(log.read_text())
        time.sleep(0.05)
    raise AssertionError("the command did not start")
