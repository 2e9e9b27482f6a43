"""What scoring says beside accuracies: votes, texts in common, calibration, and what was seen in training."""

import dataclasses
import json
import random

import pytest

from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.evaluation.calibration import calibrate
from octomed_jax.evaluation.comparison import compare
from octomed_jax.evaluation.overlaps import kind_of
from octomed_jax.evaluation.sample_files import score_files
from octomed_jax.evaluation.scoring import scored
from octomed_jax.evaluation.text_overlap import label_scores, open_and_closed, report_scores, rouge_l
from octomed_jax.evaluation.voting import maj_at
from octomed_jax.verification.check import check_response
from octomed_jax.verification.rows import question_of

ROW = {
    "benchmark": "medqa", "id": "q0", "task": "mcq", "question": "Which?", "options": ["Ash", "Oak", "Elm"],
    "answer": "Oak", "seed": 0, "finish_reason": "stop", "cluster": "",
}  # fmt: skip


def sample(response, **fields):
    return {**ROW, "response": response, **fields}


def scored_file(tmp_path, rows, **settings):
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return score_files([path], **settings)


def judged(row):
    """Return a row as a run writes it."""
    verdict = check_response(question_of(row, "here"), row["response"], row["finish_reason"])
    return {**row, "verdict": verdict.verdict, "extracted": verdict.extracted, "error": ""}


def letters(answers, **fields):
    return [sample(f"\\boxed{{{letter}}}", seed=seed, **fields) for seed, letter in enumerate(answers)]


def test_the_majority_of_ten_by_hand(tmp_path):
    rows = letters("BBBBAAAACC", id="tie")  # two lead with four each: half a vote
    rows += letters("BBBBBBAAAA", id="right") + letters("AAAAAABBBB", id="wrong")
    rows += [*letters("B", id="silent"), *(sample("I do not know.", id="silent", seed=seed) for seed in range(1, 10))]
    vote = scored_file(tmp_path, rows, votes=10)["benchmarks"]["medqa"]["vote"]
    assert (vote["of"], vote["n"], vote["left_out"]) == (10, 4, 0)
    assert vote["accuracy"] == pytest.approx((0.5 + 1 + 0 + 1) / 4)
    assert vote["ties"].startswith("split evenly")
    assert vote["bootstrap"][0] < vote["accuracy"] < vote["bootstrap"][1]


def test_one_sample_and_all_of_them_are_the_same_numbers_to_the_last_bit(tmp_path):
    chance = random.Random(5)
    rows = [row for place in range(97) for row in letters(chance.choices("ABC", k=7), id=f"q{place}")]
    found = scored_file(tmp_path, rows, votes=5)
    figures = found["benchmarks"]["medqa"]
    assert figures["accuracy"] == found["calibration"]["benchmarks"]["medqa"]["accuracy"]
    assert [figures["accuracy"]] * 2 == compare(*[tmp_path / "samples.jsonl"] * 2)["benchmarks"]["medqa"]["accuracy"]
    assert figures["accuracy"] == figures["pass_at"]["1"] == figures["maj_at"]["1"]
    assert figures["vote"]["accuracy"] == figures["maj_at"]["5"]


def test_a_failed_request_costs_its_question_the_vote_alone(tmp_path):
    rows = letters("BBB", id="a") + letters("BA", id="b") + [sample("", id="b", seed=2, finish_reason="error")]
    figures = scored_file(tmp_path, rows, votes=3)["benchmarks"]["medqa"]
    assert (figures["vote"]["n"], figures["vote"]["left_out"], figures["vote"]["accuracy"]) == (1, 1, 1.0)
    assert "3" not in figures["maj_at"]
    none = scored_file(tmp_path, rows, votes=5)["benchmarks"]["medqa"]["vote"]
    assert (none["n"], none["accuracy"], none["left_out"]) == (0, None, 2)


def test_a_vote_of_fewer_than_all_is_over_all_choices(tmp_path):
    rows = letters("BBAC", id="a")
    vote = scored_file(tmp_path, rows, votes=2)["benchmarks"]["medqa"]["vote"]
    assert vote["accuracy"] == pytest.approx(maj_at((4, (2,), (1, 1)), 2))
    assert "vote" not in scored_file(tmp_path, rows)["benchmarks"]["medqa"]


LEGACY = {"benchmark": "vqa-rad-open", "task": "short_answer", "options": []}


