"""A run whose folder lies in a bucket, by an emulator of Google's storage over HTTP: it trains, stops and goes on."""

import json
import os
import urllib.request

import pytest
from etils import epath

from octomed_jax import manifests
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


@pytest.mark.integration
def test_a_run_in_a_bucket_is_that_on_a_disk(config, shards, bucket, tmp_path):
    train(config, shards, tmp_path / "disk")
    train(config, shards, f"{bucket}/run/train")
    place = epath.Path(f"{bucket}/run/train")
    assert (place / manifests.MANIFEST).exists()
    names = ("step", "loss", "grad_norm")
    curves = [
        [[entry[name] for name in names] for entry in read_metrics(folder / "metrics.jsonl")]
        for folder in (tmp_path / "disk", place)
    ]
    assert curves[0] == curves[1]
