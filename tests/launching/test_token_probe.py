"""The probe of a teacher: only a generated token counts, and a busy server is no dead one."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from octomed_jax.launching.backends import token_probe
from octomed_jax.launching.backends.token_probe import probe


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/metrics":
            self.server.looks += 1
            tokens = 7 + (self.server.looks if self.server.busy else 0)
            text = "# HELP vllm:generation_tokens_total Tokens.\n"
            self.reply(200, f'{text}vllm:generation_tokens_total{{engine="0"}} {tokens}.0\nother 3\n')
        else:
            self.reply(200, json.dumps({"data": [{"id": "listed"}]}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body, self.headers["Authorization"]))
        if self.server.slow:
            self.server.ended.wait(30)
            return
        self.reply(self.server.status, json.dumps({"usage": {"completion_tokens": self.server.tokens}}))

    def reply(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def server(tokens=1, status=200, slow=False, busy=False):
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.tokens, found.status, found.slow, found.busy = tokens, status, slow, busy
    found.looks, found.asked, found.ended = 0, [], threading.Event()
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.ended.set()
        found.shutdown()
        found.server_close()


def port(found) -> str:
    return str(found.server_address[1])


def test_a_token_is_ready(monkeypatch):
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    with server() as found:
        assert probe(port(found), "m") == ""
        assert probe(port(found)) == ""
    (path, body, key), (_, other, _) = found.asked
    assert (path, body["model"], body["max_tokens"], key) == ("/v1/completions", "m", 1, None)
    assert other["model"] == "listed"


def test_the_key_is_sent_where_there_is_one(monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "k")
    with server() as found:
        assert probe(port(found), "m") == ""
    assert found.asked[0][2] == "Bearer k"


@pytest.mark.parametrize(
    ("how", "wrong"),
    [({"tokens": 0}, "a reply without a token"), ({"status": 500}, "HTTP 500"), ({"tokens": None}, "TypeError")],
)
def test_a_reply_without_a_token_is_not_ready(how, wrong):
    with server(**how) as found:
        assert probe(port(found), "m").startswith(wrong)


def test_who_lists_models_and_hangs_is_not_ready():
    with server(slow=True) as found:
        assert probe(port(found), "m", 0.2, 0.01) == "no token in 0.2 s, and none for anybody else"


def test_who_writes_for_others_is_ready():
    with server(slow=True, busy=True) as found:
        assert probe(port(found), "m", 0.2, 0.01) == ""


def test_it_ends_before_kubernetes_would_end_it():
    assert token_probe.TOKEN_SECONDS + token_probe.WATCH_SECONDS + 5 < 60


def test_as_a_command_it_needs_nothing_of_ours():
    with server() as found:
        script = token_probe.__file__
        # -I: neither this folder nor the environment's packages, as in the teacher's container.
        good = subprocess.run([sys.executable, "-I", script, port(found), "m"], timeout=60)
        assert good.returncode == 0
    started = time.monotonic()
    gone = subprocess.run([sys.executable, "-I", script, port(found), "m"], capture_output=True, text=True, timeout=60)
    assert gone.returncode == 1
    assert "refused" in gone.stderr
    assert time.monotonic() - started < 60
