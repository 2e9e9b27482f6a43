"""The vLLM script, run against a fake vllm that notes its arguments and answers over HTTP."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "launch/teacher/serve_vllm.sh"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="serve_vllm.sh needs curl")

# Answers the first request with an error and the second with a token, as a server that is still warming up.
FAKE = """\
#!{python}
import http.server, json, os, sys
from pathlib import Path
Path("args.json").write_text(json.dumps(sys.argv[1:]))
if "--die" in sys.argv:
    sys.exit(9)
count = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global count
        count += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Path("request.json").write_text(json.dumps([self.path, self.headers.get("Authorization"), json.loads(body)]))
        silent = "--silent" in sys.argv or count < 2
        usage = {{"completion_tokens": 0 if silent else 1}}
        answer = json.dumps({{"usage": usage}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_):
        pass
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def port(tmp_path, monkeypatch):
    """A free port; a fake vllm stands on PATH, and the test runs in an empty folder."""
    fake = tmp_path / "bin" / "vllm"
    fake.parent.mkdir()
    fake.write_text(FAKE.format(python=sys.executable))
    fake.chmod(0o755)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def serve(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(["sh", str(SCRIPT), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def arguments() -> list[str]:
    import json

    return json.loads(Path("args.json").read_text())


def test_syntax():
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    assert os.access(SCRIPT, os.X_OK)


def test_help_shows_an_example():
    result = subprocess.run(["sh", str(SCRIPT), "--help"], capture_output=True, text=True, check=True)
    assert "example:" in result.stdout


def test_a_vision_model_is_ready_after_a_real_token(port, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "planted-key")
    model = "Qwen/Qwen2.5-VL-7B-Instruct"
    process = serve("--model", model, f"--port={port}", "--images=3", "--", "--seed", "1")
    assert until_ready(process) == f"teacher ready: http://127.0.0.1:{port}/v1 (model {model})\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0
    words = arguments()
    assert words[:2] == ["serve", model]
    assert words[words.index("--limit-mm-per-prompt") + 1] == '{"image": 3}'
    assert words[words.index("--mm-processor-kwargs") + 1] == '{"max_pixels": 262144}'
    assert words[-2:] == ["--seed", "1"]
    assert "--reasoning-parser" not in words
    assert "planted-key" not in " ".join(words)
    assert '"Bearer planted-key"' in Path("request.json").read_text()


def test_an_r1_model_has_its_reasoning_parser_and_no_images(port):
    process = serve("--model=deepseek-ai/DeepSeek-R1", "--name=r1", f"--port={port}")
    assert "model r1" in until_ready(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    words = arguments()
    assert words[words.index("--reasoning-parser") + 1] == "deepseek_r1"
    assert words[words.index("--served-model-name") + 1] == "r1"
    assert "--limit-mm-per-prompt" not in words


# The one that ends has all the time it needs: on a busy machine a second may pass before Python has started.
@pytest.mark.parametrize(
    ("extra", "wait", "message"), [("--die", 60, "ended before it answered"), ("--silent", 1, "no token from m")]
)
def test_a_server_that_never_answers_is_exit_42(port, extra, wait, message):
    process = serve("--model=m", f"--port={port}", f"--wait={wait}", "--", extra)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, message in errors) == (42, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--model is missing"),
        (["--model"], "--model needs a value"),
        (["--model=m", "--port=http"], "--port needs a whole number, not 'http'"),
        (["--model=m", "--gpu=1"], "unknown option '--gpu'"),
    ],
)
@pytest.mark.usefixtures("port")
def test_wrong_options_exit_2_and_start_nothing(words, message):
    process = serve(*words)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, message in errors) == (2, True)
    assert not Path("args.json").exists()
