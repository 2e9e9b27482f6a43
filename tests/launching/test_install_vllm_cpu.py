"""The script that installs vLLM for CPUs: its mistakes and its lock (tests/hf/test_verify_vllm.py serves with it)."""

import os
import re
import subprocess

import pytest

SCRIPT = "launch/teacher/install-vllm-cpu.sh"


def run(root, *words):
    environment = {**os.environ, "UV": "false"}  # installs nothing
    return subprocess.run(["sh", str(root / SCRIPT), *words], capture_output=True, text=True, env=environment)


def test_help_shows_an_example(root):
    assert os.access(root / SCRIPT, os.X_OK)
    assert "example:" in run(root, "--help").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the folder of a virtual environment comes first"),
        (["--find-links", "x"], "the folder of a virtual environment comes first"),
        (["absent"], "no virtual environment in absent; make one with: uv venv"),
    ],
)
def test_mistakes_are_one_line(root, words, message):
    result = run(root, *words)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_every_package_is_pinned_and_vllm_as_the_makefile_says(root):
    lines = (root / "launch/teacher/vllm-cpu.lock").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+]+", line) for line in lines)
    version = re.search(r"^VLLM_VERSION := (.*)$", (root / "Makefile").read_text(), re.MULTILINE)[1]
    assert f"vllm-cpu=={version}" in lines
