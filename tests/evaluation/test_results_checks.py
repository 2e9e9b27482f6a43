"""Entries of results.json that cannot be what scoring writes are refused in one line."""

import copy
import json

import pytest

from octomed_jax.errors import UserError
from octomed_jax.evaluation.results_checks import check_calibration, check_category, check_figures
from octomed_jax.evaluation.sample_files import score_files

ROW = {"benchmark": "vqa-rad", "task": "short_answer", "question": "What?", "answer": "a lung", "finish_reason": "stop"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What scoring writes, with every part that it can have."""
    path = tmp_path_factory.mktemp("checks") / "samples.jsonl"
    labels = {"benchmark": "findings", "task": "multi_label", "options": ["a", "b", "c"], "answer": "a; b"}
    reports = {"benchmark": "reports", "task": "report", "answer": "No effusion.", "labels": [], "labels_found": []}
    exam = {"benchmark": "MedQA", "task": "mcq", "options": ["lung", "liver"], "answer": "lung"}
    rows = [
        {**ROW, **more, "id": f"q{place}", "seed": seed, "response": ("<think>so</think>\\boxed{A}", "liver")[seed]}
        for more in ({}, {"task": "yes_no", "answer": "yes"}, labels, reports, exam)
        for place in range(3)
        for seed in range(2)
    ]
    for place, row in enumerate(rows):
        row["id"] = f"{row['task']}-{row['id']}"
        row["thinking_tokens"] = place
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = score_files([path], votes=2)
    assert {"closed", "token_f1", "vote"} <= found["benchmarks"]["vqa-rad"].keys()
    assert "rouge_l" in found["benchmarks"]["reports"]
    assert "label_f1" in found["benchmarks"]["findings"]
    return json.loads(json.dumps(found))


def test_what_scoring_writes_is_accepted(results):
    for name, figures in results["benchmarks"].items():
        check_figures(figures, name)
    assert results["categories"]
    for name, figures in results["categories"].items():
        check_category(figures, name)


@pytest.mark.parametrize(
    ("names", "value", "says"),
    [
        (["MedQA"], 5, "MedQA is int, not an object"),
        (["MedQA", "failed"], -1, "failed=-1 is no count"),
        (["MedQA", "n_train"], "many", "n_train='many' is no count"),
        (["MedQA", "baseline"], "x", "'x' is no share"),
        (["MedQA", "bootstrap"], [0.9, 0.1], r"bootstrap=\[0.9, 0.1\] is no interval"),
        (["MedQA", "wilson"], [None, 0.1], r"wilson=\[None, 0.1\] is no interval"),
        (["MedQA", "clusters"], [[1]], "no clusters to draw from"),
        (["MedQA", "clusters"], [], "no clusters to draw from"),
        (["MedQA", "clusters"], [[0.0, 0, 1]], "clusters without a question"),
        (["MedQA", "maj_at"], {"many": 1}, "no table of shares by k"),
        (["MedQA", "pass_at", "1"], True, "True is no share"),
        (["MedQA", "vote"], 5, "vote is int, not an object"),
        (["MedQA", "vote", "of"], None, "of=None is no count"),
        (["MedQA", "thinking_tokens"], 5, "thinking_tokens is int, not an object"),
        (["MedQA", "thinking_tokens", "right", "quantiles"], {}, "50=None is no count"),
        (["vqa-rad", "closed", "n"], "x", "closed: n='x' is no count"),
        (["vqa-rad", "token_f1", "mean"], 5, "5 is no share"),
        (["reports", "rouge_l", "bootstrap"], [0], r"bootstrap=\[0\] is no interval"),
        (["findings", "label_f1", "micro"], None, "micro is NoneType, not an object"),
        (["findings", "label_f1", "macro_f1"], "x", "'x' is no share"),
    ],
)
def test_what_cannot_be_one_is_named(results, names, value, says):
    broken = copy.deepcopy(results["benchmarks"])
    table = broken
    for name in names[:-1]:
        table = table[name]
    table[names[-1]] = value
    with pytest.raises(UserError, match=f"{says}.*; score the samples again"):
        check_figures(broken[names[0]], names[0])


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("partial", 2, "2 is no share"),
        ("bootstrap", None, "has a mean without its interval"),
        ("missing", [1], "is no list of names"),
        ("label", None, "label=None is no text"),
    ],
)
def test_a_category_too(results, name, value, says):
    with pytest.raises(UserError, match=f"text: .*{says}|text {says}"):
        check_category({**results["categories"]["text"], name: value}, "text")


def test_calibration_too(results):
    found = results["calibration"]
    check_calibration(found, "results.json")
    check_calibration({}, "results.json")
    for broken, says in (
        ({"benchmarks": 5}, "calibration: benchmarks is int, not an object"),
        ({**found, "across": None}, "across is NoneType, not an object"),
        ({**found, "benchmarks": {"MedQA": {"within": 3}}}, "MedQA: within is int, not an object"),
    ):
        with pytest.raises(UserError, match=says):
            check_calibration(broken, "results.json")
