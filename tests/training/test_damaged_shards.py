"""Training on shards that are not whole ends with one line and exit 43, before it begins where that is known."""

import shutil

import pytest

from octomed_jax.cli.main import main
from octomed_jax.traces.shards import ShardReader


@pytest.fixture
def damaged(shards, tmp_path):
    return shutil.copytree(shards, tmp_path / "shards")


def ended(damaged, tmp_path, capsys) -> str:
    """Run ``octomed train``, which must end with exit 43; return its one line."""
    words = ["--config=configs/demo.py:tiny", "--config.student.vocab_size=300", "--config.train.tokens_per_row=272"]
    assert main(["train", *words, f"--shards={damaged}", f"--workdir={tmp_path}/run"]) == 43
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("octomed: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_missing_or_half_written_shard_ends_training_before_it_begins(damaged, tmp_path, capsys):
    path = sorted(damaged.glob("octomed-train*"))[-1]
    data = path.read_bytes()
    path.write_bytes(data[:70_000])
    assert f"{path} is damaged: it has 70,000 bytes" in ended(damaged, tmp_path, capsys)
    path.unlink()
    assert f"{path} is missing" in ended(damaged, tmp_path, capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.integration
def test_a_flipped_byte_ends_training_where_it_is_read(damaged, tmp_path, capsys):
    image = next(record.question.images[0] for record in ShardReader(damaged) if record.question.images)
    [path] = [path for path in damaged.glob("octomed-train*") if image in path.read_bytes()]
    data = bytearray(path.read_bytes())
    data[data.index(image) + 3000] ^= 4
    path.write_bytes(data)
    assert f"of {path} is damaged (Corrupted" in ended(damaged, tmp_path, capsys)
