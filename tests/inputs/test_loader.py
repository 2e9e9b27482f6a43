"""Batches by step number: the plan's rows, whoever reads which share of them."""

import numpy as np
import pytest

from configs.demo import get_config
from octomed_jax.cli.shard import make_shards
from octomed_jax.inputs.loader import Share, StepSource
from octomed_jax.training.loop import make_plan
from tests.traces.corpus import write_traces


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Shards of the small made corpus and their config."""
    config = get_config("tiny")
    config.student.vocab_size = 300
    config.train.update({"examples_per_step": 24, "tokens_per_row": 272})
    folder = tmp_path_factory.mktemp("corpus")
    make_shards(config, write_traces(folder / "traces"), folder / "shards")
    return config, folder / "shards"


def source(made, first: int = 0, steps: int = 6, share: Share | None = None) -> StepSource:
    config, shards = made
    plan = make_plan(config, shards)
    return StepSource(plan, shards, shards / "student", config.distill.answer_format, first, steps, share or Share())


def test_batches_hold_what_the_plan_counts(made):
    plan = make_plan(*made)
    for step, batch in enumerate(source(made)[number] for number in range(6)):
        counted = plan.count(step)
        assert counted["tokens"] == sum((rows["segment_ids"] > 0).sum() for rows in batch.values())
        assert counted["patches"] == (batch["image"]["frame_ids"] > 0).sum()
        assert counted["images"] == batch["image"]["frame_ids"].max(axis=(-2, -1)).sum()
        assert counted["examples"] == sum(rows["segment_ids"].max(axis=-1).sum() for rows in batch.values())


@pytest.mark.parametrize("count", [2, 4])
def test_shares_make_up_the_step(made, count):
    whole = source(made, share=Share(0, 1, 4, 1))[3]
    parts = [source(made, share=Share(index, count, 4, 1))[3] for index in range(count)]
    assert len(whole["image"]["segment_ids"]) > 1  # micro-batches
    for name, rows in whole.items():
        for key, values in rows.items():
            np.testing.assert_array_equal(values, np.concatenate([part[name][key] for part in parts], axis=1))


def test_a_source_begun_late_reads_the_same_steps(made):
    early, late = source(made), source(made, first=4)
    for offset in range(2):
        for name, rows in early[4 + offset].items():
            for key, values in rows.items():
                np.testing.assert_array_equal(values, late[offset][name][key])
    with pytest.raises(IndexError):
        late[2]


def test_rows_are_looked_up_when_a_step_is_read(made):
    """A list of all rows would not end."""
    endless = source(made, steps=10**12)
    assert len(endless) == 10**12
    assert endless[10**12 - 1].keys() == {"text", "image"}