def test_open_questions_of_a_legacy_set_have_a_token_f1(tmp_path):
    rows = [
        sample("left lung base", id="a", answer="the left lung", **LEGACY),  # 2 of 3 and 2 of 2: 0.8
        sample("right", id="b", answer="left", aliases=["the right"], **LEGACY),
        sample("left", id="c", seed=0, answer="left", **LEGACY),
        sample("right", id="c", seed=1, answer="left", **LEGACY),
        sample("left", id="d", answer="left", **{**LEGACY, "finish_reason": "length"}),
        sample("", id="e", answer="left", **{**LEGACY, "finish_reason": "error"}),
    ]
    figures = scored_file(tmp_path, rows)["benchmarks"]["vqa-rad-open"]
    scores = figures["token_f1"]
    assert scores["tokenizer"] == "words (lower case, without articles and punctuation)"
    assert (scores["n"], scores["samples"], scores["without_gold"]) == (4, 5, 0)
    assert scores["mean"] == pytest.approx((0.8 + 1 + 0.5 + 0) / 4)
    assert scores["bootstrap"][0] < scores["mean"] < scores["bootstrap"][1]
    assert figures["closed"]["n"] == 0
    assert figures["accuracy"] is not None, "how strict the verifier is stands beside it"


def test_a_mixed_legacy_set_is_told_apart(tmp_path):
    closed = {"benchmark": "pathvqa", "task": "yes_no", "options": []}
    rows = [
        sample("Yes", id="a", answer="yes", **closed),
        sample("No", id="b", answer="yes", **closed),
        sample("Yes", id="c", answer="yes", **closed),
        sample("a liver", id="d", answer="liver", **{**LEGACY, "benchmark": "pathvqa"}),
    ]
    figures = scored_file(tmp_path, rows)["benchmarks"]["pathvqa"]
    assert (figures["closed"]["n"], figures["closed"]["accuracy"]) == (3, pytest.approx(2 / 3))
    assert (figures["token_f1"]["n"], figures["token_f1"]["mean"]) == (1, 1.0)
    by_row = open_and_closed([judged(row) for row in rows])
    assert by_row["closed"]["accuracy"] == figures["closed"]["accuracy"]
    assert by_row["open"]["token_f1"] == figures["token_f1"]["mean"]


def test_a_tokenizer_is_used_and_named(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"left": 0, "lung": 1, "[UNK]": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(sample("the left one", answer="a left lung", **LEGACY)) + "\n")
    words = ["eval", "score", str(path), f"--output={tmp_path / 'results.json'}"]
    assert main([*words, f"--f1-tokenizer={tmp_path}"]) == 0
    scores = json.loads((tmp_path / "results.json").read_text())["benchmarks"]["vqa-rad-open"]["token_f1"]
    assert scores["tokenizer"].startswith("tokenizer (3 tokens, SHA-256 ")
    assert scores["mean"] == pytest.approx(0.8)  # left and an unknown one, of these two and the gold's three
    assert main([*words, f"--f1-tokenizer={tmp_path / 'none'}"]) == 2


REPORT = {"benchmark": "mimic-cxr", "task": "report", "options": []}


def test_reports_have_a_rouge_l_and_labels_where_rows_bring_them(tmp_path):
    rows = [
        sample("<think>so</think>No pleural effusion.", id="a", answer="No effusion.", **REPORT),
        sample("Large effusion", id="b", answer="Small effusion, oedema", **REPORT),
        sample("nothing", id="c", answer="---", **REPORT),
    ]
    found = scored_file(tmp_path, rows)["benchmarks"]["mimic-cxr"]
    expected = (
        rouge_l("no pleural effusion", ("no effusion",)) + rouge_l("large effusion", ("small effusion oedema",))
    ) / 2
    assert found["accuracy"] is None
    assert (
        found["rouge_l"]["mean"]
        == pytest.approx(expected)
        == pytest.approx(report_scores(map(judged, rows))["rouge_l"])
    )
    assert (found["rouge_l"]["n"], found["rouge_l"]["without_gold"]) == (2, 1)
    assert "label_f1" not in found
    rows[0] |= {"labels": [], "labels_found": []}
    rows[1] |= {"labels": ["Effusion", "Edema"], "labels_found": ["effusion", "pneumonia"]}
    labels = scored_file(tmp_path, rows)["benchmarks"]["mimic-cxr"]["label_f1"]
    assert (labels["n"], labels["exact"], labels["micro"]["f1"]) == (2, 0.5, pytest.approx(0.5))
    assert labels["macro_f1"] == pytest.approx(0.5)


