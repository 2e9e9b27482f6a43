"""`octomed curate` in several processes, killed at several moments: nothing runs on, and the bytes are the same."""

import signal
import subprocess
import sys
import time

import pytest
from curation_helpers import curated, folder_bytes, write_folder
from curation_whole import EVERY_CONFIG, EVERY_OPTION, every_attempt, every_question

from octomed_jax.curation import curate as stage
from octomed_jax.errors import TryAgain

COMMAND = """
import sys
from octomed_jax.cli.main import main
from octomed_jax.curation import corpus
from octomed_jax.curation.pictures import image_pieces
corpus.PIECE_ROWS, image_pieces.AT_ONCE = 10, 5  # pieces are made in this process
sys.exit(main(sys.argv[1:]))
"""
# What each step writes first in its processes: when it is there, they are at work.
MOMENTS = (
    "metadata-*/*.npy",
    "decontaminate-*/overlaps/*.parquet",
    "images-*/images/hashed/*/keys.npy",
    "deduplicate-*/keys/*/exact.npy",
    "transform-*/*/0*.parquet",
)
SECONDS = 120


def running(group: int) -> list[str]:
    """Return the processes of a group that have not ended."""
    table = subprocess.run(["ps", "-A", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in table.splitlines()]
    return [" ".join(row) for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


def until(so, child=None):
    limit = time.monotonic() + SECONDS
    while not so():
        assert time.monotonic() < limit
        assert child is None or child.poll() is None, child.stderr.read()
        time.sleep(0.005)


def test_it_goes_on_and_leaves_no_process_behind(tmp_path):
    questions = write_folder(tmp_path / "questions", every_question(), row_group=7)
    attempts = every_attempt(tmp_path / "attempts")
    curated(tmp_path / "one", questions, EVERY_CONFIG, attempts=attempts)
    words = ["curate", f"--questions={questions}", f"--attempts={attempts}", f"--output={tmp_path / 'out'}"]
    command = [sys.executable, "-c", COMMAND, *words, "--workers=3", *EVERY_OPTION]
    work = tmp_path / ".out.partial" / stage.WORK
    for moment in (*MOMENTS, None):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
            if moment is None:
                assert child.wait(SECONDS) == 0, child.stderr.read()
            else:
                until(lambda: any(work.glob(moment)), child)  # noqa: B023
                assert len(running(child.pid)) > 2
                child.send_signal(signal.SIGKILL)
                child.wait()
                assert not (tmp_path / "out").exists()
            until(lambda: not running(child.pid))
    report = {"report.html", "report.json"}  # the command draws it besides
    found = {name: data for name, data in folder_bytes(tmp_path / "out").items() if name not in report}
    assert found == folder_bytes(tmp_path / "one")
    assert not (tmp_path / ".out.partial").exists()


def test_two_at_once_do_not_share_what_is_kept_of_a_bucket(tmp_path, monkeypatch):
    monkeypatch.setenv("OCTOMED_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "bucket"
    monkeypatch.setattr(stage.storage, "in_bucket", lambda path: str(path) == "gs://b/out")

    def staged(*_, **__):
        return stage.contextlib.nullcontext(folder)

    monkeypatch.setattr(stage.storage, "staged_folder", staged)
    (tmp_path / "cache" / "curate").mkdir(parents=True)
    with stage._own_place("gs://b/out", "a request", "local") as (there, kept):
        assert (there, kept.name, kept.is_dir()) == (folder, "a request", True)
        with pytest.raises(TryAgain, match="another process"), stage._own_place("gs://b/out", "other", "local"):
            raise AssertionError("it is locked")
    with stage._own_place("gs://b/out", "other", "local") as (_, other):
        assert [path.name for path in other.parent.iterdir()] == ["other"]  # what was given up is gone
