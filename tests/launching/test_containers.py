"""The container files: pinned, an ordinary user, a health check, and only files that are there."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "launch").glob("*.Dockerfile"))


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a container file, each in one line, without comments."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in whole.splitlines() if line.strip()]


def of(path: Path, name: str) -> list[str]:
    return [text for word, text in instructions(path) if word == name]


def test_there_is_one_for_the_trainer_and_one_for_the_teacher():
    assert [path.stem for path in FILES] == ["teacher", "trainer"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_base_has_a_full_version(path):
    assert of(path, "FROM") == ["${BASE}"]
    [base] = [text.partition("=")[2] for text in of(path, "ARG") if text.startswith("BASE=")]
    assert re.search(r":v?\d+\.\d+\.\d+", base), base


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_runs_as_an_ordinary_user(path):
    words = [word for word, _ in instructions(path)]
    assert of(path, "USER")[-1] == "10001"
    after = words[len(words) - 1 - words[::-1].index("USER") :]
    assert not {"RUN", "COPY", "ADD"} & set(after), "something after the last USER would be done by another user"
    assert any("useradd" in text and "10001" in text for text in of(path, "RUN"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_health_is_checked_by_a_command_that_is_there(path):
    [check] = of(path, "HEALTHCHECK")
    command = json.loads(check.partition(" CMD ")[2])
    assert {"--interval", "--timeout", "--start-period", "--retries"} == set(re.findall(r"--[a-z-]+(?==)", check))
    if path.stem == "teacher":
        assert f"{command[1]}" in [text.split()[-1] for text in of(path, "COPY")]
    else:
        assert command == ["octomed", "--version"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_copies_what_is_there_and_no_secret(path):
    for text in of(path, "COPY"):
        for source in text.split()[:-1]:
            assert (ROOT / source).exists(), source
    assert not of(path, "ADD")
    for word, text in instructions(path):
        if word in ("ENV", "ARG"):
            assert not re.search(r"TOKEN|SECRET|PASSWORD|API_KEY", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_commands_are_shell(path):
    for text in of(path, "RUN"):
        subprocess.run(["sh", "-n", "-c", text], check=True, timeout=20)


def test_the_trainer_installs_locked_packages_and_extras_that_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    runs = of(ROOT / "launch/trainer.Dockerfile", "RUN")
    installs = [text for text in runs if "uv pip install" in text]
    assert installs
    assert all("--constraint requirements.lock" in text for text in installs)
    [named] = re.findall(r"\.\[\$\{EXTRA\},(\w+)\]", " ".join(installs))
    assert {"tpu", "gpu", named} <= set(extras)
    # The uv that installs is the one of the Makefile.
    [version] = [text.partition("=")[2] for text in of(ROOT / "launch/trainer.Dockerfile", "ARG") if "UV_" in text]
    assert f"UV_VERSION := {version}\n" in (ROOT / "Makefile").read_text()


def test_the_teachers_vllm_is_the_one_whose_options_we_know():
    text = (ROOT / "Makefile").read_text()
    [version] = re.findall(r"^VLLM_VERSION := (.+)$", text, re.MULTILINE)
    assert f"BASE=vllm/vllm-openai:v{version}" in (ROOT / "launch/teacher.Dockerfile").read_text()
