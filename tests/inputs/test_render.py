"""The index of a folder of shards."""

import dataclasses
import shutil

import numpy as np
import pytest

from octomed_jax.errors import StopAndLook
from octomed_jax.hf.student import write_student
from octomed_jax.inputs import builder as builders
from octomed_jax.inputs import render
from octomed_jax.inputs.index_files import COLUMNS, write_index
from octomed_jax.inputs.render import example_builder, read_index, render_index
from octomed_jax.models.qwen2_5_vl.config import read_config
from octomed_jax.models.qwen2_5_vl.flops import work_of
from octomed_jax.schema import Record
from octomed_jax.traces.record import pack_record, unpack_record
from octomed_jax.traces.stage import shard_records
from tests.tiny import tiny_config
from tests.traces.corpus import questions


def test_the_index_counts_the_images_of_each_example(tmp_path):
    config = tiny_config()
    records = [Record(question, ("one", "two")) for question in questions(8)]
    student = tmp_path / "student"
    write_student(student, config.student, ["some text"], config.shard)
    index = render_index(records, student, "boxed")
    expected = [len(record.question.images) for record in records for _ in record.responses]
    assert index.images.tolist() == expected
    assert set(expected) == {0, 1}
    write_index(tmp_path, index)
    again = read_index(tmp_path, student, "boxed")
    assert again.render_key == index.render_key
    for name, dtype in COLUMNS.items():
        np.testing.assert_array_equal(getattr(again, name), getattr(index, name))
        assert getattr(again, name).dtype == dtype
    builder = example_builder(student, "boxed")
    examples = [builder.build(record.question, answer) for record in records for answer in record.responses]
    work = [
        work_of(read_config(student).vision, [(len(one.token_ids), [image.layout.grid for image in one.images])])
        for one in examples
    ]
    for name in ("tokens", "patches", "window_pairs", "frame_pairs"):
        assert getattr(index, name).tolist() == [getattr(one, name) for one in work], name


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    config = tiny_config()
    write_student(tmp_path / "student", config.student, ["some text"], config.shard)
    whole = questions(2)[1]
    for broken in (b"no image", whole.images[0][:20]):
        records = [Record(whole, ("one",)), Record(dataclasses.replace(whole, images=(broken,)), ("one",))]
        with pytest.raises(StopAndLook, match=r"^image 0 of question made:001 cannot be read \("):
            render_index(records, tmp_path / "student", "boxed")


def test_a_response_stands_with_the_options_as_its_teacher_saw_them(tmp_path):
    config = tiny_config()
    shown = {"task": "mcq", "options": ("axial", "coronal", "sagittal"), "answer": "axial"}
    question = dataclasses.replace(questions(1)[0], **shown)
    order = tuple(reversed(range(len(question.options))))
    record = Record(question, ("one", "two"), ((), order))
    student = tmp_path / "student"
    write_student(student, config.student, ["some text"], config.shard)
    builder = example_builder(student, "boxed")
    text = [builder.tokenizer.decode(builder.build(record.shown(n), "x").token_ids) for n in (0, 1)]
    for shown, options in zip(text, (question.options, question.options[::-1]), strict=True):
        places = [shown.index(option) for option in options]
        assert places == sorted(places)
    assert record.first(1).option_orders == ((),)
    assert unpack_record(pack_record(record)) == record


def test_the_images_of_a_record_are_looked_at_once(tmp_path, monkeypatch):
    config = tiny_config()
    record = next(Record(one, ("one", "two", "three")) for one in questions(8) if one.images)
    student = tmp_path / "student"
    write_student(student, config.student, ["some text"], config.shard)
    looked = []
    monkeypatch.setattr(builders, "upright_size", lambda data: looked.append(data) or (56, 56))
    render_index([record], student, "boxed")
    assert looked == list(record.question.images)


def test_a_process_opens_shards_and_tokenizer_once(tmp_path, monkeypatch):
    """And again where the tokenizer is another one, or the shards are."""
    config = tiny_config()
    shards, student, work = tmp_path / "shards", tmp_path / "student", tmp_path / "work"
    shard_records([Record(question, ("one",)) for question in questions(6)], shards)
    write_student(student, config.student, ["some text"], config.shard)
    monkeypatch.setattr(render, "PIECE_RECORDS", 2)
    loaded = []
    load = render.load_tokenizer
    monkeypatch.setattr(render, "load_tokenizer", lambda folder: loaded.append(folder) or load(folder))

    def measured(name):
        for piece in render.pieces_of(6, shards, student, "boxed", work / name):
            render.measure_piece(piece)
        return render.joined(render.pieces_of(6, shards, student, "boxed", work / name))

    first = measured("first")
    assert len(loaded) == 1
    assert first.render_key == render.render_key(student, "boxed")
    shutil.rmtree(student)
    write_student(student, config.student, ["other words than before"], config.shard)
    again = measured("again")
    assert len(loaded) == 2
    assert first.render_key != again.render_key == render.render_key(student, "boxed")
    shutil.rmtree(shards)
    shard_records([Record(question, ("two longer words",)) for question in questions(6)], shards)
    assert measured("other").tokens.sum() > again.tokens.sum()
