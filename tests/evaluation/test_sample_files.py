import gzip
import json
import random

import pytest

from octomed_jax.errors import UserError
from octomed_jax.evaluation.sample_files import count_words, find_files, score_files
from octomed_jax.evaluation.scoring import score_samples
from octomed_jax.evaluation.statistics import wilson
from octomed_jax.schema import question_from_row
from octomed_jax.verification.check import check_response

OPTIONS = ["Asthma", "Pneumonia", "Sarcoidosis", "Tuberculosis"]


def row(name="q0", letter="B", **columns):
    """Return a row in the form that the command documents; "Pneumonia" is right."""
    return {
        "benchmark": "medqa",
        "id": name,
        "task": "mcq",
        "question": f"What does {name} have?",
        "options": OPTIONS,
        "answer": "Pneumonia",
        "seed": 0,
        "response": f"<think>one two\nthree</think>\n\n\\boxed{{{letter}}}",
        "finish_reason": "stop",
        "cluster": "",
    } | columns


def write(path, rows):
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


@pytest.fixture
def score(tmp_path):
    def scored(*rows):
        return score_files([write(tmp_path / "samples.jsonl", rows)])["benchmarks"]

    return scored


def test_a_file_by_hand(score):
    """Three questions, four seeds: what each figure must be is counted by hand."""
    answers = {"a": "BBBB", "b": "BBAC", "c": "A?-B"}  # ?: says nothing; -: cut off
    rows = []
    for name, letters in answers.items():
        for seed, letter in enumerate(letters):
            changed = {"?": {"response": "<think>x</think>I cannot tell."}, "-": {"finish_reason": "length"}}
            rows.append(row(name, letter, seed=seed, **changed.get(letter, {})))
    figures = score(*rows)["medqa"]
    assert (figures["n"], figures["samples"]) == (3, 12)
    assert figures["accuracy"] == pytest.approx((4 + 2 + 1) / 12)
    assert figures["wilson"] == pytest.approx(wilson(3 * 7 / 12, 3))
    assert figures["pass_at"] == pytest.approx({"1": 7 / 12, "2": (1 + 5 / 6 + 1 / 2) / 3, "4": 1})
    # b: BB wins 1 of 6 pairs, BA and BC tie 4 of 6, AC loses; with four votes B leads. c: pairs AB tie, B? and B- win,
    # A? and A- lose, and ?- says nothing; with all four A and B tie.
    assert figures["maj_at"] == pytest.approx({"1": 7 / 12, "2": (1 + 3 / 6 + 2.5 / 6) / 3, "4": (1 + 1 + 0.5) / 3})
    assert (figures["unparsed"], figures["truncated"], figures["failed"]) == (1, 1, 0)
    assert (figures["baseline"], figures["baseline_answer"], figures["task"]) == (1.0, "B", "mcq")
    assert figures["clusters"] == [[0.25, 1, 1], [0.5, 1, 1], [1.0, 1, 1]]
    # the cut sample's thought has its end: it is measured too
    assert figures["thinking_tokens"]["unit"] == "words"
    assert figures["thinking_tokens"]["all"]["n"] == 12
    assert figures["thinking_tokens_right"] == 3
    assert figures["thinking_tokens_wrong"] == pytest.approx((4 * 3 + 1) / 5)


def test_the_columns_that_may_be_missing(score):
    optional = ("task", "options", "seed", "finish_reason", "cluster")
    bare = {key: value for key, value in row(response="The answer is Pneumonia.").items() if key not in optional}
    figures = score(bare | {"response": "\\boxed{Pneumonia}"})["medqa"]
    assert (figures["accuracy"], figures["task"]) == (1, "short_answer")
    assert figures["thinking_tokens"] == {"unit": "words", "all": None, "right": None, "wrong": None}
    assert figures["thinking_tokens_mean"] is None


def test_a_gold_may_be_a_letter_and_options_may_have_theirs(score):
    lettered = [f"{letter}. {option}" for letter, option in zip("ABCD", OPTIONS, strict=True)]
    assert score(row(answer="B"), row("q1", options=lettered, answer="B"))["medqa"]["accuracy"] == 1


def test_verdicts_that_are_there_are_not_believed(score):
    rows = [row(verdict="wrong"), row("q1", "A", verdict="wrong"), row("q2", verdict=None)]
    figures = score(*rows)["medqa"]
    assert (figures["accuracy"], figures["verdicts_changed"]) == (pytest.approx(2 / 3), 1)
    assert "verdicts_changed" not in score(row())["medqa"]


def test_failed_requests_are_named_where_nothing_else_is_known(score):
    rows = [row(), row("q1", response=None, finish_reason="error"), row("q2", response="", error="HTTP 500: no")]
    rows += [row("q0", seed=1, response="", error="HTTP 500: no")]
    figures = score(*rows)["medqa"]
    assert (figures["n"], figures["failed"], figures["only_failed"]) == (1, 3, ["q1", "q2"])
    assert (figures["accuracy"], figures["unparsed"]) == (1, 0)


def test_lengths_are_the_rows_own_where_they_have_them(score):
    rows = [row(thinking_tokens=40), row("q1", "A", thinking_tokens=80), row("q2", thinking_tokens=None)]
    lengths = score(*rows)["medqa"]["thinking_tokens"]
    assert (lengths["unit"], lengths["all"]["mean"], lengths["wrong"]["mean"]) == ("tokens", 60, 80)
    mixed = score(row(thinking_tokens=40), row("q1"))["medqa"]["thinking_tokens"]
    assert mixed == {"unit": "tokens and words", "all": None, "right": None, "wrong": None}


