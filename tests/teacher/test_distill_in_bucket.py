"""Attempts in a bucket: gcsfs against an emulator of Google's storage, over real HTTP; killed, gone on with, owned."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from etils import epath
from fault_server import Faults, serving
from teacher_helpers import folder_bytes, make_config, make_question, write_folder

from octomed_jax.cli.main import main
from octomed_jax.teacher.distill import distill
from tests.bucket import emulated

pytestmark = pytest.mark.integration
NAMES = ("attempts/part-00000.parquet", "questions.parquet", "card.md", "manifest.json")

CHILD = """
import sys
sys.path.insert(0, {tests!r})
from octomed_jax.teacher import ledger, run
from octomed_jax.teacher.distill import distill
from teacher_helpers import make_config
ledger.SEAL_SECONDS, run.TICK_SECONDS = 0.5, 0.1
distill(make_config(endpoint=sys.argv[1], in_flight=4, shards=2), sys.argv[2], sys.argv[3])
"""


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """The URL of a folder in a bucket of an emulator that runs as a process of its own."""
    monkeypatch.setenv("OCTOMED_CACHE", str(tmp_path / "cache"))
    with emulated(tmp_path, monkeypatch) as url:
        yield f"{url}/run/attempts"


def start(*words):
    code = CHILD.format(tests=str(Path(__file__).parent))
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stderr=subprocess.PIPE, text=True)


def test_a_bucket_holds_the_same_bytes_though_the_run_was_killed(bucket, tmp_path, capsys):
    questions = write_folder(tmp_path / "questions", [make_question(index, 8) for index in range(60)])
    faults = Faults(questions)
    with serving(faults) as url:
        distill(make_config(endpoint=url), questions, tmp_path / "local")
        faults.delay = 0.2
        child = start(url, questions, bucket)
        folder = epath.Path(bucket)
        while sum(faults.answered.values()) < 120 + 40:
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.02)
        faults.held = True  # so that the first is still at work, however long the second takes to begin
        second = start(url, questions, bucket)
        assert second.wait(60) == 1
        assert "is in use by process" in second.stderr.read()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        faults.delay, faults.held = 0.0, False
        child = start(url, questions, bucket)
        assert child.wait(120) == 0, child.stderr.read()
        paid_twice = sum(count - 1 for count in faults.answered.values()) - 120  # the first run is of the same requests
        assert 0 <= paid_twice <= 4
        assert list(folder.glob("shards/*/segments/segment-*.parquet"))
        assert not list((folder / "shards").glob("*/owners/*"))
        local = folder_bytes(tmp_path / "local")
        assert {name: (folder / name).read_bytes() for name in NAMES} == {name: local[name] for name in NAMES}
        assert not list((tmp_path / "cache").rglob("journal-*"))
        assert main(["distill", "--status", bucket]) == 0
        assert "240 attempts at 60 questions" in capsys.readouterr().out
