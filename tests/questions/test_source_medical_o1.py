"""The verifiable problems: open questions with short answers."""

import json

from adapter_helpers import built, refused

ROW = {
    "Open-ended Verifiable Question": "An infant has a heart rate of 280/min. Which rhythm is it?",
    "Ground-True Answer": "Supraventricular tachycardia",
}


def test_problems_are_asked_openly(tmp_path):
    path = tmp_path / "in" / "medical_o1_verifiable_problem.json"
    path.parent.mkdir()
    number = {"Open-ended Verifiable Question": "How many lobes has the left lung?", "Ground-True Answer": "2"}
    path.write_text(json.dumps([ROW, number], indent=2))
    train, test, _ = built("medical-o1-verifiable-problem", tmp_path / "in", tmp_path / "out")
    assert [question.answer for question in train] == ["Supraventricular tachycardia", "2"]
    assert {question.task for question in train} == {"short_answer"}
    assert (train[0].options, train[0].licence, test) == ((), "Apache-2.0", [])


def test_a_problem_without_an_answer_is_named(tmp_path, capsys):
    path = tmp_path / "medical_o1_verifiable_problem.json"
    path.write_text(json.dumps([ROW, ROW | {"Ground-True Answer": ""}]))
    assert "row 2: has no answer" in refused(capsys, "medical-o1-verifiable-problem", path, tmp_path / "out")
    path.write_text(json.dumps([{"Question": "What?", "Answer": "That"}]))
    words = refused(capsys, "medical-o1-verifiable-problem", path, tmp_path / "out")
    assert "row 1: is not as medical-o1-verifiable-problem is published (no column 'Open-ended" in words
