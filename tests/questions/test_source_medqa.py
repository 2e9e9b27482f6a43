"""MedQA in its published forms."""

import pytest
from adapter_helpers import built, refused, write_lines, write_parquet

FOUR = {
    "question": "A 23-year-old pregnant woman at 22 weeks gestation presents with burning upon urination. Which drug?",
    "answer": "Nitrofurantoin",
    "options": {"A": "Ampicillin", "B": "Ceftriaxone", "C": "Doxycycline", "D": "Nitrofurantoin"},
    "meta_info": "step2&3",
    "answer_idx": "D",
    "metamap_phrases": ["23 year old pregnant woman", "weeks presents"],
}
FIVE = FOUR | {"options": FOUR["options"] | {"E": "Gentamicin"}, "answer": "Gentamicin", "answer_idx": "E"}


def test_four_options(tmp_path):
    write_lines(tmp_path / "in" / "phrases_no_exclude_train.jsonl", [FOUR, FOUR | {"question": "Which other drug?"}])
    write_lines(tmp_path / "in" / "phrases_no_exclude_test.jsonl", [FOUR | {"question": "Which one is held out?"}])
    train, test, manifest = built("medqa", tmp_path / "in", tmp_path / "out")
    assert [question.id for question in train] == ["medqa:train:0000000", "medqa:train:0000001"]
    assert [question.id for question in test] == ["medqa:test:0000000"]
    question = train[0]
    assert (question.question, question.task) == (FOUR["question"], "mcq")
    assert question.options == ("Ampicillin", "Ceftriaxone", "Doxycycline", "Nitrofurantoin")
    assert question.answer == "Nitrofurantoin"
    assert (question.licence, question.access, question.images) == ("CC-BY-4.0", "open", ())
    assert manifest.counts["published_splits"] == {"test": 1, "train": 2}


def test_five_options_of_the_hub(tmp_path):
    write_parquet(tmp_path / "in" / "data" / "train-00000-of-00001.parquet", [FIVE])
    write_parquet(tmp_path / "in" / "data" / "test-00000-of-00001.parquet", [FIVE | {"question": "Held out?"}])
    (question,), _, _ = built("medqa-5options", tmp_path / "in", tmp_path / "out")
    assert (question.options[4], question.answer) == ("Gentamicin", "Gentamicin")


@pytest.mark.parametrize(
    ("change", "options", "gold"),
    [
        ({"A": "Ceftriaxone"}, ("Ceftriaxone", "Doxycycline", "Nitrofurantoin", "Gentamicin"), "Gentamicin"),
        ({"B": " Gentamicin"}, ("Ampicillin", " Gentamicin", "Doxycycline", "Nitrofurantoin"), " Gentamicin"),
        ({"B": "Ampicillin", "C": "Ampicillin"}, ("Ampicillin", "Nitrofurantoin", "Gentamicin"), "Gentamicin"),
    ],
)
def test_an_option_that_repeats_is_kept_once_and_counted(tmp_path, capsys, change, options, gold):
    write_lines(tmp_path / "train.jsonl", [FIVE, FIVE | {"question": "Other?", "options": FIVE["options"] | change}])
    train, _, manifest = built("medqa-5options", tmp_path / "train.jsonl", tmp_path / "out")
    assert [len(question.options) for question in train] == [5, len(options)]
    assert (train[1].options, train[1].answer) == (options, gold)
    assert manifest.counts["repeated_options"] == {"train": 5 - len(options)}
    assert f"Repeated options: `train` ({5 - len(options)})" in (tmp_path / "out" / "card.md").read_text()
    assert f"{5 - len(options)} options stood twice in their question" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer_idx": "A"}, "line 1: answer_idx A is 'Ampicillin', but answer is 'Nitrofurantoin'"),
        ({"answer_idx": "F"}, "line 1: answer_idx is 'F', but the options have the letters A, B, C, D"),
        ({"options": FOUR["options"] | {"A": "nitrofurantoin"}}, "options hold the answer 'Nitrofurantoin' more than"),
        ({"question": ""}, "line 1: has no question"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_lines(tmp_path / "train.jsonl", [FOUR | change])
    assert words in refused(capsys, "medqa", tmp_path / "train.jsonl", tmp_path / "out", "--split=train")
