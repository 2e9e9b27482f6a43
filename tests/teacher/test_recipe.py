"""What a recipe asks for: teachers by modality, adaptive sampling, shuffled options, workers, large images."""

import dataclasses
import json

import pytest
from fault_server import Faults, serving
from teacher_helpers import folder_bytes, make_config, make_question, write_folder

from octomed_jax.errors import UserError
from octomed_jax.images.decode import decode_image
from octomed_jax.schema import with_option_order
from octomed_jax.teacher import pool
from octomed_jax.teacher.distill import distill
from octomed_jax.teacher.knowledge import Knowledge
from octomed_jax.teacher.ledger import Held
from octomed_jax.teacher.plan import due
from octomed_jax.teacher.script import Rates
from octomed_jax.teacher.scripted import read_messages
from octomed_jax.traces import lake
from octomed_jax.verification.check import Checkers, check_response
from octomed_jax.verification.verify import verify
from tests.traces.corpus import iterate_records


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(pool, "FIRST_WAIT", 0.01)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "questions"
    return write_folder(folder, [make_question(index) for index in range(40)])


def rows_of(folder):
    return list(lake.iterate_parts(folder / "attempts"))


def asked_of(faults):
    """Return the requests that a server got, but for probes."""
    bodies = [json.loads(key) for key in faults.seen]
    return [body for body in bodies if body["max_tokens"] > 1]


def test_a_teacher_for_text_and_one_for_images(questions, tmp_path):
    text, images = Faults(questions), Faults(questions)
    with serving(text) as text_url, serving(images) as images_url:
        teachers = {
            "a_text": {"takes": "text", "model": "r1", "endpoints": (text_url,), "terms": "MIT"},
            "images": {"takes": "images", "model": "vl", "endpoints": (images_url,)},
        }
        manifest = distill(make_config(teachers=teachers), questions, tmp_path / "attempts")
    assert all(not read_messages(body["messages"])[1] for body in asked_of(text))
    assert all(read_messages(body["messages"])[1] for body in asked_of(images))
    assert {body["model"] for body in asked_of(text)} == {"r1"}
    rows = rows_of(tmp_path / "attempts")
    assert len(rows) == 160
    for row in rows:
        assert row["teacher"] == ("vl" if int(row["question_id"][5:]) % 4 < 2 else "r1")
    assert manifest.extra["teacher"] == "r1, vl"
    assert "  - Terms: MIT" in (tmp_path / "attempts" / "card.md").read_text()


def test_several_teachers_of_one_question_add_up(questions, tmp_path):
    one, other = Faults(questions), Faults(questions)
    with serving(one) as one_url, serving(other) as other_url:
        teachers = {
            "a": {"model": "first", "endpoints": (one_url,)},
            "b": {"model": "second", "takes": "text", "endpoints": (other_url,)},
        }
        distill(make_config(teachers=teachers, samples=3), questions, tmp_path / "attempts")
    rows = rows_of(tmp_path / "attempts")
    for index in range(40):
        mine = [row for row in rows if row["question_id"] == f"made:{index:05d}"]
        both = index % 4 >= 2
        assert [row["sample_index"] for row in mine] == list(range(6 if both else 3))
        assert [row["teacher"] for row in mine] == ["first"] * 3 + ["second"] * 3 * both
        assert [row["group"] for row in mine] == [0, 0, 1] + [2, 2, 3] * both
        assert len({row["seed"] for row in mine}) == (4 if both else 2)


def test_a_question_that_no_teacher_takes_is_named(questions, tmp_path):
    teachers = {"a": {"takes": "text", "endpoints": ("http://127.0.0.1:9",)}}
    with pytest.raises(UserError, match="made:00000 has images, and no teacher takes that"):
        distill(make_config(teachers=teachers), questions, tmp_path / "attempts")


def test_access_is_asked_of_every_teacher_that_takes_the_question(tmp_path):
    folder = write_folder(tmp_path / "q", [make_question(0, access="credentialed"), make_question(2)])
    faults = Faults(folder)
    with serving(faults) as url:
        own = {"takes": "images", "endpoints": (url,), "approved_access": ("open", "credentialed")}
        foreign = {"takes": "any", "endpoints": (url,)}
        with pytest.raises(UserError, match=r"made:00000 is credentialed.*teachers\.foreign\.approved_access"):
            distill(make_config(teachers={"own": own, "foreign": foreign}), folder, tmp_path / "attempts")
        assert not faults.seen  # not a byte was sent
        teachers = {"own": own, "foreign": {**foreign, "takes": "text"}}
        manifest = distill(make_config(teachers=teachers), folder, tmp_path / "attempts")
    assert len(rows_of(tmp_path / "attempts")) == 8
    assert manifest.extra["teachers"][1]["name"] == "own"


def test_what_is_due():
    held = {0: Held("h", 1), 1: Held("h", 2)}
    assert due(range(4), {}, 0) == [0, 1, 2, 3]
    assert due(range(4), held, 0) == [2, 3]
    assert due(range(4), {}, 3) == [0]
    assert due(range(4), held, 4) == [2]
    assert list(due(range(4), held, 3)) == []
    assert due(range(4, 8), held, 3) == [4]  # what another teacher got right does not count
    assert due(range(2), {0: Held("h", 0)}, 1) == [1]


