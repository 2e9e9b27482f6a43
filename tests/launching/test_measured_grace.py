"""The grace of a job follows from how long its checkpoints really took to save."""

import json
from pathlib import Path

import jax.numpy as jnp
import pytest

from octomed_jax import configuration
from octomed_jax.checkpoints.store import CheckpointStore
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.launching.measured import METADATA, grace_of, save_seconds
from octomed_jax.launching.read_spec import read_spec

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs/launch/demo_local.py")


def checkpoint(work: Path, step: int, seconds: float) -> None:
    folder = work / "train" / "checkpoints" / str(step)
    folder.mkdir(parents=True)
    begun = 1_795_445_889_000_000_000
    facts = {"init_timestamp_nsecs": begun, "commit_timestamp_nsecs": begun + int(seconds * 1e9)}
    (folder / METADATA).write_text(json.dumps(facts))


def test_twice_the_slowest_and_half_a_minute(tmp_path):
    for step, seconds in ((500, 40.5), (1000, 61.2), (1500, 38.0)):
        checkpoint(tmp_path, step, seconds)
    (tmp_path / "train/checkpoints/2000.orbax-checkpoint-tmp").mkdir()  # one that never became whole
    assert save_seconds(str(tmp_path)) == pytest.approx([38.0, 40.5, 61.2])
    assert grace_of(str(tmp_path)) == 123 + 30
    spec = read_spec(configuration.load(CONFIG, [f"workdir={tmp_path}", "grace_seconds=0"]), roots=(ROOT,))
    assert spec.grace_seconds == 153


def test_a_checkpoint_of_ours_says_how_long_it_took(tmp_path):
    with CheckpointStore(tmp_path / "train" / "checkpoints", keep=1) as store:
        store.save(1, {"parameters": {"w": jnp.ones(4)}, "step": jnp.int32(1)}, "plan")
    [seconds] = save_seconds(str(tmp_path))
    assert 0 < seconds < 120


def test_without_a_checkpoint_a_number_is_asked_for(tmp_path):
    with pytest.raises(
        UserError, match=r"grace_seconds=0 takes it from the checkpoints .* has none yet; give a number"
    ):
        grace_of(str(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", '{"init_timestamp_nsecs": "a", "commit_timestamp_nsecs": 5}'])
def test_a_damaged_checkpoint_gives_no_grace(tmp_path, text):
    checkpoint(tmp_path, 500, 1)
    (tmp_path / "train/checkpoints/500" / METADATA).write_text(text)
    with pytest.raises(UserError, match=r"cannot be read from here|has none yet"):
        grace_of(str(tmp_path))


def test_the_plan_says_where_the_grace_is_too_short(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "work", 500, 90)
    words = ["launch", "plan", f"--config={CONFIG}", "--backend=local", f"--config.workdir={tmp_path / 'work'}"]
    assert main(words) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "grace 60 s; the slowest checkpoint of the run took 90.0 s; TOO SHORT to save one" in told
    assert main([*words, "--config.grace_seconds=0", "--json"]) == 0
    grace = json.loads(capsys.readouterr().out)["grace"]
    assert grace == {"seconds": 210, "slowest_checkpoint_seconds": 90.0}