def test_words_are_counted_up_to_the_end_of_the_thought():
    texts = ["<think>a  b\n\nc</think>x y", "\n<think>\na</think>", "a b</think>", "<think></think>", "a b", "<think>a"]
    assert [count_words(text) for text in texts] == [3, 1, 2, 0, -1, -1]
    text = " ".join(random.Random(0).choices(["fièvre", "cough", "37.5 °C", "\n"], k=500))
    assert count_words(f"<think>{text}</think>") == len(text.split())


def test_scores_are_those_of_a_run_that_judged_the_same(tmp_path):
    """The files of a run, read again, give the run's own figures."""
    draw, rows = random.Random(3), []
    for number in range(40):
        for seed in range(3):
            one = row(f"q{number}", draw.choice("BBBACD?"), seed=seed, cluster=f"image-{number // 3}", aliases=[])
            one |= {"thinking_tokens": draw.randrange(900), "benchmark": draw.choice(["x", "y"]) if not number else "x"}
            question = question_from_row({**dict.fromkeys(("lower_limit", "upper_limit")), **one, **BLANK})
            verdict = check_response(question, one["response"], one["finish_reason"])
            rows.append(one | {"verdict": verdict.verdict, "extracted": verdict.extracted})
    expected = score_samples(rows, {})
    draw.shuffle(rows)
    found = score_files([write(tmp_path / "a.jsonl", rows[:50]), write(tmp_path / "b.jsonl", rows[50:])])
    for name, figures in expected.items():
        assert {**found["benchmarks"][name]} == {**figures, "verdicts_changed": 0, "n_train": None}
    assert [entry["name"] for entry in found["settings"]["samples"]] == ["a.jsonl", "b.jsonl"]


BLANK = {
    **dict.fromkeys(("source", "explanation", "modality", "body_region", "licence"), ""),
    "image": [], "image_hash": [], "split": "test", "access": "open",
}  # fmt: skip


def test_questions_that_come_again_later_are_judged_as_before(tmp_path, monkeypatch):
    """Only a few questions are held open at once; in the order of seeds every one is opened again."""
    rows = [row(f"q{number}", "ABCD"[number % 4], seed=seed) for seed in range(3) for number in range(20)]
    at_once = score_files([write(tmp_path / "a.jsonl", rows)])
    monkeypatch.setattr("octomed_jax.evaluation.sample_files._CHECKERS", 3)
    assert score_files([tmp_path / "a.jsonl"]) == at_once
    assert at_once["benchmarks"]["medqa"]["accuracy"] == 0.25


def test_half_an_emoji_and_empty_lines_are_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n" + json.dumps(row(response="\ud83d \\boxed{B}")) + "\n\n")
    assert score_files([path])["benchmarks"]["medqa"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(answer=None)], "line 1 (question 'q0') has no gold"),
        ([row(), row("q1", answer=" ")], "line 2 (question 'q1') has no gold"),
        ([row(answer="Gout")], "line 1 has the answer 'Gout', which is none of its options"),
        (
            [row(task="short_answer", options=[], answer="...")],
            "has the answer '...', which is no text to compare with",
        ),
        ([row(), row("q1"), row()], "line 3 is a second sample of question 'q0' with seed 0; give each one once"),
        ([row(seed=10**9), row(seed=10**9)], "line 2 is a second sample of question 'q0' with seed 1000000000"),
        ([row(task="mqc")], "unknown task 'mqc' (did you mean 'mcq'?)"),
        ([row(), row(seed=1, question="Another?")], "line 2 asks question 'q0' of medqa with another question than"),
        ([row(), row(seed=1, options=OPTIONS[::-1])], "with another options than"),
        ([row(seed="one")], "line 1 has the seed 'one'; a seed is a whole number"),
        ([row(id="")], "line 1 has no id; a sample needs it, as text"),
        ([row(benchmark=None)], "line 1 has no benchmark"),
        ([row(response=["A"])], "line 1 has no response as text"),
        ([row(thinking_tokens="many")], "line 1 has thinking_tokens 'many'"),
        ([row(task="numeric", options=[], answer="many")], "its answer 'many' is not a finite number"),
        ([[1]], "line 1 is no row but list"),
        ([], "samples.jsonl: no samples"),
    ],
)
def test_bad_rows_are_one_line(rows, expected, score):
    with pytest.raises(UserError) as caught:
        score(*rows)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_in_the_middle_names_the_line(tmp_path):
    path = write(tmp_path / "a.jsonl", [row(), row("q1")])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"a\.jsonl line 2 is cut off in the middle"):
        score_files([path])
    path.write_text('{"id": nothing}\n')
    with pytest.raises(UserError, match=r"line 1 is no JSON"):
        score_files([path])


def test_files_are_found_in_folders(tmp_path):
    (tmp_path / "run" / "samples").mkdir(parents=True)
    paths = [write(tmp_path / "run" / "samples" / f"{name}.jsonl", [row()]) for name in "ab"]
    assert find_files([tmp_path / "run"]) == find_files([tmp_path / "run" / "samples"]) == find_files(paths) == paths


def test_files_that_are_none_are_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", [row()])
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / "empty").mkdir()
    for given, expected in [
        ([tmp_path / "none.jsonl"], "no such file"),
        ([tmp_path / "a.jsonl.gz"], "is no .jsonl file"),
        ([tmp_path / "empty"], "no samples in"),
        ([path, tmp_path], "is given twice"),
    ]:
        with pytest.raises(UserError, match=expected):
            find_files(given)
