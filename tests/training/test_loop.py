"""The loop: it learns, it resumes exactly, it refuses what does not fit, and the mesh does not change the numbers."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from octomed_jax import manifests, storage
from octomed_jax.errors import UserError
from octomed_jax.training.loop import train
from octomed_jax.training.metrics import read_metrics
from octomed_jax.training.request import make_plan

STEPS = 24  # enough of them to be in the middle when a signal comes
SAME = ("step", "loss", "grad_norm", "target_tokens", "tokens", "images", "fill", "learning_rate")


def curve(folder):
    return [[entry[name] for name in SAME] for entry in read_metrics(folder / "metrics.jsonl")]


def command(shards, workdir) -> list[str]:
    """The same run as ``whole``, as a process of its own."""
    words = ["--config=configs/demo.py:tiny", f"--config.train.steps={STEPS}", "--config.train.examples_per_step=12"]
    words += ["--config.train.tokens_per_row=272", "--config.train.warmup_ratio=0.125", "--config.checkpoint.every=2"]
    words += ["--config.student.vocab_size=300", f"--shards={shards}", f"--workdir={workdir}"]
    return [sys.executable, "-m", "octomed_jax.cli.main", "train", *words]


def environment() -> dict[str, str]:
    """Two devices are enough here; test_processes.py takes all eight, and several processes."""
    return os.environ | {"XLA_FLAGS": os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=2")}


def wait_for(process, path) -> None:
    deadline = time.monotonic() + 240
    while not path.exists():
        assert process.poll() is None, "the run ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def config(config):
    config.train.steps = STEPS
    return config


@pytest.fixture(scope="module")
def whole(tmp_path_factory, shards):
    """A run that nothing interrupted, as a process of its own."""
    folder = tmp_path_factory.mktemp("whole")
    subprocess.run(command(shards, folder), env=environment(), check=True, timeout=280)
    return folder, manifests.read_manifest(folder, "train")


def test_the_loss_falls_and_every_step_is_logged_once(whole):
    folder, manifest = whole
    entries = read_metrics(folder / "metrics.jsonl")
    assert [entry["step"] for entry in entries] == list(range(1, STEPS + 1))
    assert entries[-1]["loss"] < entries[0]["loss"] - 0.2
    assert entries[0]["learning_rate"] == 0
    assert manifest.extra["loss_first"] == entries[0]["loss"]
    assert all(0 < entry["fill"] <= 1 and entry["target_tokens"] > 0 for entry in entries)
    assert sum(entry["images"] for entry in entries) > 0
    mixture = {"asked": {}, "held_out_records": manifest.config["held_out"], "sources": manifest.counts["sources"]}
    assert storage.read_json(folder / "mixture.json") == mixture


def test_a_finished_run_is_not_repeated(whole, config, shards):
    folder, manifest = whole
    before = (folder / "metrics.jsonl").stat().st_mtime_ns
    assert train(config, shards, folder).identity == manifest.identity
    assert (folder / "metrics.jsonl").stat().st_mtime_ns == before


def test_another_config_in_the_same_folder_is_refused(whole, config, shards):
    config.train.peak_learning_rate = 0.5
    with pytest.raises(UserError, match=r"peak_learning_rate: 0.002 -> 0.5"):
        train(config, shards, whole[0])


def test_rows_too_short_for_any_example_are_refused(config, shards):
    config.train.tokens_per_row = 16
    with pytest.raises(UserError, match="none of the 48 examples fits"):
        make_plan(config, shards)


def test_a_mesh_that_does_not_fit_is_refused(config, shards, tmp_path):
    config.train.mesh = {"data": 3, "fsdp": -1}
    with pytest.raises(UserError, match="does not multiply to the 8 devices"):
        train(config, shards, tmp_path / "impossible")


@pytest.mark.integration
def test_told_to_end_and_killed_it_goes_on_with_the_same_losses_and_weights(whole, shards, tmp_path):
    """A real process: SIGTERM after its first checkpoint, SIGKILL after a later one."""
    workdir = tmp_path / "run"
    told = subprocess.Popen(command(shards, workdir), env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for(told, workdir / "checkpoints" / "2")
    told.send_signal(signal.SIGTERM)
    _, error = told.communicate(timeout=100)
    assert told.returncode == 42, error
    assert "octomed: told to end: saved step" in error
    saved = max(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())
    assert len(curve(workdir)) == saved  # the step that was saved has its line

    later = saved + 2 - saved % 2
    killed = subprocess.Popen(command(shards, workdir), env=environment(), start_new_session=True)
    wait_for(killed, workdir / "checkpoints" / str(later))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (workdir / manifests.MANIFEST).exists()

    subprocess.run(command(shards, workdir), env=environment(), check=True, timeout=280)
    assert curve(workdir) == curve(whole[0])
    assert manifests.read_manifest(workdir, "train").identity == whole[1].identity


def being_saved(workdir) -> bool:
    """Orbax writes a step under another name, which it changes when the step is whole."""
    folder = workdir / "checkpoints"
    return folder.is_dir() and any(not path.name.isdigit() and path.name[0].isdigit() for path in folder.iterdir())


MOMENTS = {
    "reading": lambda workdir: (workdir / "config.json").exists(),
    "compiling": lambda workdir: (workdir / "tensorboard").exists(),
    "first steps": lambda workdir: (workdir / "metrics.jsonl").exists() and len(curve(workdir)) >= 1,
    "saving": being_saved,
    "saving again": lambda workdir: being_saved(workdir) and (workdir / "checkpoints" / "4").exists(),
    "between": lambda workdir: len(curve(workdir)) >= 9,
    "late": lambda workdir: len(curve(workdir)) >= 15 and being_saved(workdir),
}


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_killed_again_and_again_whatever_it_was_doing(whole, shards, tmp_path):
    """One run, killed with SIGKILL at each of these moments, and let go on to its end."""
    seen = []
    for moment, reached in MOMENTS.items():
        running = subprocess.Popen(command(shards, tmp_path), env=environment(), start_new_session=True)
        deadline = time.monotonic() + 100
        while not reached(tmp_path) and running.poll() is None:
            assert time.monotonic() < deadline, moment
            time.sleep(0.002)
        assert running.poll() is None, f"the run ended before it was {moment}"
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        lines = tmp_path / "metrics.jsonl"
        seen.append(len(curve(tmp_path)) if lines.exists() else 0)
    assert seen[-1] >= 14  # it did get on in between
    subprocess.run(command(shards, tmp_path), env=environment(), check=True, timeout=280)
    assert curve(tmp_path) == curve(whole[0])
    assert manifests.read_manifest(tmp_path, "train").identity == whole[1].identity


@pytest.mark.integration
def test_training_starts_from_the_weights_of_a_base(whole, config, shards, tmp_path):
    """The random weights of the other run, saved as a checkpoint, give its losses again."""
    from safetensors.numpy import save_file

    from octomed_jax.hf.base import copy_side_files
    from octomed_jax.hf.names import hub_tensors
    from octomed_jax.hf.rendering import render, student_folder
    from octomed_jax.hf.weights import SINGLE_NAME
    from octomed_jax.models.qwen2_5_vl.config import read_config
    from octomed_jax.models.qwen2_5_vl.model import initial_parameters
    from tests.models.student import hub_reader

    base = tmp_path / "base"
    copy_side_files(student_folder(config, shards), base)
    model = read_config(base)
    tree = initial_parameters(model, config.seed)
    read = hub_reader(tree)
    save_file({item.name: read(item) for item in hub_tensors(model, tree)}, base / SINGLE_NAME)
    config.student.base = str(base)
    config.seed = 0
    render(config, shards)
    train(config, shards, tmp_path / "run")
    theirs = [entry[1] for entry in curve(whole[0])]
    np.testing.assert_allclose([entry[1] for entry in curve(tmp_path / "run")], theirs, rtol=1e-5)


def test_metrics_hold_full_precision(whole):
    line = (whole[0] / "metrics.jsonl").read_text().splitlines()[0]
    loss = json.loads(line)["loss"]
    assert np.float32(loss) == loss  # the device's own value, not a rounded one
