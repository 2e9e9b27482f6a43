"""PubMedQA: the official test fold decides the split of both forms that have one table."""

import json

import pytest
from adapter_helpers import build, built, refused, write_lines, write_parquet

from octomed_jax.questions.reading import objects

ITEM = {
    "QUESTION": "Do statins reduce the risk?",
    "CONTEXTS": ["We asked 40 patients.", "Risk fell by half."],
    "LABELS": ["METHODS", "RESULTS"],
    "MESHES": ["Humans"],
    "YEAR": "2011",
    "reasoning_required_pred": "yes",
    "reasoning_free_pred": "yes",
    "final_decision": "yes",
    "LONG_ANSWER": "Statins reduced the risk.",
}
ROW = {
    "pubid": 101,
    "question": ITEM["QUESTION"],
    "context": {
        "contexts": ITEM["CONTEXTS"],
        "labels": ITEM["LABELS"],
        "meshes": [],
        "reasoning_required_pred": ["y"],
        "reasoning_free_pred": ["y"],
    },
    "long_answer": ITEM["LONG_ANSWER"],
    "final_decision": "yes",
}
NESTED = {
    "Question": ITEM["QUESTION"],
    "Context": ITEM["CONTEXTS"],
    "Options": {"A": "yes", "B": "no", "C": "maybe"},
    "Correct Option": "A",
    "Correct Answer": "yes",
    "Long Answer": ITEM["LONG_ANSWER"],
}
ASKED = "We asked 40 patients.\nRisk fell by half.\n\nDo statins reduce the risk?"


def write_release(folder, items, fold):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ori_pqal.json").write_text(json.dumps(items, indent=4))
    (folder / "test_ground_truth.json").write_text(json.dumps(fold, indent=4))
    return folder


def test_the_release_is_split_by_its_test_fold(tmp_path):
    items = {
        "101": ITEM,
        "102": ITEM | {"QUESTION": "Is it maybe?", "final_decision": "maybe"},
        "103": ITEM | {"QUESTION": "Is it not?", "final_decision": "no"},
    }
    write_release(tmp_path / "in" / "data", items, {"103": "no"})
    train, test, manifest = built("pubmedqa", tmp_path / "in", tmp_path / "out")
    assert [(question.id, question.answer) for question in train] == [
        ("pubmedqa:101", "yes"),
        ("pubmedqa:102", "maybe"),
    ]
    assert [(question.id, question.answer) for question in test] == [("pubmedqa:103", "no")]
    question = train[0]
    assert (question.question, question.options, question.task) == (ASKED, ("yes", "no", "maybe"), "mcq")
    assert (question.explanation, question.licence) == ("Statins reduced the risk.", "MIT")
    assert manifest.counts["published_splits"] == {"test": 1, "train": 2}


def test_the_hub_needs_the_test_fold_beside_it(tmp_path, capsys):
    rows = [ROW, ROW | {"pubid": 102, "question": "Is it held out?", "final_decision": "no"}]
    write_parquet(tmp_path / "in" / "pqa_labeled" / "train-00000-of-00001.parquet", rows)
    assert "has no test_ground_truth.json, which names the official test fold; get it from" in refused(
        capsys, "pubmedqa", tmp_path / "in", tmp_path / "out"
    )
    (tmp_path / "in" / "test_ground_truth.json").write_text('{"102": "no"}')
    (train,), (test,), _ = built("pubmedqa", tmp_path / "in", tmp_path / "out")
    assert (train.id, train.question, test.id) == ("pubmedqa:101", ASKED, "pubmedqa:102")


def test_another_fold_makes_other_questions(tmp_path, capsys):
    folder = write_release(tmp_path / "in", {"101": ITEM, "102": ITEM | {"QUESTION": "Other?"}}, {"101": "yes"})
    built("pubmedqa", folder, tmp_path / "out")
    (folder / "test_ground_truth.json").write_text('{"102": "yes"}')
    assert build("pubmedqa", folder, tmp_path / "out") == 2
    assert "remove that folder or choose another one" in capsys.readouterr().err


def test_a_broken_fold_is_refused(tmp_path, capsys, monkeypatch):
    folder = write_release(tmp_path / "in", {"101": ITEM}, ["101"])
    words = refused(capsys, "pubmedqa", folder, tmp_path / "out")
    assert "test_ground_truth.json holds no JSON object but list" in words
    monkeypatch.setattr(objects, "MOST_BYTES", 10)
    words = refused(capsys, "pubmedqa", folder, tmp_path / "out")
    assert "ori_pqal.json is one JSON object of" in words


@pytest.mark.parametrize(("split", "counted"), [("train,test", {"test": 1, "train": 2}), ("test", {"test": 2})])
def test_a_row_that_cannot_be_read_counts_once(tmp_path, split, counted):
    """Its id, which says of which split it is, is not known."""
    path = write_lines(tmp_path / "in" / "ori_pqal.json", [ROW, ROW | {"pubid": 102, "question": "Is it held out?"}])
    path.write_text('{"pubid": 103, "question": \n' + path.read_text())
    (tmp_path / "in" / "test_ground_truth.json").write_text('{"102": "yes"}')
    _, (test,), manifest = built(
        "pubmedqa", tmp_path / "in", tmp_path / "out", f"--split={split}", "--most-left-out=0.5"
    )
    assert test.id == "pubmedqa:102"
    assert manifest.counts["published_splits"] == counted
    assert manifest.counts["rows"] == sum(counted.values())
    assert sum(manifest.counts["dropped"]["pubmedqa"].values()) == 1
    assert len((tmp_path / "out" / "left_out.jsonl").read_text().splitlines()) == 1


def test_the_mirror_has_files_for_each_split(tmp_path):
    for split in ("train", "validation", "test"):
        data = NESTED | {"Question": f"Is it {split}?"}
        write_parquet(tmp_path / "in" / "data" / f"{split}-00000-of-00001.parquet", [{"id": "1", "data": data}])
    (train,), (test,), _ = built("pubmedqa", tmp_path / "in", tmp_path / "out")
    assert train.question == "We asked 40 patients.\nRisk fell by half.\n\nIs it train?"
    assert (train.options, train.answer, test.id) == (("yes", "no", "maybe"), "yes", "pubmedqa:test:0000000")
    more, _, _ = built("pubmedqa", tmp_path / "in", tmp_path / "more", "--split=train,validation")
    assert len(more) == 2


@pytest.mark.parametrize(
    ("change", "fold", "words"),
    [
        ({}, {"101": "no"}, "question 1: final_decision is 'yes', but test_ground_truth.json says 'no'"),
        (
            {"final_decision": "unknown"},
            {"101": "yes"},
            "question 1: final_decision 'unknown' is none of yes, no, maybe",
        ),
        ({"CONTEXTS": []}, {"101": "yes"}, "question 1: it has no context or no question"),
        ({"QUESTION": ""}, {"101": "yes"}, "question 1: it has no context or no question"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, fold, words):
    folder = write_release(tmp_path / "in", {"101": ITEM | change}, fold)
    assert words in refused(capsys, "pubmedqa", folder, tmp_path / "out", "--split=test")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Correct Option": "B"}, "line 1: the gold B is 'no', but the gold's text is 'yes'"),
        ({"Options": {"A": "yes", "B": "no"}}, "line 1: the options are yes; no, not yes, no and maybe"),
    ],
)
def test_golds_of_the_mirror_must_agree(tmp_path, capsys, change, words):
    path = write_lines(tmp_path / "test.json", [{"data": NESTED | change}])
    assert words in refused(capsys, "pubmedqa", path, tmp_path / "out")
