"""PMC-VQA in its two versions."""

import pytest
from adapter_helpers import built, picture, refused
from image_helpers import write_file, write_table, write_zip

FIRST = {
    "Figure_path": "PMC1064097_F1.jpg",
    "Question": "What is the uptake pattern in the breast? ",
    "Answer": " Focal uptake pattern ",
    "Choice A": " A:Diffuse uptake pattern ",
    "Choice B": " B:Focal uptake pattern ",
    "Choice C": " C:No uptake pattern ",
    "Choice D": " D:Cannot determine from the information given ",
    "Answer_label": "B",
}
SECOND = {
    "index": "0",
    "Figure_path": "PMC8253797_Fig4_11.jpg",
    "Caption": "A CT scan, with a comma",
    "Question": "What does the arrow show?",
    "Choice A": "A:Tumor",
    "Choice B": "B: Cyst",
    "Choice C": " C:Stent ",
    "Choice D": "D:Vitamin C: too much",
    "Answer": "D",
    "split": "train",
}
OPTIONS = (
    "Diffuse uptake pattern",
    "Focal uptake pattern",
    "No uptake pattern",
    "Cannot determine from the information given",
)


def test_first_version_out_of_its_archive(tmp_path):
    folder = tmp_path / "in"
    write_zip(
        folder / "images.zip", {"images/PMC1064097_F1.jpg": picture(1, "JPEG"), "images/other.jpg": picture(2, "JPEG")}
    )
    write_table(folder / "train.csv", [FIRST, FIRST | {"Question": "Which organ?", "Answer_label": ""}])
    write_table(folder / "test.csv", [FIRST | {"Figure_path": "other.jpg"}] * 2)
    write_table(folder / "test_clean.csv", [FIRST | {"Figure_path": "other.jpg"}])
    train, test, manifest = built("pmc-vqa", folder, tmp_path / "out")
    assert manifest.counts["published_splits"] == {"test_clean": 1, "train": 2}
    assert (train[0].question, train[0].task) == ("What is the uptake pattern in the breast?", "mcq")
    assert train[0].options == OPTIONS
    assert [question.answer for question in train] == ["Focal uptake pattern"] * 2
    assert train[0].images == (picture(1, "JPEG"),)
    assert test[0].images == (picture(2, "JPEG"),)
    assert (train[0].licence, train[0].access) == ("CC-BY-SA-4.0", "open")


@pytest.mark.parametrize("place", ["images/{}", "figures/{}", "{}"])
def test_first_version_unpacked_and_all_of_its_test(tmp_path, place):
    folder = tmp_path / "in"
    write_file(folder / place.format(FIRST["Figure_path"]), picture(1, "JPEG"))
    write_table(folder / "test.csv", [FIRST | {"Answer": "B:Focal uptake pattern"}])
    train, (question,), _ = built("pmc-vqa", folder, tmp_path / "out", "--split=test")
    assert not train
    assert (question.answer, question.images) == ("Focal uptake pattern", (picture(1, "JPEG"),))


def test_an_archive_without_folders(tmp_path):
    write_zip(tmp_path / "in" / "images.zip", {"PMC1064097_F1.jpg": picture(1, "JPEG")})
    write_table(tmp_path / "in" / "train.csv", [FIRST])
    (question,), _, _ = built("pmc-vqa", tmp_path / "in", tmp_path / "out", "--split=train")
    assert question.images == (picture(1, "JPEG"),)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Answer_label": "C"}, "line 2: Answer_label C is 'No uptake pattern', but Answer is 'Focal uptake pattern'"),
        ({"Answer_label": "E"}, "line 2: Answer_label is 'E', but the options have the letters A, B, C, D"),
        ({"Answer_label": "", "Answer": "No uptake"}, "answer 'No uptake' is none of the options"),
        ({"Choice C": "C:Focal Uptake Pattern"}, "options hold the answer 'Focal uptake pattern' more than once"),
        ({"Figure_path": "PMC1_F1.jpg"}, "line 2: image: no file 'PMC1_F1.jpg' beside the rows"),
        ({"Figure_path": "../../secret.jpg"}, "'../../secret.jpg' leads out of the folder of the rows"),
        ({"Figure_path": "/etc/passwd"}, "'/etc/passwd' leads out of the folder of the rows"),
    ],
)
def test_a_row_of_the_first_version_that_cannot_be_used(tmp_path, capsys, change, words):
    folder = tmp_path / "in"
    write_file(tmp_path / "secret.jpg", picture(3, "JPEG"))
    write_zip(folder / "images.zip", {"images/PMC1064097_F1.jpg": picture(1, "JPEG")})
    write_table(folder / "train.csv", [FIRST | change])
    assert words in refused(capsys, "pmc-vqa", folder, tmp_path / "out", "--split=train")


def test_a_blank_choice_leaves_the_letters_of_the_others(tmp_path):
    folder = tmp_path / "in"
    write_file(folder / "images" / FIRST["Figure_path"], picture(1, "JPEG"))
    write_table(folder / "train.csv", [FIRST | {"Choice A": " A: "}])
    (question,), _, _ = built("pmc-vqa", folder, tmp_path / "out", "--split=train")
    assert (question.options, question.answer) == (OPTIONS[1:], "Focal uptake pattern")


def test_second_version_has_its_gold_as_a_letter(tmp_path):
    folder = tmp_path / "in"
    write_zip(folder / "images_2.zip", {"figures/PMC8253797_Fig4_11.jpg": picture(1, "JPEG")})
    write_table(folder / "train_2.csv", [SECOND, SECOND | {"Question": "And this?", "Answer": " B"}])
    write_table(folder / "test_2.csv", [SECOND | {"split": "test"}])
    train, test, manifest = built("pmc-vqa-2", folder, tmp_path / "out")
    assert train[0].options == ("Tumor", "Cyst", "Stent", "Vitamin C: too much")
    assert [question.answer for question in train] == ["Vitamin C: too much", "Cyst"]
    assert test[0].source == "pmc-vqa-2"
    assert manifest.counts["in_both_splits"] == {"cluster": 1, "image": 1}


def test_a_letter_without_an_option_is_refused(tmp_path, capsys):
    folder = tmp_path / "in"
    write_file(folder / "images_2" / SECOND["Figure_path"], picture(1, "JPEG"))
    write_table(folder / "train_2.csv", [SECOND | {"Choice D": ""}])
    words = "line 2: Answer is 'D', but the options have the letters A, B, C"
    assert words in refused(capsys, "pmc-vqa-2", folder, tmp_path / "out", "--split=train")
