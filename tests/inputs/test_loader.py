"""Batches by step number: the plan's rows, whoever reads which share of them."""

import numpy as np
import pytest

from octomed_jax.errors import StopAndLook
from octomed_jax.hf.rendering import student_folder
from octomed_jax.inputs.loader import Share, StepSource, batches, take_bad
from octomed_jax.traces.shards import ShardReader
from octomed_jax.training.request import make_plan
from tests.tiny import tiny_config
from tests.traces.corpus import spoil_image


@pytest.fixture(scope="module")
def made(made_shards):
    """Shards of the small made corpus and their config."""
    config = tiny_config()
    config.train.update({"examples_per_step": 24, "tokens_per_row": 272})
    return config, made_shards


def source(made, first: int = 0, steps: int = 6, share: Share | None = None, skip_bad: bool = False) -> StepSource:
    config, shards = made
    plan, student = make_plan(config, shards), student_folder(config, shards)
    return StepSource(plan, shards, student, config.distill.answer_format, first, steps, share or Share(), skip_bad)


@pytest.fixture(params=["", "made=1.4"], ids=["once", "mixed"])
def mixed(request, made):
    """Every example once an epoch, or some of them twice."""
    config = made[0].copy_and_resolve_references()
    config.mixture.epochs = request.param
    return config, made[1]


def rows_of(source: StepSource, offset: int) -> dict:
    """Return a step's rows; all its records could be read."""
    batch = source[offset]
    assert take_bad(batch) == []
    return batch


def test_batches_hold_what_the_plan_counts(mixed):
    plan, whole = make_plan(*mixed), source(mixed)
    assert plan.examples == (67 if mixed[0].mixture.epochs else 48)
    for step, batch in enumerate(rows_of(whole, number) for number in range(6)):
        counted = plan.count(step)
        assert counted["tokens"] == sum((rows["segment_ids"] > 0).sum() for rows in batch.values())
        assert counted["patches"] == (batch["image"]["frame_ids"] > 0).sum()
        assert counted["images"] == batch["image"]["frame_ids"].max(axis=(-2, -1)).sum()
        assert counted["examples"] == sum(rows["segment_ids"].max(axis=-1).sum() for rows in batch.values())


@pytest.mark.parametrize("count", [2, 4])
def test_shares_make_up_the_step(mixed, count):
    whole = rows_of(source(mixed, share=Share((0, 1, 2, 3), 4, 1)), 3)
    parts = [
        rows_of(source(mixed, share=Share(tuple(range(4))[index * 4 // count : (index + 1) * 4 // count], 4, 1)), 3)
        for index in range(count)
    ]
    assert len(whole["image"]["segment_ids"]) > 1  # micro-batches
    for name, rows in whole.items():
        for key, values in rows.items():
            np.testing.assert_array_equal(values, np.concatenate([part[name][key] for part in parts], axis=1))


def test_a_source_begun_late_reads_the_same_steps(made):
    early, late = source(made), source(made, first=4)
    for offset in range(2):
        again = rows_of(late, offset)
        for name, rows in rows_of(early, 4 + offset).items():
            for key, values in rows.items():
                np.testing.assert_array_equal(values, again[name][key])
    with pytest.raises(IndexError):
        late[2]


def test_rows_are_looked_up_when_a_step_is_read(made):
    """A list of all rows would not end."""
    endless = source(made, steps=10**12)
    assert len(endless) == 10**12
    assert rows_of(endless, 10**12 - 1).keys() == {"text", "image"}


def test_worker_processes_read_what_threads_read(made):
    """Real processes of Grain's."""
    threads, workers = [list(batches(source(made, first=1, steps=5), count)) for count in (0, 2)]
    assert len(threads) == len(workers) == 4
    for one, other in zip(threads, workers, strict=True):
        assert take_bad(one) == take_bad(other) == []
        for name, rows in one.items():
            for key, values in rows.items():
                np.testing.assert_array_equal(values, other[name][key])


def test_a_bad_record_in_a_worker_process_keeps_its_name(damaged):
    config, shards, _ = damaged
    with pytest.raises(StopAndLook, match="image 0 of question made:"):
        list(batches(source((config, shards), steps=4), 1))


@pytest.fixture
def damaged(made, tmp_path):
    """The same shards, but the first image of one record ends in the middle."""
    import shutil

    config, shards = made
    folder = tmp_path / "shards"
    shutil.copytree(shards, folder)
    records = list(ShardReader(shards))
    number = next(number for number, record in enumerate(records) if record.question.images)
    spoil_image(folder, number)
    return config, folder, number


def test_a_bad_record_ends_the_run(damaged):
    config, shards, _ = damaged
    reader = source((config, shards))
    with pytest.raises(StopAndLook, match="image 0 of question made:"):
        [reader[offset] for offset in range(6)]


def test_a_bad_record_leaves_its_place_empty_where_that_is_allowed(made, damaged):
    config, shards, number = damaged
    plan, whole, reader = make_plan(config, shards), source(made), source((config, shards), skip_bad=True)
    found = 0
    for offset in range(plan.steps_per_epoch):
        batch = reader[offset]
        bad = take_bad(batch)
        assert all(one["record"] == number and "image 0 of question made:" in one["problem"] for one in bad)
        lost = sum(
            int(plan.index.tokens[(plan.index.record == one["record"]) & (plan.index.response == one["response"])][0])
            for one in bad
        )
        both = rows_of(whole, offset), batch
        before, after = [sum(int((rows["segment_ids"] > 0).sum()) for rows in each.values()) for each in both]
        assert before - after == lost
        found += len(bad)
    assert found == 2  # both of its responses, once an epoch
