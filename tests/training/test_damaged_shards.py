"""Training on shards that are not whole ends with one line and exit 43, before it begins where that is known."""

import os
import shutil
import subprocess
import sys

import pytest

from octomed_jax.cli.main import main
from octomed_jax.traces.shards import ShardReader
from octomed_jax.training.request import make_plan
from tests.tiny import tiny_config


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


def flip(damaged, number) -> str:
    """Change a bit in the image of a record; return the file."""
    image = ShardReader(damaged)[number].question.images[0]
    [path] = [path for path in damaged.glob("octomed-train*") if image in path.read_bytes()]
    data = bytearray(path.read_bytes())
    data[data.index(image) + 3000] ^= 4
    path.write_bytes(data)
    return str(path)


@pytest.mark.integration
def test_a_flipped_byte_ends_training_where_it_is_read(damaged, tmp_path, capsys):
    number = next(number for number, record in enumerate(ShardReader(damaged)) if record.question.images)
    path = flip(damaged, number)
    assert f"of {path} is damaged (Corrupted" in ended(damaged, tmp_path, capsys)


@pytest.mark.integration
def test_it_is_the_last_line_and_the_checkpoint_that_was_being_saved_is_whole(damaged, tmp_path, root):
    """A save goes on in threads, which fail one after the other where the interpreter ends under them."""
    words = ["--config.student.vocab_size=300", "--config.train.tokens_per_row=272", "--config.checkpoint.every=1"]
    words += ["--config.train.examples_per_step=12", "--config.held_out.every=0"]
    config = tiny_config()
    config.train.update({"tokens_per_row": 272, "examples_per_step": 12})
    plan = make_plan(config, damaged)
    read = {}  # record to the first step that reads it
    for step in range(plan.steps_per_epoch):
        for row in (row for rows in plan.schedule.step(step).rows.values() for row in rows):
            for example in row:
                read.setdefault(int(plan.index.record[example]), step)
    records = ShardReader(damaged)
    last, number = max((step, number) for number, step in read.items() if records[number].question.images)
    path = flip(damaged, number)
    command = [sys.executable, "-m", "octomed_jax.cli.main", "train", f"--config={root}/configs/demo.py:tiny", *words]
    ran = subprocess.run(
        [*command, f"--shards={damaged}", f"--workdir={tmp_path}/run"],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 43
    assert ran.stderr.splitlines()[-1].startswith("octomed: ")
    assert f"of {path} is damaged (Corrupted" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr
    saved = sorted(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.isdigit())
    assert saved[-1] == last > 0
