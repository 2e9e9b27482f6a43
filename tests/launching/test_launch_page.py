"""docs/launch.md: the commands of its example are run in their order, and what they print is what the page says.

A small command stands in the place of the training, which the page leaves out with ``...``.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from octomed_jax.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
OCTOMED = """\
#!/bin/sh
trap 'exit 42' TERM
echo "rank $JAX_PROCESS_ID is there"
while :; do sleep 0.1; done
"""
# What differs from run to run, and what stands for it on the page.
VARIES = (
    (r"demo-local-\d{8}-\d{6}-[0-9a-f]{4}", "demo-local-20260301-120000-beef"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "2026-03-01T12:00:00+00:00"),
    (r"\bprocess \d+", "process 4711"),
    (r"(in|removed) /\S+/runs/", r"\1 /.../runs/"),
    (r"on \d+ core\(s\)", "on 2 core(s)"),
    (r"port: \d+ is free", "port: 12421 is free"),
    (r"tool: /\S+/sh$", "tool: /usr/bin/sh"),
    (r"^(good|doubt)( *)hosts", r"good     hosts"),
    (r"^ *-> they share the cores.*\n", ""),
    (r"\d doubt, 0 unknown, \d good", "0 doubt, 0 unknown, 6 good"),
    (r"^(rank \d: .*?): rank \d is there$", r"\1: ..."),
    (r"^rank \d is there$", "..."),
)


def as_on_the_page(text: str) -> list[str]:
    for pattern, instead in VARIES:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text.splitlines()


def examples(page: str) -> list[tuple[str, list[str]]]:
    """Return the commands of the page's example, each with the lines that it prints."""
    [block] = re.findall(r"```console\n(.*?)```", page, flags=re.DOTALL)
    parts = [part.strip().splitlines() for part in block.split("\n\n")]
    return [(first.removeprefix("$ "), rest) for first, *rest in parts]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The root of a project, with a small command in the place of octomed."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    config = tmp_path / "configs/launch/demo_local.py"
    with socket.socket() as probe:  # the port of the page may be taken here
        probe.bind(("127.0.0.1", 0))
        changed = config.read_text().replace("config.port = 12421", f"config.port = {probe.getsockname()[1]}")
    assert changed != config.read_text()
    config.write_text(changed)
    program = tmp_path / "bin" / "octomed"
    program.parent.mkdir()
    program.write_text(OCTOMED)
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("OCTOMED", raising=False)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a shell cannot trap what was ignored when it started
    yield tmp_path
    signal.signal(signal.SIGTERM, before)
    for path in (tmp_path / "runs/launch-local/logs").glob("*.pid"):
        with contextlib.suppress(ProcessLookupError, ValueError, IndexError):
            os.kill(int(path.read_text().split()[0]), signal.SIGKILL)


def test_the_example_prints_what_the_page_says(project, capfd):
    told = examples((ROOT / "docs/launch.md").read_text())
    verbs = [shlex.split(line)[2] for line, _ in told]
    assert verbs == ["doctor", "render", "up", "status", "logs", "stop", "down", "down"]
    for line, expected in told:
        program, *words = shlex.split(line)
        assert program == "octomed"
        assert main(words) == 0
        # What a person sees: on a terminal both streams are one, the command's own lines first.
        out, err = capfd.readouterr()
        printed = as_on_the_page(err + out)
        printed = [one for one in printed if "lies in no git checkout" not in one]
        assert sorted(printed) == sorted(expected), line
        logs = [project / f"runs/launch-local/logs/rank-{rank}.log" for rank in (0, 1)]
        deadline = time.monotonic() + 20
        while words[1] == "up" and not all(log.exists() and log.read_text() for log in logs):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_doctor_of_the_page_ends_with_what_is_still_to_be_named(monkeypatch, tmp_path, capsys):
    page = (ROOT / "docs/launch.md").read_text()
    [line] = re.findall(r"^    (octomed .*)$", page, flags=re.MULTILINE)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", str(tmp_path))  # no tools
    assert main(shlex.split(line)[1:]) == 2
    told = capsys.readouterr().out
    assert "the launch config still holds YOUR_BUCKET, your-project" in told
    looked_at = [
        name for row in re.findall(r"^\| ([^|]+) \| [^|]+ \|$", page, flags=re.MULTILINE) for name in row.split(", ")
    ]
    for name in re.findall(r"^(?:good|bad|doubt|unknown) +([^:]+):", told, flags=re.MULTILINE):
        assert any(name.lower().rstrip("s") in one for one in looked_at) or name == "JobSet", name


def test_every_verb_of_the_table_is_there(capsys):
    page = (ROOT / "docs/launch.md").read_text()
    assert main(["launch", "--help"]) == 0
    known = re.findall(r"^  (\w+) ", capsys.readouterr().out, flags=re.MULTILINE)
    named = re.findall(r"^\| `(\w+)` \|", page.partition("## The verbs")[2].partition("##")[0], flags=re.MULTILINE)
    assert set(known) <= set(named)
