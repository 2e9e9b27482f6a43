import dataclasses
import json

import pytest

from octomed_jax import configuration, storage
from octomed_jax.cli import questions as command
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.questions.packages import build as module
from octomed_jax.questions.packages import rendering
from octomed_jax.questions.packages.build import build_questions, check_questions
from octomed_jax.questions.packages.registry import SOURCES
from octomed_jax.questions.registry import ADAPTERS
from octomed_jax.schema import Question
from octomed_jax.traces.lake import iterate_questions

TINY = "configs/demo.py:tiny"
SMALL = [
    "questions.brain.plane=4",
    "questions.brain.side=2",
    "questions.brain.lobe=2",
    "questions.brain.test_each=2",
    "questions.dicom.side_pixels=56",
]


@pytest.fixture(scope="module")
def built(packages, tmp_path_factory):  # noqa: ARG001
    output = tmp_path_factory.mktemp("build") / "questions"
    config = configuration.load(TINY, SMALL)
    return config, output, build_questions(config, output, workers=1)


def test_the_folder_holds_what_docs_stages_says(built):
    config, output, manifest = built
    assert sorted(path.name for path in output.iterdir()) == [
        "card.md",
        "heldout.parquet",
        "manifest.json",
        "questions.parquet",
    ]
    train = list(iterate_questions(output / "questions.parquet"))
    test = list(iterate_questions(output / "heldout.parquet"))
    assert {question.split for question in train} == {"train"}
    assert {question.split for question in test} == {"test"}
    assert (manifest.counts["train"], manifest.counts["test"]) == (len(train), len(test))
    assert {question.source for question in train + test} == set(config.questions.keys())
    for part in (train, test):
        assert [question.id for question in part] == sorted(question.id for question in part)
    assert manifest.access == "open"
    assert set(manifest.licences) == {question.licence for question in train + test}
    assert all(question.explanation for question in train)


@pytest.mark.usefixtures("packages")
def test_a_config_that_asks_for_nothing_is_refused(tmp_path):
    config = configuration.load(TINY)
    config.questions = {"mmlu_sample": {"test_each": 0}}
    with pytest.raises(
        UserError, match=r"^config\.questions asks mmlu_sample for not one question; raise a number there$"
    ):
        build_questions(config, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_shared_between_the_splits(built):
    _, output, _ = built
    train = list(iterate_questions(output / "questions.parquet"))
    test = list(iterate_questions(output / "heldout.parquet"))
    assert not {(q.source, q.cluster) for q in train} & {(q.source, q.cluster) for q in test}
    assert not {h for q in train for h in q.image_hashes} & {h for q in test for h in q.image_hashes}
    for question in train + test:
        assert [storage.sha256_bytes(data) for data in question.images] == list(question.image_hashes)
    assert {"curb_65", "centor", "medmcqa"} <= {q.benchmark for q in test} - {q.benchmark for q in train}


def test_the_card_names_licence_attribution_and_hashes(built):
    _, output, _ = built
    card = (output / "card.md").read_text()
    for words in ("BSD-3-Clause", "Apache-2.0", "Tzourio-Mazoyer", "Fonov", "Khandekar", "Pal", "mricron-data"):
        assert words in card
    assert "d40aa0ed66cf89bf6cafa049ad3884703c9d975c2ee2737525b7196528df9d6f" in card


def test_two_processes_give_the_same_bytes(built, tmp_path, monkeypatch):
    config, output, manifest = built
    monkeypatch.setattr(rendering, "POOL_FROM", 1)
    again = build_questions(config, tmp_path / "again", workers=2)
    assert again == manifest
    for name in ("questions.parquet", "heldout.parquet", "card.md", "manifest.json"):
        assert (tmp_path / "again" / name).read_bytes() == (output / name).read_bytes()


def test_finished_work_is_kept_and_other_settings_are_refused(built, monkeypatch):
    config, output, manifest = built
    monkeypatch.setattr(module, "_make", None)  # nothing may be made
    assert build_questions(config, output) == manifest
    other = configuration.load(TINY, [*SMALL, "seed=1"])
    with pytest.raises(UserError, match="other settings"):
        build_questions(other, output)


def test_a_stage_that_breaks_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "write_card", lambda *_: 1 / 0)
    monkeypatch.setattr(module, "_make", lambda *_: ([], {}))
    config = configuration.load(TINY)
    with pytest.raises(ZeroDivisionError):
        build_questions(config, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


QUESTION = Question(
    id="a:1", source="a", benchmark="b", split="train", task="mcq", question="?", answer="x", options=("x", "y"),
    licence="MIT", cluster="c",
)  # fmt: skip
OTHER = dataclasses.replace(QUESTION, id="a:2", split="test", cluster="d", question="!")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "a:1"}, "stands 2 times"),
        ({"answer": ""}, "lacks its answer"),
        ({"licence": ""}, "licence"),
        ({"answer": "z"}, "not among its options"),
        ({"cluster": "c"}, "cluster"),
        ({"question": "?"}, "text"),
    ],
)
def test_what_later_stages_rely_on_is_checked(changes, words):
    check_questions([QUESTION, OTHER])
    with pytest.raises(StopAndLook, match=words):
        check_questions([QUESTION, dataclasses.replace(OTHER, **changes)])


def test_an_image_in_both_splits_is_found():
    pair = [dataclasses.replace(item, images=(b"i",), image_hashes=("h",)) for item in (QUESTION, OTHER)]
    with pytest.raises(StopAndLook, match="image h"):
        check_questions(pair)


def test_the_command_says_where_the_result_is(built, capsys):
    _, output, manifest = built
    arguments = ["build", f"--config={TINY}", f"--output={output}", *(f"--config.{text}" for text in SMALL)]
    assert command.run(arguments) == 0
    assert capsys.readouterr().out == (
        f"{manifest.counts['train']} questions to learn from and {manifest.counts['test']} held out are in {output} "
        "(see card.md there)\n"
    )
    assert command.run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["train"] == manifest.counts["train"]


def test_the_list_names_every_source(capsys):
    assert command.run(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    packages = list(SOURCES)
    assert [row["package_source"] for row in rows["packages"]] == packages
    assert [row["source"] for row in rows["sources"]] == list(ADAPTERS)
    assert command.run(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in [*ADAPTERS, *packages])


def test_wrong_options_are_the_users(tmp_path):
    for arguments, words in (
        (["bild"], "did you mean 'build'"),
        (["build", f"--config={TINY}", "--ouput=x"], "did you mean '--output'"),
        (["build", f"--config={TINY}", "--config.questions.brain.plain=3"], "did you mean 'plane'"),
        (
            ["build", f"--config={TINY}", f"--output={tmp_path}/x", "--config.questions.medcalc.test_each=-1"],
            "whole number",
        ),
    ):
        with pytest.raises(UserError, match=words):
            command.run(arguments)
    assert list(tmp_path.iterdir()) == []
