"""A record that cannot be read ends a run, or is left out and listed."""

import dataclasses
import json
import shutil

import pytest

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.traces.shards import ShardReader, write_shards
from octomed_jax.training.loop import train
from octomed_jax.training.metrics import read_lines, read_metrics


@pytest.mark.integration
def test_a_cut_off_image_ends_the_run_and_may_be_left_out(config, shards, tmp_path):
    folder, workdir = tmp_path / "shards", tmp_path / "run"
    shutil.copytree(shards, folder)
    records = list(ShardReader(shards))
    number = next(number for number, record in enumerate(records) if record.question.images)
    question = dataclasses.replace(records[number].question, images=(records[number].question.images[0][:200],))
    records[number] = dataclasses.replace(records[number], question=question)
    write_shards(records, len(records), folder, config.shard.records_per_shard)
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


def test_another_word_is_refused(config, shards, tmp_path):
    config.train.bad_records = "skp"
    with pytest.raises(UserError, match=r"train.bad_records='skp' is unknown \(did you mean 'skip'\?\)"):
        train(config, shards, tmp_path / "run")
