"""One folder looks after a job, and a bucket that does not answer is given up in time."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.launching import claim
from octomed_jax.launching.reach import UnreachableError, within
from octomed_jax.launching.spec import Command, JobSpec
from tests.bucket import emulated

ROOT = Path(__file__).resolve().parents[2]


def job(workdir: object, name: str = "test") -> JobSpec:
    return JobSpec(name=name, command=Command("train", "c.py"), workdir=str(workdir))


def claimed_by_one_folder(workdir: object, here: Path) -> None:
    spec = job(workdir)
    claim.refuse_claimed(spec, here / "a", "test-1")
    claim.write_claim(spec, here / "a", "test-1")
    claim.refuse_claimed(spec, here / "moved", "test-1")  # the same launch, seen under another name
    claim.refuse_claimed(spec, here / "a", "test-2")  # the same folder, whose record was removed
    claim.refuse_claimed(job(workdir, "other"), here / "b", "other-1")
    with pytest.raises(UserError) as caught:
        claim.refuse_claimed(spec, here / "b", "test-2")
    for word in (f"test-1 was started from {here}/a on {socket.gethostname()}", f"--output={here}/a --yes", "remove "):
        assert word in str(caught.value)
    claim.release(spec, "test-2")
    assert claim.claim_path(spec).exists()
    claim.release(spec, "test-1")
    claim.refuse_claimed(spec, here / "b", "test-2")
    claim.claim_path(spec).write_text("{}")
    with pytest.raises(StopAndLook, match=r"test\.claim\.json is damaged"):
        claim.refuse_claimed(spec, here / "b", "test-2")


def test_a_job_belongs_to_the_folder_that_started_it(tmp_path):
    claimed_by_one_folder(tmp_path / "work", tmp_path)


@pytest.mark.integration
def test_a_job_in_a_bucket_belongs_to_the_folder_that_started_it(tmp_path, monkeypatch):
    with emulated(tmp_path, monkeypatch) as bucket:
        claimed_by_one_folder(f"{bucket}/work", tmp_path)


def test_two_folders_do_not_start_one_job(tmp_path, monkeypatch, capfd):
    program = tmp_path / "octomed"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("OCTOMED", str(program))
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    words = ["launch", "up", "--config=configs/launch/demo_local.py", "--backend=local"]
    words.append(f"--config.workdir={tmp_path / 'work'}")
    try:
        assert main([*words, f"--output={tmp_path / 'a'}"]) == 0
        assert main([*words, f"--output={tmp_path / 'b'}"]) == 2
        assert f"was started from {tmp_path / 'a'} on " in capfd.readouterr().err
        assert not (tmp_path / "b/launch.json").exists()
        assert len(list((tmp_path / "work/launch").glob("demo-local-*/start-*"))) == 1
        assert main(["launch", "down", f"--output={tmp_path / 'a'}", "--yes"]) == 0
        assert main([*words, f"--output={tmp_path / 'b'}"]) == 0
        assert main(["launch", "down", f"--output={tmp_path / 'b'}", "--yes"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
        for path in tmp_path.glob("*/logs/*.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError, IndexError):
                os.kill(int(path.read_text().split()[0]), signal.SIGKILL)


def test_what_does_not_answer_in_time_is_given_up():
    never = threading.Event()
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match="gs://b/run did not answer within 0 s; look at the network"):
        within(0.05, "gs://b/run", never.wait)
    assert time.monotonic() - begun < 20
    never.set()


def test_what_a_client_says_is_one_line_and_a_bug_stays_a_bug():
    def refuses():
        raise OSError("Forbidden\nhttps://example.org")

    with pytest.raises(UnreachableError, match=r"gs://b cannot be reached from here \(Forbidden https://example.org\)"):
        within(20, "gs://b", refuses)
    with pytest.raises(ZeroDivisionError):
        within(20, "gs://b", lambda: 1 / 0)
    with pytest.raises(OSError, match="Forbidden"):
        within(20, "/a/folder", refuses)
    assert within(20, "gs://b", lambda: 3) == 3


LINE = """
import sys
from octomed_jax.cli.main import main
import octomed_jax.launching.claim as claim, octomed_jax.launching.measured as measured
import octomed_jax.cli.launch_plan as plan
for module in (claim, measured, plan):
    module.READ_SECONDS = 0.5
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.integration
@pytest.mark.parametrize("verb", ["up", "plan"])
def test_a_bucket_that_never_answers_is_one_line(verb, tmp_path):
    """A server that takes calls and says nothing stands for it: with gcsfs itself, in a process that must end."""
    pytest.importorskip("gcsfs", reason="the gcs extra is not installed")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen(50)
        environment = {
            **os.environ,
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }
        words = [sys.executable, "-c", LINE, "launch", verb, "--config=configs/launch/demo_local.py", "--backend=local"]
        words += ["--config.workdir=gs://silent/run", *([f"--output={tmp_path / 'out'}"] if verb == "up" else [])]
        ran = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    said = "gs://silent/run did not answer within 0 s; look at the network"
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.returncode == (2 if verb == "up" else 0)
    if verb == "up":
        assert len(ran.stderr.splitlines()) == 1
        assert not (tmp_path / "out/launch.json").exists()
    else:
        assert "nothing was written or started" in ran.stdout
