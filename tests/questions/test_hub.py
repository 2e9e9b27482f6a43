"""A data set fetched from a hub: the real library against a server on loopback that speaks the hub's protocol."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from urllib.parse import unquote

import pytest
from test_source_medqa import FOUR

from octomed_jax.traces.lake import iterate_questions

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "phrases_no_exclude_train.jsonl": json.dumps(FOUR).encode(),
    "phrases_no_exclude_test.jsonl": json.dumps(FOUR | {"question": "Held out?"}).encode(),
    "large_and_not_wanted.bin": b"x" * 1000,
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append(path)
        if path.startswith("/api/datasets/GBaker/MedQA-USMLE-4-options"):
            if "/tree/" in path:
                listed = [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in FILES.items()
                ]
                self.send(200, json.dumps(listed).encode())
            else:
                about = {"id": "GBaker/MedQA-USMLE-4-options", "sha": COMMIT}
                self.send(200, json.dumps(about | {"siblings": [{"rfilename": name} for name in FILES]}).encode())
        elif path.startswith("/datasets/GBaker/MedQA-USMLE-4-options/resolve/"):
            self.send(200, FILES[path.rpartition("/")[2]])
        elif "gated" in path:
            self.send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        elif "busy" in path:
            self.send(503, b"{}")
        else:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def send(self, status, data, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def run(hub, tmp_path, source):
    """Build in a process of its own: the library reads its endpoint when it is imported."""
    words = ["questions", "build", "--source=medqa", f"--input={source}", f"--output={tmp_path / 'out'}"]
    variables = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "OCTOMED_CACHE": str(tmp_path / "cache")}
    variables |= {"HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [sys.executable, "-m", "octomed_jax.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, env=kept | variables, check=False)


def test_what_is_asked_for_is_fetched_and_no_more(hub, tmp_path):
    ended = run(hub, tmp_path, "hf")
    assert ended.returncode == 0, ended.stderr
    (question,) = iterate_questions(tmp_path / "out" / "questions.parquet")
    assert (question.question, question.answer) == (FOUR["question"], FOUR["answer"])
    assert not any("not_wanted" in path for path in hub.asked)
    folder = tmp_path / "cache" / "hub" / "GBaker--MedQA-USMLE-4-options" / COMMIT
    assert {path.name for path in folder.glob("*.jsonl")} == {name for name in FILES if name.endswith(".jsonl")}
    assert not any(path.is_symlink() for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("hf:some/gated-set", 2, "some/gated-set is gated; accept its terms on its page"),
        ("hf:some/none", 2, "the hub has no data set 'some/none'"),
        ("hf:none", 2, "--input=hf:none names no data set of the hub; write hf:OWNER/NAME"),
        ("hf:../..", 2, "names no data set of the hub"),
        ("hf:some/busy", 42, "some/busy cannot be fetched ("),
    ],
)
def test_what_cannot_be_fetched_is_one_line(hub, tmp_path, source, code, words):
    ended = run(hub, tmp_path, source)
    assert (ended.returncode, words in ended.stderr.splitlines()[-1]) == (code, True), ended.stderr
    assert not (tmp_path / "out").exists()
