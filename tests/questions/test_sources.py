import json

import numpy as np
import pytest
from PIL import Image

from octomed_jax.errors import UserError
from octomed_jax.images.dicom import DicomFrames
from octomed_jax.questions.packages import dicom, icd10, medmcqa_sample
from octomed_jax.questions.packages.pinned import Package
from octomed_jax.questions.packages.registry import SOURCES, find_source
from octomed_jax.questions.packages.source import check_settings, generator
from octomed_jax.schema import ACCESS_CLASSES


def test_every_source_says_where_it_comes_from():
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.licence
        assert source.attribution
        assert source.gives
        assert source.access in ACCESS_CLASSES
        for package in source.packages:
            assert isinstance(package, Package)
            assert len(package.sha256) == 64


def test_unknown_names_and_odd_settings_are_refused():
    with pytest.raises(UserError, match="did you mean 'medcalc'"):
        find_source("medcal")
    source = find_source("icd10")
    for settings, words in (
        ({"train": 1, "tset": 1}, "did you mean 'test'"),
        ({"train": 1}, "lacks the field 'test'"),
        ({"train": 1, "test": -1}, "whole number"),
        ({"train": 1, "test": 1.5}, "whole number"),
        ({"train": True, "test": 1}, "whole number"),
        (3, "takes the fields"),
    ):
        with pytest.raises(UserError, match=words):
            check_settings(source, settings)
    assert check_settings(source, {"train": 0, "test": 2}) == {"train": 0, "test": 2}


def test_generators_depend_on_the_whole_key():
    draws = {float(generator(*key).random()) for key in (("a", 1), ("a", 2), ("b", 1))}
    assert len(draws) == 3
    assert generator("a", 1).random() == generator("a", 1).random()


ITEM = {
    "input": [{"content": "x"}, {"content": "Subject: Skin\n\nWhich\nlayer?\n\na) one\nb) two\nc) three\nd) four"}],
    "ideal": "c) three",
}


def test_medmcqa_item():
    assert medmcqa_sample.parse_item(json.dumps(ITEM)) == (
        "Skin",
        "Which layer?",
        ("one", "two", "three", "four"),
        "three",
    )
    twice = json.loads(json.dumps(ITEM).replace("four", "three"))
    assert medmcqa_sample.parse_item(json.dumps(twice)) is None
    for broken in ("{", "[]", json.dumps({**ITEM, "ideal": "e) five"}), json.dumps({**ITEM, "ideal": "c) four"})):
        with pytest.raises(UserError, match="cannot be read"):
            medmcqa_sample.parse_item(broken)


@pytest.mark.usefixtures("packages")
def test_medmcqa_is_test_only_and_complete():
    made = medmcqa_sample.make({"test": 300}, 0, 1)
    assert len(made.questions) + sum(made.dropped.values()) == 300
    assert {question.split for question in made.questions} == {"test"}
    assert all(question.answer in question.options for question in made.questions)
    with pytest.raises(UserError, match="300 items"):
        medmcqa_sample.make({"test": 301}, 0, 1)


@pytest.mark.usefixtures("packages")
def test_icd10_splits_by_category_and_balances_chapters_and_letters():
    questions = icd10.make({"train": 180, "test": 36}, 0, 1).questions
    assert questions == icd10.make({"train": 180, "test": 36}, 0, 2).questions
    clusters = {split: {item.cluster for item in questions if item.split == split} for split in ("train", "test")}
    assert not clusters["train"] & clusters["test"]
    test = [question for question in questions if question.split == "test"]
    letters = [question.options.index(question.answer) for question in test]
    assert np.bincount(letters).tolist() == [9, 9, 9, 9]
    assert {sum(question.answer == name for question in test) for name in icd10.CHAPTERS.values()} == {2}
    for question in questions:
        assert len(set(question.options)) == icd10.OPTIONS
        assert question.answer in question.explanation
    with pytest.raises(UserError, match="too few terms"):
        icd10.make({"train": 0, "test": 100_000}, 0, 1)


def test_icd10_needs_its_table():
    for table in (b"<broken", b"<ICD10CM.tabular/>"):
        with pytest.raises(UserError, match="xml"):
            icd10.read_terms(table)


@pytest.mark.usefixtures("packages")
def test_dicom_splits_by_study_and_test_classes_are_trained():
    questions = dicom.make({"views_each": 1, "side_pixels": 56}, 0, 1).questions
    assert questions == dicom.make({"views_each": 1, "side_pixels": 56}, 0, 2).questions
    for benchmark in ("dicom_modality", "dicom_body_part"):
        mine = [question for question in questions if question.benchmark == benchmark]
        seen = {question.answer for question in mine if question.split == "train"}
        held = [question for question in mine if question.split == "test"]
        assert {question.answer for question in held} <= seen
        assert len(held) >= 3
        assert not {question.cluster for question in held} & {item.cluster for item in mine if item.split == "train"}


def test_dicom_views_are_square_and_not_squeezed():
    frames = DicomFrames(np.full((1, 40, 20), 200, np.uint8), "CT", "")
    view = np.asarray(dicom.view(frames, 56, 0, generator(0)))
    assert view.shape == (56, 56)
    assert (view[:, 14:42] == 200).all()
    assert (view[:, :14] == 0).all()
    colour = DicomFrames(np.zeros((1, 40, 20, 3), np.uint8), "US", "")
    assert isinstance(dicom.view(colour, 56, 3, generator(0)), Image.Image)


def test_dicom_study_of_another_modality_is_refused(monkeypatch):
    monkeypatch.setattr(dicom, "read_dicom", lambda *_, **__: DicomFrames(np.zeros((1, 4, 4), np.uint8), "MR", ""))
    with pytest.raises(UserError, match="says it is 'MR'"):
        dicom.read_study(dicom.STUDIES[0], b"")
