"""The real vLLM: its parser takes our options; a small real model is served, checked, and ends without a trace."""

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from octomed_jax.cli.main import main
from octomed_jax.configuration import load
from octomed_jax.launching.backends.token_probe import probe
from octomed_jax.teacher.server.vllm import VllmSettings, command_of, read_settings
from tests.hf.smollm import SmolLM, write_smollm
from tests.teacher.vllm_helpers import ENVIRONMENT, VLLM, needs_vllm, runs

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600), needs_vllm]
CONFIG = "configs/launch/teacher_vllm.py"
NAME = "smollm2"
PARSE = """\
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
for words in json.load(sys.stdin):
    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
    print("parsed", json.dumps({name: str(value) for name, value in vars(parsed).items()}))
"""


def test_its_own_parser_takes_our_options(root):
    full = VllmSettings(
        model="a/b", revision="abc", name="n", host="::", max_model_len=999, tensor_parallel_size=4,
        data_parallel_size=2, max_num_seqs=128, gpu_memory_utilization=0.85, images=3, max_pixels=262144,
        reasoning_parser="qwen3", extra=("--seed", "1"), cpu=True,
    )  # fmt: skip
    variants = [full, *(read_settings(load(f"{root / CONFIG}{variant}")) for variant in ("", ":text", ":cpu"))]
    words = json.dumps([command_of("vllm", settings, 8001)[2:] for settings in variants])
    python = str(ENVIRONMENT / "bin/python")
    result = subprocess.run([python, "-c", PARSE], input=words, capture_output=True, text=True, timeout=120)
    lines = [line.removeprefix("parsed ") for line in result.stdout.splitlines() if line.startswith("parsed ")]
    assert len(lines) == len(variants), result.stderr
    parsed = json.loads(lines[0])
    expected = {
        "model_tag": "a/b", "revision": "abc", "served_model_name": "['n']", "host": "::", "port": "8001",
        "max_model_len": "999", "tensor_parallel_size": "4", "data_parallel_size": "2", "max_num_seqs": "128",
        "gpu_memory_utilization": "0.85", "limit_mm_per_prompt": "{'image': 3, 'video': 0}",
        "mm_processor_kwargs": "{'max_pixels': 262144}", "reasoning_parser": "qwen3", "seed": "1",
        "disable_uvicorn_access_log": "True", "api_key": "None",
    }  # fmt: skip
    assert {name: parsed[name] for name in expected} == expected


def test_a_small_model_is_served_checked_and_gone(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    monkeypatch.setenv("TEACHER_KEY", "planted")
    with tempfile.TemporaryDirectory() as path:  # removed at once: pytest would keep the 640 MB of three runs
        folder = Path(path)
        write_smollm(SmolLM(folder), folder / "model")
        words = [
            f"--config={CONFIG}:cpu", f"--model={folder / 'model'}", f"--config.name={NAME}", "--port=0", "--images=2",
            "--config.dtype=bfloat16", "--api-key-env=TEACHER_KEY", f"--vllm={VLLM}", f"--log={folder / 'log'}",
        ]  # fmt: skip
        command = [sys.executable, "-m", "octomed_jax.cli.main", "teacher", "serve", *words, "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            ready = json.loads(process.stdout.readline() or "{}")
            family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
            commands = " ".join(word for pid in family for word in psutil.Process(pid).cmdline())
            checked = main(["teacher", "check", ready["url"], "--api-key-env=TEACHER_KEY", "--images=2", "--json"])
            facts = json.loads(capsys.readouterr().out)
            refused = main(["teacher", "check", ready["url"], "--images=0"])
            port = str(urlsplit(ready["url"]).port)
            without_key = probe(port)
            monkeypatch.setenv("VLLM_API_KEY", "planted")
            answers = [probe(port), probe(port, NAME), probe(port, "another")]
        finally:
            process.send_signal(signal.SIGTERM)
            errors = process.communicate(timeout=60)[1]
        assert (process.returncode, checked, refused) == (0, 0, 2), errors
        # The probe that a cluster has.
        assert [without_key, *answers] == ["HTTP 401", "", "", "HTTP 404"]
        assert "planted" not in commands + errors + (folder / "log").read_text()
    assert (ready["model"], ready["max_model_len"], ready["pid"]) == (NAME, 2048, process.pid)
    assert len(family) >= 2
    assert not any(runs(pid) for pid in family)
    assert (facts["model"], facts["max_model_len"], facts["images"]) == (NAME, 2048, 2)
    found = {finding["name"]: finding["found"] for finding in facts["findings"] if finding["ok"]}
    assert "5" in found["text answer"]
    assert found["n=4"] == "4 choices, 4 different"
    assert {"reachable", "key", "model", "usage", "max_tokens", "seeds", "image answer", "images"} <= set(found)
