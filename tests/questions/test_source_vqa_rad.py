"""VQA-RAD: the Hub's copy and the authors' file."""

import json

import pytest
from adapter_helpers import build, built, hub_image, picture, refused, write_parquet
from image_helpers import write_file, write_zip

from octomed_jax.questions.pseudonyms import pseudonym

ROW = {
    "qid": "1",
    "phrase_type": "freeform",
    "qid_linked_id": "03f451ca-de62-4617-9679-e836026a7642",
    "image_case_url": "https://medpix.nlm.nih.gov/case?id=48e1dd0e-8552-46ad-a354-5eb55be86de6",
    "image_name": "synpic54610.jpg",
    "image_organ": "HEAD",
    "evaluation": "not evaluated",
    "question": "Are regions of the brain infarcted?",
    "question_rephrase": "NULL",
    "question_relation": "NULL",
    "question_frame": "NULL",
    "question_type": "PRES",
    "answer": "Yes",
    "answer_type": "CLOSED",
}
CHEST = {
    "image_name": "synpic2.jpg",
    "image_organ": "CHEST",
    "image_case_url": "https://medpix.nlm.nih.gov/case?id=2",
    "answer_type": "CLOSED ",  # as some rows have it
}
ROWS = [
    ROW,
    ROW | {"phrase_type": "para", "question": "How many lesions? ", "answer": 2, "answer_type": "OPEN"},
    ROW | CHEST | {"phrase_type": "test_freeform", "question": "Left or right?", "answer": "Left"},
    ROW | {"phrase_type": "test_para", "question": "Is it infarcted?", "answer": "no"},
]  # fmt: skip


def write_original(folder, rows):
    """Write the authors' file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "VQA_RAD Dataset Public.json").write_text("\ufeff" + json.dumps(rows), encoding="utf-8")


def test_the_copy_of_the_hub_says_what_stands_in_both_splits(tmp_path, capsys):
    shared, other = hub_image(picture(1, "JPEG")), hub_image(picture(2, "JPEG"))
    write_parquet(
        tmp_path / "in" / "data" / "train-00000-of-00001-eb8844602202be60.parquet",
        [
            {"image": shared, "question": "are regions of the brain infarcted?", "answer": "Yes"},
            {"image": shared, "question": "which lobe?", "answer": " right lobe "},
            {"image": other, "question": "how many lesions?", "answer": "3"},
        ],
    )
    write_parquet(
        tmp_path / "in" / "data" / "test-00000-of-00001-e5bc3d208bb4deeb.parquet",
        [
            {"image": shared, "question": "is there an infarct?", "answer": "no"},
            {"image": shared, "question": "where?", "answer": "left"},
        ],
    )
    train, test, manifest = built("vqa-rad", tmp_path / "in", tmp_path / "out")
    assert [(question.task, question.answer) for question in train] == [
        ("yes_no", "yes"), ("short_answer", "right lobe"), ("short_answer", "3"),
    ]  # fmt: skip
    assert [(question.task, question.answer) for question in test] == [("yes_no", "no"), ("short_answer", "left")]
    assert train[0].images == test[0].images
    assert manifest.counts["in_both_splits"] == {"cluster": 1, "image": 1}
    assert "1 clusters, 1 images stand in train and in test, as published" in capsys.readouterr().err
    assert "both splits" in (tmp_path / "out" / "card.md").read_text()


@pytest.mark.parametrize("packed", [True, False])
def test_the_file_of_the_authors(tmp_path, packed):
    folder, images = tmp_path / "in", {"synpic54610.jpg": picture(1, "JPEG"), "synpic2.jpg": picture(2, "JPEG")}
    if packed:
        names = {f"VQA_RAD Image Folder/{name}": data for name, data in images.items()}
        write_zip(folder / "VQA_RAD Image Folder.zip", names)
    else:
        for name, data in images.items():
            write_file(folder / "VQA_RAD Image Folder" / name, data)
    write_original(folder, ROWS)
    train, test, manifest = built("vqa-rad-original", folder, tmp_path / "out")
    assert manifest.counts["published_splits"] == {"test": 2, "train": 2}
    assert [(question.task, question.answer, question.benchmark) for question in [*train, *test]] == [
        ("yes_no", "yes", "vqa-rad-closed"),
        ("short_answer", "2", "vqa-rad-open"),
        ("short_answer", "Left", "vqa-rad-closed"),
        ("yes_no", "no", "vqa-rad-closed"),
    ]
    assert [question.body_region for question in test] == ["chest", "head"]
    assert test[0].images == (picture(2, "JPEG"),)
    assert train[0].cluster == pseudonym("vqa-rad", ROW["image_case_url"]) == test[1].cluster
    assert manifest.counts["in_both_splits"] == {"cluster": 1, "image": 1}


def test_one_split_of_the_authors_file(tmp_path):
    write_file(tmp_path / "in" / "images" / "synpic54610.jpg", picture(1, "JPEG"))
    write_file(tmp_path / "in" / "images" / "synpic2.jpg", picture(2, "JPEG"))
    write_original(tmp_path / "in", ROWS)
    train, test, _ = built("vqa-rad-original", tmp_path / "in", tmp_path / "out", "--split=test")
    assert (len(train), len(test)) == (0, 2)


def test_a_changed_file_is_other_work(tmp_path):
    write_file(tmp_path / "in" / "synpic54610.jpg", picture(1, "JPEG"))
    write_original(tmp_path / "in", ROWS[:1])
    assert build("vqa-rad-original", tmp_path / "in", tmp_path / "out", "--split=train") == 0
    assert build("vqa-rad-original", tmp_path / "in", tmp_path / "out", "--split=train") == 0
    write_original(tmp_path / "in", [ROW | {"answer": "No"}])
    assert build("vqa-rad-original", tmp_path / "in", tmp_path / "out", "--split=train") == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"phrase_type": "framed"}, "row 1: phrase_type is 'framed', none of freeform, para, test_freeform, test_para"),
        ({"phrase_type": None}, "row 1: phrase_type is None"),
        ({"answer_type": "MAYBE"}, "row 1: answer_type is 'MAYBE', neither CLOSED nor OPEN"),
        ({"answer": None}, "row 1: has no answer"),
        ({"image_name": "synpic9.jpg"}, "row 1: image: no file 'synpic9.jpg' beside the rows"),
        ({"image_name": "../synpic1.jpg"}, "'../synpic1.jpg' leads out of the folder of the rows"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_file(tmp_path / "synpic1.jpg", picture(1, "JPEG"))
    write_file(tmp_path / "in" / "synpic54610.jpg", picture(1, "JPEG"))
    write_original(tmp_path / "in", [ROW | change])
    assert words in refused(capsys, "vqa-rad-original", tmp_path / "in", tmp_path / "out", "--split=train")
