"""Curating on a real Ray cluster of two processes: the same bytes as in one process, also where it was killed."""

import signal
import subprocess
import sys
import time

import pytest
from curation_helpers import curated, folder_bytes, write_folder
from curation_whole import EVERY_CONFIG, EVERY_OPTION, every_attempt, every_question

from octomed_jax.cli.main import main
from octomed_jax.curation import corpus
from octomed_jax.curation.pictures import image_pieces

pytestmark = pytest.mark.integration
REPORT = {"report.html", "report.json"}  # the command draws it besides
COMMAND = """
import sys
from octomed_jax.cli.main import main
from octomed_jax.curation import corpus
from octomed_jax.curation.pictures import image_pieces
corpus.PIECE_ROWS, image_pieces.AT_ONCE = 10, 5
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def one(tmp_path, monkeypatch):
    """What one process makes of questions with something for every step."""
    questions = write_folder(tmp_path / "questions", every_question(), row_group=7)
    attempts = every_attempt(tmp_path / "attempts")
    curated(tmp_path / "one", questions, EVERY_CONFIG, attempts=attempts)
    monkeypatch.chdir(tmp_path)  # the cluster's processes are elsewhere
    return folder_bytes(tmp_path / "one")


def words(output):
    return ["curate", "--questions=questions", "--attempts=attempts", f"--output={output}", "--engine=ray",
            *EVERY_OPTION]  # fmt: skip


def made(folder):
    return {name: data for name, data in folder_bytes(folder).items() if name not in REPORT}


def test_it_gives_the_same_bytes(tmp_path, monkeypatch, capfd, one):
    ray = pytest.importorskip("ray", reason="the ray extra is not installed; make test-integration installs it")
    monkeypatch.setattr(corpus, "PIECE_ROWS", 10)
    monkeypatch.setattr(image_pieces, "AT_ONCE", 5)
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        assert main(words("ray")) == 0
    finally:
        ray.shutdown()
    assert made(tmp_path / "ray") == one
    assert "held out, in" in capfd.readouterr().out


def test_a_killed_driver_goes_on_with_another_cluster(tmp_path, one):
    pytest.importorskip("ray", reason="the ray extra is not installed; make test-integration installs it")
    command = [sys.executable, "-c", COMMAND, *words("ray"), "--workers=2"]
    work = tmp_path / ".ray.partial" / ".work"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
        limit = time.monotonic() + 120
        while not any(work.glob("deduplicate-*/keys/*/exact.npy")):
            assert time.monotonic() < limit
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
    assert not (tmp_path / "ray").exists()
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert made(tmp_path / "ray") == one
