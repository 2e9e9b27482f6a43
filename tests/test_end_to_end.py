"""The whole recipe at its smallest, on real input, through the command line; and killed at every stage."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from octomed_jax import manifests

STAGES = ("questions", "distill", "verify", "shard", "eval_before", "train", "export", "eval_after")
FOLDERS = {
    "questions": "questions",
    "distill": "attempts",
    "verify": "traces",
    "shard": "shards",
    "eval_before": "eval/before",
    "train": "train",
    "export": "export",
    "eval_after": "eval/after",
}


def demo(folder) -> list[str]:
    return [
        sys.executable,
        "-m",
        "octomed_jax.cli.main",
        "demo",
        "--config=configs/demo.py:tiny",
        f"--workdir={folder}",
    ]


def environment() -> dict[str, str]:
    """Two devices, so that it is sharded: eight on one machine wait for each other most of the time."""
    return os.environ | {"XLA_FLAGS": os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=2")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "run"
    subprocess.run(demo(folder), check=True, timeout=280, env=environment())
    return folder


def identities(folder) -> dict[str, str]:
    return {stage: json.loads((folder / FOLDERS[stage] / "manifest.json").read_text()) for stage in STAGES}


def summary(folder) -> dict:
    """The summary without what no two runs share."""
    fields = json.loads((folder / "summary.json").read_text())
    return {name: value for name, value in fields.items() if name not in ("seconds", "peak_rss_mb", "export")}


def test_the_summary_and_the_report(finished):
    fields = json.loads((finished / "summary.json").read_text())
    assert fields["questions"] * 4 == fields["attempts"]
    assert 0.5 < fields["acceptance_rate"] < 1
    assert fields["train_steps"] == 8
    assert fields["loss_last"] < fields["loss_first"]
    assert {"plane", "cha2ds2_vasc", "has_bled", "medmcqa", "dicom_modality"} <= set(fields["eval"])
    assert all(
        0 <= entry["after_low"] <= entry["after"] <= entry["after_high"] <= 1 for entry in fields["eval"].values()
    )
    assert fields["export"]["max_logit_diff"] is None or fields["export"]["max_logit_diff"] < 1e-4
    assert fields["seconds"] > 0
    assert fields["peak_rss_mb"] > 100
    assert "<svg" in (finished / "report.html").read_text()


def test_a_finished_run_says_so(finished):
    result = subprocess.run(demo(finished), check=True, timeout=60, env=environment(), capture_output=True, text=True)
    assert "nothing left to do" in result.stderr
    assert "report.html" in result.stdout


def test_no_manifest_holds_a_path_or_a_time(finished):
    for stage in STAGES:
        text = (finished / FOLDERS[stage] / "manifest.json").read_text()
        assert str(finished) not in text
        assert "/tmp" not in text


@pytest.mark.integration
@pytest.mark.timeout(1500)
def test_killed_at_every_stage_it_ends_the_same(finished, tmp_path):
    """SIGKILL to the whole process group just after each stage has begun; then to the end."""
    folder = tmp_path / "killed"
    done_at: dict[str, int] = {}
    begun, killed = 0, []
    while begun < len(STAGES):
        process = subprocess.Popen(
            demo(folder), env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stderr is not None
        for line in process.stderr:
            # "[3/9] ..." is said as a stage begins. A stage that was killed once is let through to the next one.
            if line.startswith("[") and int(line[1]) > begun:
                begun = int(line[1])
                break
        else:
            pytest.fail(f"nothing began after stage {begun}: {process.wait()}")
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
        killed.append(begun)
        for earlier in STAGES[: begun - 1]:  # finished stages stay as they were
            stamp = (folder / FOLDERS[earlier] / "manifest.json").stat().st_mtime_ns
            assert done_at.setdefault(earlier, stamp) == stamp
    assert len(killed) >= len(STAGES) - 2, "some stages were too fast to be killed in"
    subprocess.run(demo(folder), check=True, timeout=600, env=environment())
    assert identities(folder) == identities(finished)
    assert summary(folder) == summary(finished)
    for stage in ("questions", "verify", "shard", "eval_after"):
        paths = folder / FOLDERS[stage], finished / FOLDERS[stage]
        assert manifests.hash_files(paths[0]) == manifests.hash_files(paths[1])
