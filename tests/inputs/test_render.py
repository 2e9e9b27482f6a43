"""The index of a folder of shards."""

import numpy as np

from configs.demo import get_config
from octomed_jax.hf.student import write_student
from octomed_jax.inputs.render import COLUMNS, read_index, render_index, write_index
from octomed_jax.schema import Record
from tests.traces.corpus import questions


def test_the_index_counts_the_images_of_each_example(tmp_path):
    config = get_config("tiny")
    config.student.vocab_size = 300
    records = [Record(question, ("one", "two")) for question in questions(8)]
    student = tmp_path / "student"
    write_student(student, config.student, ["some text"], config.shard)
    index = render_index(records, student, "boxed")
    expected = [len(record.question.images) for record in records for _ in record.responses]
    assert index.images.tolist() == expected
    assert set(expected) == {0, 1}
    write_index(tmp_path / "index.npz", index)
    again = read_index(tmp_path, student, "boxed")
    assert again.render_key == index.render_key
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(again, name), getattr(index, name))
        assert getattr(again, name).dtype == np.int32
