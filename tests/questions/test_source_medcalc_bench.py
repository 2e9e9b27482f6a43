"""MedCalc-Bench: numbers within limits, dates, and weeks with days."""

import csv
import datetime

import pytest
from adapter_helpers import built, refused, write_parquet
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.questions.sources.medcalc_bench import cells
from octomed_jax.verification.check import check_response

ROW = {
    "Row Number": "1",
    "Calculator ID": "6",
    "Calculator Name": "Body Mass Index (BMI)",
    "Category": "physical",
    "Output Type": "decimal",
    "Note ID": "pmc-0000000-1",
    "Note Type": "Extracted",
    "Patient Note": 'A man of 87 kg and 175 cm, "well", came in.\nHe was sent home.\n',
    "Question": "What is the patient's body mass index in kg/m²?",
    "Relevant Entities": "{'weight': [87.0, 'kg'], 'height': [175, 'cm']}",
    "Ground Truth Answer": "28.40816",
    "Lower Limit": "26.98775",
    "Upper Limit": "29.82857",
    "Ground Truth Explanation": "87 / 1.75^2 = 28.40816",
}
SCORE = {"Output Type": "integer", "Ground Truth Answer": "1.5", "Lower Limit": "1.5", "Upper Limit": "1.5"}


def exact(kind, answer):
    return {"Output Type": kind, "Ground Truth Answer": answer, "Lower Limit": answer, "Upper Limit": answer}


DATE, AGE = exact("date", "12/02/2000"), exact("date", "('34 weeks', '3 days')")


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ROW)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_release(tmp_path):
    folder = tmp_path / "in" / "datasets"
    other = ROW | {"Question": "What is the patient's BMI class?", "Patient Note": "Another note."}
    write_csv(folder / "train_data.csv", [ROW, ROW | SCORE | {"Question": "What is the score?"}, other])
    write_csv(folder / "test_data.csv", [ROW | {"Patient Note": "A note held out."}])
    (first, second, third), (test,), manifest = built("medcalc-bench", tmp_path / "in", tmp_path / "out")
    assert first.question == f"{ROW['Patient Note'].strip()}\n\n{ROW['Question']}"
    assert (first.task, first.answer, first.options) == ("numeric", "28.40816", ())
    assert (first.lower_limit, first.upper_limit) == (26.98775, 29.82857)
    assert (second.answer, second.lower_limit, second.upper_limit) == ("1.5", 1.5, 1.5)
    assert first.cluster == second.cluster not in (third.cluster, test.cluster)
    assert (first.explanation, first.licence) == (ROW["Ground Truth Explanation"], "CC-BY-SA-4.0")
    assert "in_both_splits" not in manifest.counts


def test_a_note_in_both_splits_is_noted(tmp_path, capsys):
    for name in ("train", "test"):
        row = ROW | {"Question": f"What is the {name}?"}
        write_parquet(tmp_path / "in" / "data" / f"{name}-00000-of-00001.parquet", [row])
    _, _, manifest = built("medcalc-bench-verified", tmp_path / "in", tmp_path / "out")
    assert manifest.counts["in_both_splits"] == {"cluster": 1}
    assert "1 clusters stand in train and in test, as published" in capsys.readouterr().err


def test_dates_and_ages_are_exact_in_any_spelling(tmp_path):
    path = write_csv(tmp_path / "one_shot_data.csv", [ROW | DATE, ROW | AGE])
    (date, age), _, _ = built("medcalc-bench-verified", path, tmp_path / "out", "--split=one_shot")
    assert (date.answer, age.answer) == ("2000-12-02", "34 weeks 3 days")
    assert (date.task, date.lower_limit, date.upper_limit) == ("numeric", None, None)
    for question, right, wrong in (
        (date, ("12/02/2000", "12/2/2000", "December 2, 2000"), ("02/12/2000", "12/03/2000")),
        (age, ("(34 weeks, 3 days)", "34 weeks and 3 days"), ("34 weeks and 4 days", "(33 weeks, 3 days)")),
    ):
        verdicts = [check_response(question, f"\\boxed{{{text}}}", "stop").verdict for text in (*right, *wrong)]
        assert verdicts == ["correct"] * len(right) + ["wrong"] * len(wrong)


def test_limits_below_zero_may_be_swapped(tmp_path):
    change = {"Ground Truth Answer": "-2.1", "Lower Limit": "-1.995", "Upper Limit": "-2.205"}
    (question,), _, _ = built("medcalc-bench", write_csv(tmp_path / "train_data.csv", [ROW | change]), tmp_path / "out")
    assert (question.answer, question.lower_limit, question.upper_limit) == ("-2.1", -2.205, -1.995)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Ground Truth Answer": "30.5"}, "answer '30.5' is not from 26.98775 to 29.82857, its limits"),
        ({"Lower Limit": ""}, "is not as medcalc-bench is published (ValueError: could not convert"),
        ({"Output Type": "date"}, "Ground Truth Answer is the number 28.40816, but Output Type is date"),
        (DATE | {"Output Type": "decimal"}, "'12/02/2000' is nothing that Output Type decimal can be"),
        (DATE | {"Lower Limit": "12/01/2000"}, "is '12/02/2000', but its limits are '12/01/2000' and '12/02/2000'"),
        (exact("date", "34 weeks"), "'34 weeks' is nothing that Output Type date can be"),
        ({"Patient Note": " "}, "it has no note or no question"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    path = write_csv(tmp_path / "train_data.csv", [ROW | change])
    line = refused(capsys, "medcalc-bench", path, tmp_path / "out")
    assert "train_data.csv line 2: " in line
    assert words in line


@given(st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)))
def test_dates_have_the_month_first(date):
    (question,) = cells(ROW | exact("date", date.strftime("%m/%d/%Y")), "test")
    assert question["answer"] == date.isoformat()


@given(st.integers(0, 45), st.integers(0, 6))
def test_ages_are_read_whole(weeks, days):
    (question,) = cells(ROW | exact("date", f"('{weeks} weeks', '{days} days')"), "test")
    assert question["answer"] == f"{weeks} weeks {days} days"
