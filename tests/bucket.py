"""A bucket for tests: gcsfs against an emulator of Google's storage, which runs as a process of its own, over HTTP."""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def emulated(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the URL of an empty bucket; ``folder`` is for the emulator's log."""
    pytest.importorskip("gcsfs", reason="the gcs extra is not installed; make test-integration installs it")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    words = [sys.executable, "-m", "tests.bucket_server", "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    with (folder / "emulator.log").open("w") as log:
        process = subprocess.Popen([*words, "--default-bucket=b"], stdout=log, stderr=log, cwd=ROOT)
        try:
            limit = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/storage/v1/b/b", timeout=5).close()
                    break
                except OSError:
                    assert time.monotonic() < limit
                    assert process.poll() is None
                    time.sleep(0.1)
            patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
            patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
            yield "gs://b"
        finally:
            process.kill()
            process.wait()
