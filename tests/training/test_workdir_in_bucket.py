"""A run whose folder lies in a bucket, by an emulator of Google's storage over HTTP: it trains, is cut off, goes on."""

import json
import os
import urllib.request

import pytest
from etils import epath

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.training.loop import train
from octomed_jax.training.metrics import read_metrics
from tests.bucket import emulated


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A bucket with a name that TensorStore takes, which Orbax writes with: of three letters or more."""
    with emulated(tmp_path, monkeypatch):
        address = os.environ["STORAGE_EMULATOR_HOST"]
        made = urllib.request.Request(
            f"{address}/storage/v1/b", json.dumps({"name": "runs"}).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(made, timeout=20).close()
        monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", address)
        yield "gs://runs"


def curve(folder) -> list[list]:
    names = ("step", "loss", "grad_norm", "target_tokens")
    return [[entry[name] for name in names] for entry in read_metrics(folder / "metrics.jsonl")]


@pytest.mark.integration
def test_a_run_in_a_bucket_that_is_cut_off_is_one_on_a_disk(config, shards, bucket, tmp_path):
    train(config, shards, tmp_path / "disk")
    workdir, place = f"{bucket}/run/train", epath.Path(f"{bucket}/run/train")

    def cut_off(moment):
        if moment.step == 4:
            raise KeyboardInterrupt
        return {}

    config.held_out.every = 2
    with pytest.raises(KeyboardInterrupt):
        train(config, shards, workdir, cut_off)
    assert len(curve(place)) >= 2  # up to the checkpoint all of them
    assert not (place / manifests.MANIFEST).exists()
    config.held_out.every = 0
    train(config, shards, workdir)
    assert curve(place) == curve(tmp_path / "disk")
    starts = (place / "starts.jsonl").read_text().splitlines()
    assert len(starts) == 2
    kept = {path.name for path in (place / "checkpoints").iterdir()}
    assert kept == {path.name for path in (tmp_path / "disk/checkpoints").iterdir()}
    names = {path.name for path in (place / "student").iterdir()}
    assert names == {path.name for path in (tmp_path / "disk/student").iterdir()}
    assert len(list((place / "tensorboard").iterdir())) == 2


def test_shards_in_a_bucket_are_refused_by_their_name(capsys, root, monkeypatch):
    monkeypatch.chdir(root)
    assert main(["train", "--config=configs/demo.py:tiny", "--config.run=gs://runs/a"]) == 2
    assert "gs://runs/a/shards: shards are read from a disk; mount the bucket or copy them" in capsys.readouterr().err
