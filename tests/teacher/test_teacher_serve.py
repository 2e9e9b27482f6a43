"""``octomed teacher serve`` as a process, with a fake vllm: what it prints, how it ends, and what it keeps secret."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from octomed_jax.cli.main import main
from octomed_jax.teacher.server import vllm_process
from tests.teacher.vllm_helpers import Fake

CONFIG = "--config=configs/launch/teacher_vllm.py:cpu"
QUICK = ("--config.liveness.every_seconds=0.05", "--config.liveness.timeout_seconds=0.3", "--config.liveness.tries=2")
# As from a terminal, also where the tests run in the background of a shell or with nohup, which ignore two signals.
COMMAND = (
    "import signal, sys\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    "from octomed_jax.cli.main import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def fake(tmp_path, monkeypatch, root):
    monkeypatch.chdir(root)
    return Fake(tmp_path, monkeypatch)


def words_for(fake, tmp_path, *words):
    log = tmp_path / "vllm.log"
    return [
        "teacher",
        "serve",
        CONFIG,
        f"--model={tmp_path}",
        "--port=0",
        f"--vllm={fake.path}",
        f"--log={log}",
        *words,
    ]


def process_of(fake, tmp_path, *words):
    command = [sys.executable, "-c", COMMAND, *words_for(fake, tmp_path, *words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_stays_until_it_is_asked_to_end(fake, tmp_path, monkeypatch, number):
    monkeypatch.setenv("TEACHER_KEY", "planted")
    process = process_of(fake, tmp_path, "--api-key-env=TEACHER_KEY", "--images=2", "--json", "--config.name=m")
    ready = json.loads(process.stdout.readline())
    (note,) = fake.notes()
    words = note["arguments"]
    port = words[words.index("--port") + 1]
    url = f"http://127.0.0.1:{port}/v1"
    assert ready == {"url": url, "model": "m", "max_model_len": 2048, "pid": process.pid}
    assert len(fake.running()) == 2
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "")
    assert errors.splitlines()[-1] == "asked to end: vLLM has ended"
    assert fake.running() == []
    assert note["environment"]["VLLM_API_KEY"] == "planted"
    for text in (errors, json.dumps(words), (tmp_path / "vllm.log").read_text()):
        assert "planted" not in text


def test_without_json_the_url_is_one_clear_line(fake, tmp_path):
    process = process_of(fake, tmp_path, "--", "--seed", "1")
    line = process.stdout.readline()
    (note,) = fake.notes()
    words = note["arguments"]
    url = f"http://127.0.0.1:{words[words.index('--port') + 1]}/v1"
    what = f"model {tmp_path.name}, 2048 tokens of prompt and response, text only"
    assert line == f"teacher ready: {url} ({what})\n"
    assert words[-2:] == ["--seed", "1"]
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_the_log_is_named_after_the_port(fake, tmp_path, monkeypatch, root, capsys):
    monkeypatch.chdir(tmp_path)
    fake.plan(die="ValueError: enough")
    words = [word for word in words_for(fake, tmp_path) if not word.startswith(("--log", "--config"))]
    assert main([*words, f"--config={root / 'configs/launch/teacher_vllm.py'}"]) == 2
    (note,) = fake.notes()
    port = note["arguments"][note["arguments"].index("--port") + 1]
    assert "enough" in Path(f"runs/teacher/vllm-{port}.log").read_text()
    assert f"(its log is runs/teacher/vllm-{port}.log)" in capsys.readouterr().err


def test_asked_to_end_while_it_starts_it_leaves_nothing(fake, tmp_path):
    fake.plan(hang=True)
    process = process_of(fake, tmp_path)
    assert "starting vLLM" in process.stderr.readline()
    while not fake.running():
        assert process.poll() is None
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert fake.running() == []


@pytest.mark.parametrize(
    ("plan", "code", "message"),
    [
        ({"die": "ValueError: max_model_len is too large"}, 2, "before it answered: ValueError: max_model_len"),
        ({"die": "ConnectionError: no hub"}, 42, "before it answered: ConnectionError: no hub"),
        ({"deaf": True}, 42, "no token from vLLM in 1 s (it does not listen yet)"),
        ({"replies": 3, "then": "RuntimeError: gone"}, 42, "after it was ready: RuntimeError: gone"),
        ({"replies": 3, "then": "hang"}, 42, "vLLM gave no token 2 times in a row"),
    ],
)
def test_how_it_fails(fake, tmp_path, monkeypatch, capsys, plan, code, message):
    monkeypatch.setattr(vllm_process, "SAY_SECONDS", 0.1)
    fake.plan(**plan)
    wait = ("--config.start_seconds=1",) if "deaf" in plan else ()
    assert main(words_for(fake, tmp_path, *QUICK, *wait)) == code
    captured = capsys.readouterr()
    assert message in captured.err.splitlines()[-1]
    assert ("teacher ready" in captured.out) == ("then" in plan)
    assert ("vLLM has been starting for" in captured.err) or "deaf" not in plan
    assert fake.running() == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prot=9"], "unknown option '--prot=9' (did you mean '--port'?)"),
        (["--port=http"], "config.port='http' is no int"),
        (["--images=-1"], "config.images=-1"),
        (["--config.liveness.tries=0"], "config.liveness.tries=0: it must be above 0"),
        (["--config.start_seconds=0"], "config.start_seconds=0.0: it must be above 0"),
        (["--", "--port", "9"], "config.extra holds --port; use config.port"),
        (["--vllm=absent-vllm"], "no command absent-vllm"),
        (["--api-key-env=ABSENT_KEY"], "the variable ABSENT_KEY that config.api_key_env names is not set"),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(fake, tmp_path, capsys, words, message):
    assert main(words_for(fake, tmp_path, *words)) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert fake.notes() == []


def test_a_config_without_a_field_is_named(fake, tmp_path, capsys):
    text = Path("configs/launch/teacher_vllm.py").read_text()
    for line, message in [
        ('    config.vllm = "vllm"', "config.vllm is missing; compare the config with configs/launch/teacher_vllm.py"),
        ('"tries": 5', "it must have every_seconds, timeout_seconds, tries"),
    ]:
        assert line in text
        (tmp_path / "config.py").write_text(text.replace(line, "    pass" if "config" in line else ""))
        assert main(["teacher", "serve", f"--config={tmp_path / 'config.py'}"]) == 2
        assert message in capsys.readouterr().err
    assert fake.notes() == []


def test_a_key_that_is_not_named_is_no_open_server(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VLLM_API_KEY", "planted")
    assert main(words_for(fake, tmp_path)) == 2
    said = capsys.readouterr().err
    assert "add --api-key-env=VLLM_API_KEY, or unset it" in said
    assert "planted" not in said
    assert fake.notes() == []


def test_an_open_server_says_so(fake, tmp_path, capsys):
    fake.plan(die="enough")
    assert main(words_for(fake, tmp_path, "--host=0.0.0.0")) == 2
    assert "whoever reaches 0.0.0.0 can use this server" in capsys.readouterr().err


def test_the_command_can_be_had_without_starting_it(fake, tmp_path, capsys):
    """For a container that has vLLM and not this package."""
    words = words_for(fake, tmp_path, "--tensor-parallel-size=8", "--port=8000", "--vllm=vllm-elsewhere", "--dry-run")
    assert main(words) == 0
    command = shlex.split(capsys.readouterr().out)
    assert command[:3] == ["vllm-elsewhere", "serve", str(tmp_path)]
    assert command[command.index("--tensor-parallel-size") + 1] == "8"
    assert fake.notes() == []
    assert not (tmp_path / "vllm.log").exists()
