"""HEAD-QA in its three forms: the release by exam, rows, and the mirror with all in one column."""

import json

import pytest
from adapter_helpers import built, hub_image, picture, refused, write_lines, write_parquet

ANSWERS = [{"aid": number, "atext": text} for number, text in enumerate(("Liver", "Spleen", "Kidney", "Lung"), 1)]
ITEM = {"qid": "7", "qtext": "Renin is made in the:", "ra": "3", "answers": ANSWERS, "image": ""}
ROW = ITEM | {"name": "Cuaderno_2014_1_B", "year": "2014", "category": "biology", "qid": 7, "ra": 3, "image": None}
NESTED = {
    "Question": "Renin is made in the:",
    "Options": {"A": "Liver", "B": "Spleen", "C": "Kidney", "D": "Lung", "E": None},
    "Correct Option": "C",
    "Correct Answer": "Kidney",
}


def write_release(path, items, language="en", name="Cuaderno_2014_1_B"):
    path.parent.mkdir(parents=True, exist_ok=True)
    exams = {name: {"name": name, "year": "2014", "category": "biology", "data": items}}
    path.write_text(json.dumps({"version": "1.0", "language": language, "exams": exams}))
    return path


def test_the_release_by_exam(tmp_path):
    folder = tmp_path / "in" / "HEAD_EN"
    write_release(
        folder / "train_HEAD_EN.json", [ITEM, ITEM | {"qid": "8", "qtext": "Urea is made in the:", "ra": "1"}]
    )
    write_release(folder / "dev_HEAD_EN.json", [ITEM | {"qtext": "Of the dev split?"}], name="Cuaderno_2015_1_B")
    write_release(folder / "test_HEAD_EN.json", [ITEM | {"qtext": "Held out?"}], name="Cuaderno_2016_1_B")
    train, test, manifest = built("headqa", tmp_path / "in", tmp_path / "out")
    assert [(question.id, question.answer) for question in train] == [
        ("headqa:cuaderno_2014_1_b:7", "Kidney"),
        ("headqa:cuaderno_2014_1_b:8", "Liver"),
    ]
    assert [question.id for question in test] == ["headqa:cuaderno_2016_1_b:7"]
    assert (train[0].question, train[0].task, train[0].licence) == ("Renin is made in the:", "mcq", "MIT")
    assert train[0].options == ("Liver", "Spleen", "Kidney", "Lung")
    assert manifest.counts["published_splits"] == {"test": 1, "train": 2}


def test_rows_of_the_hub_have_the_ids_of_the_release(tmp_path):
    folder = tmp_path / "in" / "en"
    shuffled = ROW | {"qid": 9, "qtext": "Shuffled?", "answers": ANSWERS[::-1], "ra": 4}
    write_parquet(folder / "train.parquet", [ROW, shuffled])
    write_parquet(folder / "validation.parquet", [ROW | {"qtext": "Of the dev split?", "name": "Cuaderno_2015_1_B"}])
    write_parquet(folder / "test.parquet", [ROW | {"qtext": "Held out?", "name": "Cuaderno_2016_1_B"}])
    write_parquet(tmp_path / "in" / "es" / "train.parquet", [ROW | {"qtext": "¿Dónde?"}])
    train, test, _ = built("headqa", tmp_path / "in", tmp_path / "out")
    assert [(question.id, question.answer) for question in train] == [
        ("headqa:cuaderno_2014_1_b:7", "Kidney"),
        ("headqa:cuaderno_2014_1_b:9", "Lung"),  # ra is an aid, wherever it stands
    ]
    assert len(test) == 1
    both, _, _ = built("headqa", tmp_path / "in", tmp_path / "both", "--split=train,validation")
    assert len(both) == 3
    spanish, _, _ = built("headqa-es", tmp_path / "in", tmp_path / "es", "--split=train")
    assert [(question.id, question.question) for question in spanish] == [("headqa-es:cuaderno_2014_1_b:7", "¿Dónde?")]


@pytest.mark.parametrize("kind", ["list", "lines", "parquet"])
def test_the_mirror_has_all_in_one_column(tmp_path, kind):
    rows = [{"data": NESTED, "subject_name": "biology"}]
    path = tmp_path / "train.json"
    if kind == "parquet":
        path = write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", rows)
    elif kind == "lines":
        write_lines(path, rows)
    else:
        path.write_text(json.dumps(rows))
    (question,), _, _ = built("headqa", path, tmp_path / "out")
    assert (question.answer, question.options) == ("Kidney", ("Liver", "Spleen", "Kidney", "Lung"))
    assert question.id == "headqa:train:0000000"


@pytest.mark.parametrize(
    "image", ["./data/MIR/Cuaderno_2014_1_M.images/MIR-2014-img17.png", hub_image(picture()), hub_image(None, "1.png")]
)
def test_questions_about_an_image_are_passed_over(tmp_path, image):
    rows = [ROW | {"image": image}, ROW | {"qid": 8, "image": None if isinstance(image, dict) else ""}]
    path = write_parquet(tmp_path / "train.parquet", rows)
    train, _, manifest = built("headqa", path, tmp_path / "out")
    assert [question.id for question in train] == ["headqa:cuaderno_2014_1_b:8"]
    assert manifest.counts["passed_over"] == {"it is about an image": 1}


def test_another_language_is_passed_over(tmp_path, capsys):
    path = write_release(tmp_path / "train_HEAD.json", [ITEM], "es")
    line = refused(capsys, "headqa", path, tmp_path / "out", "--split=train")
    reason = "of 1 rows 1 are passed over (its language is es); is it headqa?"
    assert line == f"{path} gives not one question: {reason}"
    (question,), _, _ = built("headqa-es", path, tmp_path / "es")
    assert question.source == "headqa-es"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ra": "0"}, "question 1: ra is '0', but the answers are 1, 2, 3, 4"),
        ({"ra": "5"}, "question 1: ra is '5', but the answers are 1, 2, 3, 4"),
        ({"ra": "C"}, "question 1: is not as headqa is published (ValueError"),
        ({"answers": [*ANSWERS, {"aid": 3, "atext": "Skin"}]}, "question 1: two answers have one aid"),
        ({"answers": [*ANSWERS, {"aid": 5, "atext": "kidney."}]}, "options hold the answer 'Kidney' more than once"),
        ({"answers": [*ANSWERS, {"aid": 5, "atext": " "}]}, "question 1: option 5 is empty"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    path = write_release(tmp_path / "train_HEAD_EN.json", [ITEM | change])
    assert words in refused(capsys, "headqa", path, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Correct Option": "B"}, "row 1: the gold B is 'Spleen', but the gold's text is 'Kidney'"),
        ({"Correct Option": "E"}, "row 1: the gold is 'E', but the options have the letters A, B, C, D"),
        ({"Correct Answer": None}, "row 1: is not as headqa is published (TypeError"),
    ],
)
def test_golds_of_the_mirror_must_agree(tmp_path, capsys, change, words):
    path = tmp_path / "train.json"
    path.write_text(json.dumps([{"data": NESTED | change}]))
    assert words in refused(capsys, "headqa", path, tmp_path / "out")


def test_a_broken_release_is_refused(tmp_path, capsys):
    path = tmp_path / "train_HEAD_EN.json"
    path.write_text('{"version": "1.0", "exams": {')
    assert "train_HEAD_EN.json is no JSON (" in refused(capsys, "headqa", path, tmp_path / "out")
