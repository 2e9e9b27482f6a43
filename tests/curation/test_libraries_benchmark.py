"""The benchmark beside libraries runs on our side, and finds what it planted."""

import json
import subprocess
import sys

import pytest


@pytest.mark.integration
def test_ours_finds_what_is_planted(root, tmp_path):
    tasks = ("overlaps", "near", "exact", "groups", "pairs")
    command = [sys.executable, "benchmarks/curation_libraries.py", "--rows=4000", "--numbers=20000", "--images=2"]
    command += ["--rounds=1", f"--output={tmp_path / 'out.json'}", *(f"--only={task}" for task in tasks)]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads((tmp_path / "out.json").read_text())["tasks"]
    assert set(told) == set(tasks)
    for task in ("overlaps", "near", "exact"):
        assert set(told[task]["ours"]["found"].values()) == {"10 of 10"}
        assert told[task]["ours"]["clean_removed"] == 0
        assert set(told[task]["ours"]["lookalikes_removed"].values()) <= {"0 of 10"}
    assert told["pairs"]["ours"]["wrong"] == 0
