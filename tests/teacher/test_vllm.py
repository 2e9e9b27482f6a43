"""Starting, watching and ending vLLM, against a fake executable that dies, hangs or is slow (fake_vllm.py).

The real vLLM is served in tests/hf/test_verify_vllm.py and tests/teacher/test_real_vllm.py.
"""

import dataclasses
import itertools
import json
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest

from octomed_jax import configuration
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.teacher.server import vllm_log
from octomed_jax.teacher.server import vllm_process as module
from octomed_jax.teacher.server.blocking import CHAT, ask
from octomed_jax.teacher.server.vllm import (
    ROUND_IT,
    VllmSettings,
    command_of,
    environment_of,
    read_settings,
    vllm_version,
)
from octomed_jax.teacher.server.vllm_process import Liveness, model_length, serve, started, wait_until_ready, watch
from tests.teacher.vllm_helpers import Fake, runs

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
  Value error, max_model_len (9) is too large, shutdown_timeout 0
    For further information visit
"""
CONFIG = "configs/launch/teacher_vllm.py"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    return Fake(tmp_path, monkeypatch)


def settings_for(tmp_path, **fields):
    defaults = {"name": "served", "dtype": "float32", "max_model_len": 64, "images": 2, "cpu": True}
    return VllmSettings(model=str(tmp_path), **(defaults | fields))


def served(fake, tmp_path, timeout_s=30.0, name="vllm.log", **fields):
    return serve(fake.path, settings_for(tmp_path, **fields), tmp_path / "logs" / name, timeout_s)


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def options_of(words):
    return dict(itertools.pairwise(words))


def test_it_is_served_after_a_real_token_and_then_gone(fake, tmp_path, monkeypatch, capsys):
    for name in ("VLLM_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "planted")
    fake.plan(answers=[(503, "{}"), (200, "half a rep"), (200, '{"choices": []}')])
    with served(fake, tmp_path) as address:
        reply = ask(address, CHAT, {"model": "served", "max_tokens": 3}, 10.0)
        assert reply["asked"] == ["/v1/chat/completions", {"model": "served", "max_tokens": 3}]
        assert len(fake.running()) == 2
    assert fake.running() == []
    with pytest.raises(OSError, match="refused"):
        ask(address, CHAT, {}, 1.0)
    (note,) = fake.notes()
    options = options_of(note["arguments"])
    assert address.base == f"http://127.0.0.1:{options['--port']}/v1"
    assert note["environment"]["HF_HUB_OFFLINE"] == note["environment"]["VLLM_NO_USAGE_STATS"] == "1"
    assert "planted" not in json.dumps(note)
    said = capsys.readouterr().err
    assert str(tmp_path / "logs" / "vllm.log") in said.replace("\n", "")
    assert shlex.join([fake.path, *note["arguments"]]) in said
    assert "vLLM answers after" in said


@pytest.mark.parametrize("cpu", [True, False])
def test_the_small_set_up_is_for_a_cpu_alone(fake, tmp_path, cpu, monkeypatch):
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    settings = settings_for(tmp_path, cpu=cpu)
    assert ("--enforce-eager" in command_of(fake.path, settings, 1)) == cpu
    assert ("VLLM_CPU_KVCACHE_SPACE" in environment_of(settings)) == cpu
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    assert environment_of(settings)["VLLM_CPU_KVCACHE_SPACE"] == "7"


def test_the_least_is_asked_for_where_nothing_is_set(fake):
    words = command_of(fake.path, VllmSettings("a/b"), 80)
    assert words == shlex.split(
        f"{fake.path} serve a/b --served-model-name a/b --host 127.0.0.1 --port 80 --dtype auto "
        "--tensor-parallel-size 1 --data-parallel-size 1 "
        """--limit-mm-per-prompt '{"image": 0, "video": 0}' --disable-uvicorn-access-log"""
    )


def test_every_setting_is_an_option(fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = VllmSettings(
        model="bin",
        revision="abc",
        host="::",
        dtype="bfloat16",
        max_model_len=999,
        tensor_parallel_size=4,
        data_parallel_size=2,
        max_num_seqs=128,
        gpu_memory_utilization=0.85,
        images=3,
        max_pixels=262144,
        reasoning_parser="qwen3",
        extra=("--seed", "1"),
    )
    words = command_of(fake.path, settings, 8001)
    assert words[1:3] == ["serve", str(tmp_path / "bin")]  # a folder
    assert words[-2:] == ["--seed", "1"]
    options = options_of(words)
    assert json.loads(options.pop("--limit-mm-per-prompt")) == {"image": 3, "video": 0}
    assert json.loads(options.pop("--mm-processor-kwargs")) == {"max_pixels": 262144}
    expected = {
        "--revision": "abc", "--served-model-name": "bin", "--host": "::", "--port": "8001", "--dtype": "bfloat16",
        "--max-model-len": "999", "--tensor-parallel-size": "4", "--data-parallel-size": "2", "--max-num-seqs": "128",
        "--gpu-memory-utilization": "0.85", "--reasoning-parser": "qwen3",
    }  # fmt: skip
    assert expected.items() <= options.items()
    assert settings.reachable == "[::1]"


def test_a_model_of_text_has_no_pixels(fake):
    assert "--mm-processor-kwargs" not in command_of(fake.path, VllmSettings("a/b", max_pixels=9), 80)


def test_the_key_is_in_the_environment_alone(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "planted")
    with served(fake, tmp_path, api_key_env="TEACHER_KEY", images=0) as address:
        assert "planted" not in repr(address)
        assert ask(address, CHAT, {"model": "served"}, 10.0)
    (note,) = fake.notes()
    assert note["environment"]["VLLM_API_KEY"] == "planted"
    assert "TEACHER_KEY" not in note["environment"]
    assert "planted" not in json.dumps(note["arguments"])


def test_what_fetches_weights_has_a_way_to_them_and_no_token_unless_named(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "planted")
    monkeypatch.setenv("HF_ENDPOINT", "https://hub")
    monkeypatch.setenv("https_proxy", "http://proxy")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    environment = environment_of(VllmSettings("a/b"))
    assert (environment["HF_ENDPOINT"], environment["https_proxy"]) == ("https://hub", "http://proxy")
    assert "HF_HUB_OFFLINE" not in environment
    assert "planted" not in environment.values()
    assert environment_of(VllmSettings("a/b", environment=("HF_TOKEN",)))["HF_TOKEN"] == "planted"
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="names the variable HF_TOKEN, which is not set"):
        environment_of(VllmSettings("a/b", environment=("HF_TOKEN",)))
    with pytest.raises(UserError, match=r"the variable ABSENT_KEY that config\.api_key_env names is not set"):
        environment_of(VllmSettings("a/b", api_key_env="ABSENT_KEY"))


@pytest.mark.parametrize("variant", ["", ":text", ":cpu"])
def test_the_config_is_read(root, variant):
    config = configuration.load(f"{root / CONFIG}{variant}")
    settings = read_settings(config)
    assert settings.model
    assert settings.cpu == (variant == ":cpu")
    assert bool(settings.images) == (variant == "")
    assert set(config) == {field.name for field in dataclasses.fields(VllmSettings)} | set(ROUND_IT)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=", "config.model is empty"),
        ("port=70000", "port=70000"),
        ("images=-1", "config.images=-1: it must be at least 0"),
        ("tensor_parallel_size=0", "config.tensor_parallel_size=0: it must be at least 1"),
        ("gpu_memory_utilization=1.5", "gpu_memory_utilization=1.5 is too large"),
        ("api_key_env=sk-planted", "holds no NAME of a variable"),
        ("extra=--api-key,planted", "config.extra holds --api-key; use config.api_key_env"),
        ("extra=--api_key=planted", "config.extra holds --api-key; use config.api_key_env"),
        ("extra=--port,9", "config.extra holds --port; use config.port"),
        ("extra=--served-model-name,x", "config.extra holds --served-model-name; use config.name"),
        ("extra=--limit-mm-per-prompt,x", "config.extra holds --limit-mm-per-prompt; use config.images"),
    ],
)
def test_a_wrong_setting_is_named(root, override, message):
    with pytest.raises(UserError) as error:
        read_settings(configuration.load(str(root / CONFIG), [override]))
    assert message in one_line(error)
    assert "planted" not in one_line(error)


def test_two_servers_have_two_ports(fake, tmp_path):
    with served(fake, tmp_path) as first, served(fake, tmp_path, name="second.log") as second:
        assert first != second
        assert len(fake.running()) == 4
    assert fake.running() == []


def test_a_port_that_is_taken_is_named_and_nothing_started(fake, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} .*choose another --port"), served(fake, tmp_path, port=port):
            pass
    with pytest.raises(UserError, match="mend config"), served(fake, tmp_path, host="192.0.2.1"):
        pass
    assert fake.notes() == []


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        (ROOT_CAUSE, "RuntimeError: Cannot find any model weights with `x`"),
        (ASSERTION, "before it answered: AssertionError at assert sum(section) == dim // 2 (its log"),
        (VALIDATION, "1 validation error for ModelConfig Value error, max_model_len (9) is too large, shut"),
        ("usage: vllm\nvllm: error: unrecognized arguments: --x\n", "vllm: error: unrecognized arguments: --x"),
        ("loading\n\n", "before it answered: loading (its log"),
        ("", "it printed nothing"),
    ],
)
def test_a_server_that_dies_says_why_in_one_line(fake, tmp_path, printed, message):
    fake.plan(die=printed)
    with pytest.raises(UserError) as error, served(fake, tmp_path):
        pass
    assert "vLLM ended with exit code 9" in one_line(error)
    assert message in one_line(error)
    assert str(tmp_path / "logs" / "vllm.log") in one_line(error)
    assert len(fake.notes()) == 1
    assert fake.running() == []  # its worker neither


@pytest.mark.parametrize(
    "printed",
    ["httpcore2.ConnectError: [Errno -2] Name or service not known", "OSError: We couldn't connect to 'https://hub'"],
)
def test_weights_that_are_out_of_reach_are_worth_another_try(fake, tmp_path, printed):
    fake.plan(die=printed)
    with pytest.raises(TryAgain, match="before it answered"), served(fake, tmp_path):
        pass


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
    fake.plan(**plan)
    with pytest.raises(TryAgain) as error, served(fake, tmp_path, timeout_s=1.5):
        pass
    assert f"no token from vLLM in 1.5 s ({message})" in one_line(error)
    assert fake.running() == []


def test_a_refused_request_is_not_repeated(fake, tmp_path):
    fake.plan(answers=[(400, "no chat template")])
    with pytest.raises(UserError, match="HTTP 400: no chat template"), served(fake, tmp_path):
        pass
    fake.plan(blind=True)
    with pytest.raises(UserError, match=r"an image .*--images=0\): HTTP 400: no multimodal"), served(fake, tmp_path):
        pass
    with served(fake, tmp_path, images=0):
        pass
    assert fake.running() == []


def test_nothing_is_left_when_the_block_fails_and_a_worker_does_not_listen(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 1.0)
    fake.plan(stubborn=True)
    with pytest.raises(ZeroDivisionError), served(fake, tmp_path):
        _ = 1 / (len(fake.running()) - 2)
    assert fake.running() == []


def process_that_serves(fake, tmp_path):
    script = (
        "import sys, time; from pathlib import Path\n"
        "from octomed_jax.teacher.server.vllm import VllmSettings\n"
        "from octomed_jax.teacher.server.vllm_process import serve\n"
        "folder = Path(sys.argv[2])\n"
        "with serve(sys.argv[1], VllmSettings(str(folder)), folder / 'log'):\n"
        "    (folder / 'served').touch()\n"
        "    time.sleep(100)\n"
    )
    command = [sys.executable, "-c", script, fake.path, str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (tmp_path / "served").exists():
            break
        time.sleep(0.05)
    assert len(fake.running()) == 2
    return process


def test_nothing_is_left_when_this_process_is_asked_to_end(fake, tmp_path):
    process = process_that_serves(fake, tmp_path)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert "TryAgain: asked to end" in errors
    assert fake.running() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_the_server_ends_when_this_process_is_killed(fake, tmp_path):
    process = process_that_serves(fake, tmp_path)
    server, worker = fake.notes()[0]["pids"]
    process.kill()
    process.communicate(timeout=30)
    for _ in range(600):
        if not runs(server):
            break
        time.sleep(0.05)
    left = fake.running()
    assert left in ([worker], [])  # this fake, unlike vLLM, does not end its worker
    for pid in left:
        module.os.kill(pid, signal.SIGKILL)


QUICK = Liveness(every_seconds=0.05, timeout_seconds=0.3, tries=2)


def watched(fake, tmp_path, kill=False):
    """What ends the watch over a server."""
    log = tmp_path / "log"
    with started(fake.path, settings_for(tmp_path, images=0), log) as server:
        wait_until_ready(server, 30.0)
        assert model_length(server) == 64
        if kill:
            server.process.kill()
        with pytest.raises(TryAgain) as error:
            watch(server, QUICK)
    assert fake.running() == []
    assert str(log) in one_line(error)
    return one_line(error)


def test_a_server_that_dies_later_says_why(fake, tmp_path):
    fake.plan(replies=3, then="Exception: told before\nRuntimeError: the engine is gone")
    message = watched(fake, tmp_path)
    assert "vLLM ended with exit code 7 after it was ready: Exception: told before" in message


def test_what_was_logged_before_the_last_token_is_not_the_cause(tmp_path):
    log = tmp_path / "log"
    log.write_text("ValueError: a request was wrong\n")
    mark = vllm_log.size(log)
    with log.open("a") as file:
        file.write("ERROR 11-23 04:38:48 [core.py:1] MemoryError: no room\nOSError: and so\n")
    assert vllm_log.failure(log, mark) == "MemoryError: no room"
    assert vllm_log.failure(log) == "ValueError: a request was wrong"


def test_a_server_that_hangs_later_is_ended(fake, tmp_path, capsys):
    fake.plan(replies=3, then="hang")
    assert "vLLM gave no token 2 times in a row (no reply in time) and was ended" in watched(fake, tmp_path)
    said = capsys.readouterr().err
    assert [f"{number} of 2 tries" in said for number in (1, 2, 3)] == [True, True, False]


def test_a_server_under_load_is_not_ended_while_it_generates(fake, tmp_path):
    """Four times in a row it gives no token in time, and ends by itself."""
    fake.plan(replies=1, then="busy")
    assert "after it was ready: OSError: looked at often enough" in watched(fake, tmp_path)


def test_a_server_that_is_killed_is_told_apart(fake, tmp_path):
    assert "vLLM was ended by SIGKILL after it was ready" in watched(fake, tmp_path, kill=True)


def test_the_state_of_a_start_is_its_last_line(tmp_path):
    log = tmp_path / "log"
    log.write_text("(EngineCore pid=8) INFO 11-23 04:38:48 [loader.py:28] begun\n\n")
    assert vllm_log.now(log) == "begun"
    with log.open("a") as file:
        file.write("Loading shards:  50% 1/2\rLoading shards: 100% 2/2\x1b[0m\n")
    assert vllm_log.now(log) == "Loading shards: 100% 2/2[0m"
    log.write_text("")
    assert vllm_log.now(log) == ""


def test_the_version_is_the_last_word(fake):
    assert vllm_version(fake.path) == "1.2.3+cpu"


def test_a_command_that_is_none_is_named(fake, tmp_path):
    absent = str(tmp_path / "absent")
    with pytest.raises(UserError, match=f"no command {absent}; install vLLM"):
        vllm_version(absent)
    with pytest.raises(UserError, match="no command"), serve(absent, settings_for(tmp_path), tmp_path / "log"):
        pass
    fake.plan(die="Traceback\nImportError: no torch")
    with pytest.raises(UserError) as error:
        vllm_version(fake.path)
    assert "--version fails: ImportError: no torch; install vLLM again" in one_line(error)
