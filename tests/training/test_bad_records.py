"""A record that cannot be read ends a run, or is left out and listed."""

import json
import shutil

import pytest

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.evaluation.held_out import HeldOut
from octomed_jax.hf.rendering import rendering, student_folder
from octomed_jax.inputs.render import read_index
from octomed_jax.traces.shards import ShardReader
from octomed_jax.training.loop import train
from octomed_jax.training.metrics import read_lines, read_metrics
from tests.inputs.holding import hold_out
from tests.traces.corpus import spoil_image


@pytest.mark.integration
def test_a_cut_off_image_ends_the_run_and_may_be_left_out(config, shards, tmp_path):
    folder, workdir = tmp_path / "shards", tmp_path / "run"
    shutil.copytree(shards, folder)
    records = list(ShardReader(shards))
    number = next(number for number, record in enumerate(records) if record.question.images)
    question = spoil_image(folder, number).question
    config.train.update({"steps": 5})  # a little more than an epoch
    with pytest.raises(StopAndLook, match=f"image 0 of question {question.id}"):
        train(config, folder, workdir)
    config.train.bad_records = "skip"  # the same run goes on with it
    train(config, folder, workdir)
    listed = [json.loads(line) for line in read_lines(workdir / "bad_records-0.jsonl")]
    assert {one["record"] for one in listed} == {number}
    assert all(question.id in one["problem"] for one in listed)
    entries = read_metrics(workdir / "metrics.jsonl")
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5]
    assert sum(entry["bad_records"] for entry in entries) == len(listed) >= 2


@pytest.mark.integration
def test_a_bad_held_out_record_is_left_out_of_a_look(config, shards, tmp_path, capfd):
    folder, workdir = tmp_path / "shards", tmp_path / "run"
    shutil.copytree(shards, folder)
    records = list(ShardReader(shards))
    held = hold_out(read_index(rendering(config, shards), student_folder(config, shards), "boxed"), 8, config.seed)[1]
    number = next(int(record) for record in held.record if records[record].question.images)
    question = spoil_image(folder, number).question
    config.train.steps = 2
    config.held_out.update({"records": 8, "every": 2, "samples": 8, "max_new_tokens": 2})
    with pytest.raises(StopAndLook, match=f"image 0 of question {question.id}"):
        train(config, folder, workdir, HeldOut(config, folder, workdir))
    config.train.bad_records = "skip"
    train(config, folder, workdir, HeldOut(config, folder, workdir))
    assert read_metrics(workdir / "metrics.jsonl")[-1]["held_out_loss"] > 0
    assert len(read_lines(workdir / "samples.jsonl")) == 7
    assert "the held-out loss leaves out a record" in " ".join(capfd.readouterr().err.split())


def test_looks_at_shards_that_are_not_there_are_refused(config, tmp_path):
    config.held_out.update({"records": 8, "every": 2})
    with pytest.raises(UserError, match="make it first with `octomed shard`"):
        HeldOut(config, tmp_path / "none", tmp_path)


def test_another_word_is_refused(config, shards, tmp_path):
    config.train.bad_records = "skp"
    with pytest.raises(UserError, match=r"train.bad_records='skp' is unknown \(did you mean 'skip'\?\)"):
        train(config, shards, tmp_path / "run")