def test_adaptive_sampling_asks_no_more_than_is_needed(questions, tmp_path):
    def run(name, accept, **faults):
        server = Faults(questions, rates=Rates(0.5, 0.0, 0.0), **faults)
        with serving(server) as url:
            manifest = distill(make_config(endpoint=url, samples=8, accept=accept), questions, tmp_path / name)
        return manifest, rows_of(tmp_path / name), server

    _, everything, _ = run("all", 0)
    manifest, rows, server = run("some", 3)
    kept = {(row["question_id"], row["sample_index"]): row for row in rows}
    expected = {}
    for index in range(40):
        correct = 0
        for group in range(4):
            if correct >= 3:
                break
            mine = [r for r in everything if r["question_id"] == f"made:{index:05d}" and r["group"] == group]
            expected |= {(row["question_id"], row["sample_index"]): row for row in mine}
            correct += sum(row["verdict"] == "correct" for row in mine)
    assert kept == expected
    assert 0 < len(rows) < 320
    assert len(asked_of(server)) == len(rows) // 2
    assert manifest.counts["saved_requests"] == 160 - len(rows) // 2 > 0
    drawn = run("faults", 3, plan=lambda body, times: "500" if body["seed"] % 3 == times and body["n"] > 1 else None)
    assert drawn[1] == rows


def test_options_are_shuffled_for_each_request_and_judged_as_shown(tmp_path):
    made = [make_question(4 * index + 3) for index in range(30)]
    folder = write_folder(tmp_path / "q", made)
    server = Faults(folder, rates=Rates(0.0, 0.0, 0.0))
    with serving(server) as url:
        distill(make_config(endpoint=url), folder, tmp_path / "attempts")
    rows = rows_of(tmp_path / "attempts")
    assert {row["verdict"] for row in rows} == {"correct"}
    assert len({tuple(row["option_order"]) for row in rows}) > 10
    by_id = {question.id: question for question in made}
    letters = set()
    for row in rows:
        question = by_id[row["question_id"]]
        shown = with_option_order(question, row["option_order"])
        assert check_response(shown, row["response"], "stop").verdict == "correct"
        letters.add(row["response"][-2])
        assert row["extracted"] == question.answer
    assert letters == set("ABCD")  # as they are, it would be B for all
    for one in made:
        orders = {tuple(row["option_order"]) for row in rows if row["question_id"] == one.id and row["group"] == 0}
        assert len(orders) == 1
    verify(tmp_path / "attempts", tmp_path / "traces")
    for record in iterate_records(tmp_path / "traces"):
        checkers = Checkers(record.question)
        for number, response in enumerate(record.responses):
            row = {"error": "", "response": response, "finish_reason": "stop"}
            order = record.option_orders[number] if record.option_orders else ()
            assert checkers.check({**row, "option_order": order}).verdict == "correct"
    plain = make_config(endpoint="http://127.0.0.1:9", shuffle_options=False)
    with serving(server) as url:
        plain.distill.teachers.teacher.endpoints = (url,)
        distill(plain, folder, tmp_path / "plain")
    assert {row["response"][-2] for row in rows_of(tmp_path / "plain")} == {"B"}


def test_workers_give_the_same_bytes_as_one(questions, tmp_path):
    with serving(Faults(questions)) as url:
        config = make_config(endpoint=url)
        distill(config, questions, tmp_path / "one")
        for worker in range(3):
            manifest = distill(config, questions, tmp_path / "three", worker, 3)
            assert (manifest is None) == (worker < 2)
        many = make_config(endpoint=url, shards=9)
        assert distill(many, questions, tmp_path / "nine", 1, 2) is None
        distill(many, questions, tmp_path / "nine")  # the rest, by one
    one = folder_bytes(tmp_path / "one")
    assert folder_bytes(tmp_path / "three") == one
    assert folder_bytes(tmp_path / "nine") == one
    for name in ("one", "three", "nine"):
        left = {path.name for path in (tmp_path / name).rglob("*") if path.is_file()}
        assert {one for one in left if not one.startswith("segment-")} == {
            "work.json", "questions.parquet", "part-00000.parquet", "card.md", "manifest.json",
        }  # fmt: skip


def test_images_are_made_smaller_before_they_are_sent_and_are_in_no_record(tmp_path):
    folder = write_folder(tmp_path / "q", [make_question(4 * index, side=300 + index) for index in range(3)])
    server = Faults(folder)
    server.knowledge = Knowledge(folder / "questions.parquet", 100 * 100)
    with serving(server) as url:
        distill(make_config(endpoint=url, max_pixels=100 * 100), folder, tmp_path / "attempts")
    for body in asked_of(server):
        for data in read_messages(body["messages"])[1]:
            image = decode_image(data)
            assert image.width * image.height <= 100 * 100
    for path in (tmp_path / "attempts").rglob("segment-*"):
        assert not any(isinstance(value, bytes) for row in lake.iterate_rows(path) for value in row.values())
        assert "data:image" not in str(lake.read_table(path).to_pylist())


def test_a_broken_image_is_named(tmp_path):
    broken = dataclasses.replace(make_question(0), images=(b"\x89PNG\r\n\x1a\nbroken",))
    folder = write_folder(tmp_path / "q", [broken])
    with pytest.raises(UserError, match="image of question made:00000 cannot be read"):
        distill(make_config(endpoint="http://127.0.0.1:9"), folder, tmp_path / "attempts")