def test_lists_of_labels_have_a_label_f1(tmp_path):
    fields = {"benchmark": "films", "task": "multi_label", "options": ["Edema", "Effusion", "Mass"]}
    rows = [
        sample("\\boxed{Edema; Mass}", id="a", answer="Edema; Effusion", **fields),
        sample("\\boxed{Mass}", id="b", answer="Mass", **fields),
        sample("I cannot say.", id="c", answer="Edema", **fields),
    ]
    found = scored_file(tmp_path, rows)["benchmarks"]["films"]["label_f1"]
    assert found == label_scores([judged(row) for row in rows])
    assert (found["micro"]["precision"], found["micro"]["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 4))


@pytest.mark.parametrize(
    ("benchmark", "task", "kind"),
    [
        ("medqa", "mcq", ""), ("own_set", "short_answer", ""), ("own_set", "report", "report"),
        ("aptos", "multi_label", "labels"),
        ("slake-closed", "short_answer", "closed"), ("slake", "short_answer", "open"), ("pathvqa", "yes_no", "closed"),
    ],
)  # fmt: skip
def test_texts_are_compared_only_where_that_is_the_measure(benchmark, task, kind):
    assert kind_of(benchmark, task) == kind


def thinking_rows(seeds=4):
    """Return rows of two benchmarks, harder questions with longer thoughts, some cut off, and some failed."""
    draw = random.Random(0)
    rows = []
    for number in range(60):
        for seed in range(seeds):
            hard = draw.random() < number / 60
            row = {**ROW, "benchmark": ("medqa", "own")[number % 2], "id": f"q{number:02}", "seed": seed}
            row |= {"cluster": f"c{number // 3}" if number % 4 else "", "completion_tokens": 50 + number, "error": ""}
            row |= {"response": f"<think>so</think>\n\\boxed{{{'A' if hard else 'B'}}}", "thinking_tokens": 10 + number}
            if draw.random() < 0.1:
                row |= {"response": "<think>on", "thinking_tokens": None, "finish_reason": "length"}
            if draw.random() < 0.05:
                row |= {"response": "", "finish_reason": "error", "thinking_tokens": None}
            rows.append(row)
    draw.shuffle(rows)
    return rows


def test_calibration_is_that_of_the_rows(tmp_path):
    rows = thinking_rows()
    found = scored_file(tmp_path, rows)["calibration"]
    expected = dataclasses.asdict(calibrate([judged(row) for row in rows]))
    assert {key: found[key] for key in expected} == expected
    assert found["unit"] == "tokens"
    assert found["resamples"] == 2000
    assert found["left_out"] == []
    assert found["within"]["finished"]["rho"] > 0.3
    assert found["within"]["finished"]["bootstrap"]
    assert scored([judged(row) for row in rows], {})["calibration"] == found


def test_calibration_mixes_no_words_with_tokens(tmp_path):
    rows = thinking_rows() + [
        sample(f"<think>{'so ' * place}</think>\\boxed{{B}}", id=f"w{place}", benchmark="words") for place in range(5)
    ]
    found = scored_file(tmp_path, rows)["calibration"]
    assert (found["unit"], found["left_out"], sorted(found["benchmarks"])) == ("tokens", ["words"], ["medqa", "own"])
    alone = scored_file(tmp_path, rows[-5:])["calibration"]
    assert (alone["unit"], list(alone["benchmarks"])) == ("words", ["words"])
    none = scored_file(tmp_path, [sample("x", answer="y", **REPORT)])["calibration"]
    assert (none["unit"], none["benchmarks"], none["left_out"]) == (None, {}, ["mimic-cxr"])


def test_what_was_seen_is_told_apart(tmp_path, capsys):
    rows = letters("B", id="a") + letters("B", id="b") + letters("A", id="c") + letters("AB", id="d")
    figures = scored_file(tmp_path, rows, seen={"a": True, "b": True, "c": False, "d": False})["benchmarks"]["medqa"]
    assert figures["seen"] == {"n": 4, "seen": 2, "accuracy_seen": 1.0, "accuracy_unseen": 0.25}
    with pytest.raises(
        UserError, match=r"question d of medqa is not among those that were looked up; run `octomed eval"
    ):
        scored_file(tmp_path, rows, seen={"a": True, "b": True, "c": False})
    seen = tmp_path / "seen.jsonl"
    seen.write_text("".join(json.dumps({"id": name, "seen": name == "a"}) + "\n" for name in "abcd"))
    words = ["eval", "score", str(tmp_path / "samples.jsonl"), f"--output={tmp_path / 'results.json'}"]
    assert main([*words, f"--seen={seen}", "--votes=1"]) == 0
    assert "medqa: 1 of 4 seen in training (100.0% right of these, 50.0% of the others)" in capsys.readouterr().err
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["settings"]["votes"] == 1
    assert results["categories"]["text"]["label"] == "partial (1 of 5 benchmarks; too few questions of medqa)"
