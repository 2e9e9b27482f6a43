"""Benchmarks that compare with others: they run, and both sides do the same work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs.demo import get_config
from octomed_jax.cli.shard import make_shards
from tests.traces.corpus import write_traces

ROOT = Path(__file__).parents[1]
# Every package of ours that jax, flax, optax, numpy, pillow, torch and transformers do not bring along themselves.
ABSENT = ("jaxtyping", "ml_collections", "grain", "pyarrow", "jinja2", "pydicom", "nibabel", "array_record", "aiohttp")


@pytest.mark.integration
def test_student_steps_need_only_the_numeric_packages(tmp_path):
    """Both sides make their own examples, start from the same loss, and the figures are written."""
    pytest.importorskip("torch", reason="the other side of the benchmark")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({ABSENT}))\n")
    for name in ABSENT:
        absent = subprocess.run(
            [sys.executable, "-c", f"import {name}"],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
        )
        assert b"ModuleNotFoundError" in absent.stderr
    command = [
        sys.executable,
        "benchmarks/student_step.py",
        "--tokens=1024",
        "--rows=2",
        "--images=1",
        "--steps=1",
        "--remat=full",
    ]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    ran = subprocess.run(
        [*command, f"--output={tmp_path / 'out.json'}"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads((tmp_path / "out.json").read_text())
    ours, theirs = figures["ours"], figures["transformers"]
    assert ours["first_loss"] == pytest.approx(theirs["first_loss"], rel=1e-4)
    assert min(ours["images_per_second"], ours["useful_tokens_per_second"], theirs["seconds"], figures["ratio"]) > 0


@pytest.mark.integration
def test_import_and_export_are_measured_and_leave_nothing(tmp_path):
    (tmp_path / "disk").mkdir()
    command = [sys.executable, "benchmarks/export_memory.py", "--size=tiny", "--max-shard-gb", "0.0002"]
    command += [f"--folder={tmp_path / 'disk'}", f"--output={tmp_path / 'out.json'}"]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ | {"XLA_FLAGS": ""}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert not list((tmp_path / "disk").iterdir())
    figures = json.loads((tmp_path / "out.json").read_text())
    assert list(figures["steps"]) == ["import", "export", "roundtrip", "export 0.0002"]
    assert len(figures["plain"]) == 5
    assert figures["identical_files"] == 7
    for step in figures["steps"].values():
        assert 0 < step["peak_anonymous_bytes"] < step["peak_bytes"]
        assert min(step["bytes_per_second"], step["of_plain"]) > 0


@pytest.mark.integration
def test_rows_are_read_as_transformers_reads_them(tmp_path):
    """The benchmark of the input compares ids and pixels of both sides before it counts anything."""
    config = get_config("tiny")
    config.student.vocab_size = 300
    make_shards(config, write_traces(tmp_path / "traces"), tmp_path / "shards")
    command = [sys.executable, "benchmarks/input.py", "--examples=20000", "--rows=3"]
    command += [f"--shards={tmp_path / 'shards'}", f"--output={tmp_path / 'out.json'}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["plan"]["examples"] == 20000
    assert figures["plan"]["fill"]["all"] > 0.95
    assert figures["reading"]["image"]["rows"] == figures["reading"]["text"]["rows"] == 3
    assert figures["reading"]["image"]["images"] > 0
