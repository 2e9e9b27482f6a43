"""Starting and ending vLLM, against a fake executable that dies, hangs or is slow (fake_vllm.py): fault injection.

The real vLLM is served in tests/hf/test_verify_vllm.py.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from octomed_jax.errors import UserError
from octomed_jax.teacher import vllm as module
from octomed_jax.teacher.vllm import MODEL, complete, serve, vllm_version

ROOT_CAUSE = """\
(APIServer pid=7) INFO 11-22 08:13:31 [entry.py:140] OSError: told in passing
(Worker pid=9) ERROR 11-22 08:13:48 [executor.py:95]   File "loader.py", line 104, in load
(Worker pid=9) ERROR 11-22 08:13:48 [executor.py:95] RuntimeError: Cannot find any model weights with `x`
(EngineCore pid=8) ERROR 11-22 08:13:50 [core.py:1510] Traceback (most recent call last):
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
ASSERTION = """\
(Worker pid=9) ERROR 11-22 08:13:48 [executor.py:95]     assert sum(section) == dim // 2
(Worker pid=9) ERROR 11-22 08:13:48 [executor.py:95]            ^^^^^^^^^^^^^^^^^^^^^^^^
(Worker pid=9) ERROR 11-22 08:13:48 [executor.py:95] AssertionError
"""
VALIDATION = """\
pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, max_model_len (9) is too large
    For further information visit
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """The path of a fake vllm; ``notes`` reads what its processes wrote."""
    executable = tmp_path / "bin" / "vllm"
    executable.parent.mkdir()
    source = Path(__file__).with_name("fake_vllm.py").read_text()
    executable.write_text(f"#!{sys.executable}\n{source}")
    executable.chmod(0o755)
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("VLLM_FAKE_NOTES", str(tmp_path / "notes"))
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    return str(executable)


def started(fake, tmp_path, plan=None, *, cpu=True, timeout_s=30.0, name="vllm.log"):
    os.environ["VLLM_FAKE_VLLM"] = json.dumps(plan or {})
    options = {"dtype": "float32", "max_model_len": 64, "images": 2, "cpu": cpu, "timeout_s": timeout_s}
    return serve(fake, tmp_path, log_file=tmp_path / "logs" / name, **options)


@pytest.fixture(autouse=True)
def _no_plan_left(monkeypatch):
    monkeypatch.setenv("VLLM_FAKE_VLLM", "{}")


def notes(tmp_path):
    return [json.loads(path.read_text()) for path in (tmp_path / "notes").iterdir()]


def running(tmp_path):
    """The processes of all fakes that still run, workers included."""
    left = []
    for pid in (pid for note in notes(tmp_path) for pid in note["pids"]):
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            left.append(pid)
    return left


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_it_is_served_after_a_real_token_and_then_gone(fake, tmp_path, monkeypatch, capsys):
    for name in ("VLLM_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "planted")
    warming = [(503, "{}"), (200, "half a rep"), (200, '{"choices": []}')]
    with started(fake, tmp_path, {"answers": warming}) as url:
        reply = complete(url, {"messages": [], "max_tokens": 3}, 10.0)
        assert reply["asked"] == ["/v1/chat/completions", {"model": MODEL, "messages": [], "max_tokens": 3}]
        assert len(running(tmp_path)) == 2
    assert running(tmp_path) == []
    with pytest.raises(OSError, match="refused"):
        complete(url, {"messages": []}, 1.0)
    (note,) = notes(tmp_path)
    words = note["arguments"]
    assert words[:2] == ["serve", str(tmp_path)]
    pairs = dict(itertools.pairwise(words))
    assert (pairs["--served-model-name"], pairs["--host"], pairs["--dtype"]) == (MODEL, "127.0.0.1", "float32")
    assert url == f"http://127.0.0.1:{pairs['--port']}"
    assert json.loads(pairs["--limit-mm-per-prompt"]) == {"image": 2, "video": 0}
    assert note["environment"]["HF_HUB_OFFLINE"] == note["environment"]["VLLM_NO_USAGE_STATS"] == "1"
    assert "planted" not in json.dumps(note)
    said = capsys.readouterr().err
    assert str(tmp_path / "logs" / "vllm.log") in said.replace("\n", "")
    assert "vLLM answers after" in said


@pytest.mark.parametrize("cpu", [True, False])
def test_the_small_set_up_is_for_a_cpu_alone(fake, tmp_path, cpu):
    with started(fake, tmp_path, cpu=cpu):
        pass
    (note,) = notes(tmp_path)
    assert ("--enforce-eager" in note["arguments"]) == cpu
    assert ("VLLM_CPU_KVCACHE_SPACE" in note["environment"]) == cpu


def test_two_servers_have_two_ports(fake, tmp_path):
    with started(fake, tmp_path) as first, started(fake, tmp_path, name="second.log") as second:
        assert first != second
        assert len(running(tmp_path)) == 4
    assert running(tmp_path) == []


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        (ROOT_CAUSE, "RuntimeError: Cannot find any model weights with `x`"),
        (ASSERTION, "before it answered: AssertionError at assert sum(section) == dim // 2 (its log"),
        (VALIDATION, "1 validation error for ModelConfig Value error, max_model_len (9) is too large (its"),
        ("usage: vllm\nvllm: error: unrecognized arguments: --x\n", "vllm: error: unrecognized arguments: --x"),
        ("loading\n\n", "before it answered: loading (its log"),
        ("", "it printed nothing"),
    ],
)
def test_a_server_that_dies_says_why_in_one_line(fake, tmp_path, printed, message):
    with pytest.raises(UserError) as error, started(fake, tmp_path, {"die": printed}):
        pass
    assert "vLLM ended with exit code 9" in one_line(error)
    assert message in one_line(error)
    assert str(tmp_path / "logs" / "vllm.log") in one_line(error)
    assert len(notes(tmp_path)) == 1
    assert running(tmp_path) == []  # its worker neither


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"deaf": True}, "it does not listen yet"),
        ({"hang": True}, "it listens but does not answer"),
        ({"answers": [(500, "engine\ndead")] * 1000}, "HTTP 500: engine dead"),
        ({"answers": [(200, "[]")] * 1000}, "its reply is no chat completion"),
    ],
)
def test_a_server_without_a_token_is_given_up(fake, tmp_path, plan, message):
    with pytest.raises(UserError) as error, started(fake, tmp_path, plan, timeout_s=1.5):
        pass
    assert f"no token from vLLM in 1.5 s ({message})" in one_line(error)
    assert running(tmp_path) == []


def test_a_refused_request_is_not_repeated(fake, tmp_path):
    with (
        pytest.raises(UserError, match="HTTP 400: no chat template"),
        started(fake, tmp_path, {"answers": [(400, "no chat template")]}),
    ):
        pass
    assert running(tmp_path) == []


def test_nothing_is_left_when_the_block_fails_and_a_worker_does_not_listen(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 1.0)
    with pytest.raises(ZeroDivisionError), started(fake, tmp_path, {"stubborn": True}):
        _ = 1 / (len(running(tmp_path)) - 2)
    assert running(tmp_path) == []


def test_nothing_is_left_when_this_process_is_asked_to_end(fake, tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from octomed_jax.teacher.vllm import serve\n"
        "folder = Path(sys.argv[2])\n"
        "options = dict(dtype='float32', max_model_len=64, images=1, cpu=True, log_file=folder / 'log')\n"
        "with serve(sys.argv[1], folder, **options):\n"
        "    (folder / 'served').touch()\n"
        "    time.sleep(100)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, fake, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (tmp_path / "served").exists():
            break
        time.sleep(0.05)
    assert len(running(tmp_path)) == 2
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert "TryAgain: asked to end" in errors
    assert running(tmp_path) == []


def test_the_version_is_the_last_word(fake):
    assert vllm_version(fake) == "1.2.3+cpu"


def test_a_command_that_is_none_is_named(fake, tmp_path, monkeypatch):
    absent = str(tmp_path / "absent")
    with pytest.raises(UserError, match=f"no command {absent}; install vLLM"):
        vllm_version(absent)
    with pytest.raises(UserError, match="no command"), started(absent, tmp_path):
        pass
    monkeypatch.setenv("VLLM_FAKE_VLLM", json.dumps({"die": "Traceback\nImportError: no torch"}))
    with pytest.raises(UserError) as error:
        vllm_version(fake)
    assert "--version fails: ImportError: no torch; install vLLM again" in one_line(error)
