"""PMC-Instruct in the form that docs/pmc-instruct.md describes."""

import gzip
import json
from pathlib import Path

import pytest
from adapter_helpers import built, picture, refused, write_lines

from octomed_jax.questions.sources.pmc_instruct import GROUPS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pmc-instruct.md"
ROW = {"image": "PMC1_F2.jpg", "modality": "CT", "caption": " Axial CT. "}


def images(folder, *names):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        (folder / "images" / name).write_bytes(picture(seed, "JPEG"))
    return folder


def test_the_lines_that_the_page_shows(tmp_path):
    folder = images(tmp_path / "in", "PMC1_F2.jpg", "PMC7_F1a.jpg", "PMC7_F1b.jpg")
    lines = PAGE.read_text().split("```json\n")[1].split("```")[0]
    (folder / "figures.jsonl").write_text(lines)
    caption, talk = built("pmc-instruct", folder, tmp_path / "out")[0]
    assert (caption.question, caption.answer) == ("Describe this image.", "Axial CT with a mass in the left lobe.")
    assert (caption.modality, caption.benchmark, caption.cluster) == ("CT", "pmc-instruct-ct", "PMC1")
    assert (caption.task, caption.licence) == ("instruction", "CC-BY-4.0")
    assert (talk.question, talk.answer) == ("What changed?", "The lesion shrank.")
    assert (len(talk.images), talk.licence) == (2, "unknown")
    for group in GROUPS:
        assert f"`{group}`" in PAGE.read_text().lower()


def test_the_nine_groups(tmp_path):
    folder = images(tmp_path / "in", "PMC1_F2.jpg")
    packed = "".join(json.dumps(ROW | {"modality": group.title()}) + "\n" for group in GROUPS)
    (folder / "figures.jsonl.gz").write_bytes(gzip.compress(packed.encode()))
    train, _, _ = built("pmc-instruct", folder, tmp_path / "out")
    assert len({question.benchmark for question in train}) == len(GROUPS) == 9
    assert [(question.modality, question.body_region) for question in train] == list(GROUPS.values())
    assert {question.cluster for question in train} == {train[0].image_hashes[0]}


def test_several_images_of_a_caption(tmp_path):
    folder = images(tmp_path / "in", "a.jpg", "b.jpg")
    write_lines(folder / "figures.jsonl", [ROW | {"image": ["a.jpg", "b.jpg"]}])
    (question,), _, _ = built("pmc-instruct", folder, tmp_path / "out")
    assert (question.question, len(question.images)) == ("Describe these images.", 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modality": "ultrasond"}, "line 1: unknown modality 'ultrasond' (did you mean 'ultrasound'?); one of histo"),
        ({"modality": None}, "line 1: unknown modality None"),
        ({"image": []}, "line 1: names no image"),
        ({"caption": None}, "line 1: needs caption or conversations, and not both"),
        ({"conversations": []}, "line 1: needs caption or conversations, and not both"),
        ({"caption": None, "conversations": []}, "line 1: conversations of nobody"),
        ({"caption": " "}, "line 1: has an empty caption"),
        ({"caption": 3}, "line 1: is not as pmc-instruct is published"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    folder = images(tmp_path / "in", "PMC1_F2.jpg")
    write_lines(folder / "figures.jsonl", [ROW | change])
    assert words in refused(capsys, "pmc-instruct", folder, tmp_path / "out")
