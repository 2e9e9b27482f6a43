"""Difficulty: what attempts say of questions, compared with counting; attempts that do not fit are one line."""

import pytest
from curation_helpers import curated, make, make_config, reasons, text, write_attempts, write_folder

from octomed_jax import manifests
from octomed_jax.errors import UserError
from octomed_jax.schema import ATTEMPT_SCHEMA
from octomed_jax.traces import lake

CONFIG = make_config(["difficulty"])


@pytest.fixture
def questions(tmp_path):
    return write_folder(tmp_path / "questions", [make(f"{number:02d}", text(number)) for number in range(17)])


def right(count=17, **others):
    return {**{f"made:{number:02d}": number for number in range(count)}, **others}


def test_questions_between_the_limits_stay(tmp_path, questions):
    # More questions were asked than are curated, before, between and after them.
    asked = right(**{"a": 0, "made:00a": 3, "made:99": 16})
    attempts = write_attempts(tmp_path / "attempts", asked)
    left, gone, manifest = curated(tmp_path / "out", questions, CONFIG, attempts=attempts)
    assert list(left) == [f"made:{number:02d}" for number in range(2, 15)]
    assert {name: (row["reason"], row["detail"]) for name, row in gone.items()} == {
        "made:00": ("too_hard", "0 of 16 right"),
        "made:01": ("too_hard", "1 of 16 right"),
        "made:15": ("too_easy", "15 of 16 right"),
        "made:16": ("too_easy", "16 of 16 right"),
    }
    assert manifest.counts["steps"][0]["reasons"] == {"too_easy": 2, "too_hard": 2}
    assert set(manifest.inputs) == {"questions 1", "attempts"}


def test_several_folders_are_each_read_in_their_own_order(tmp_path, questions):
    first = write_folder(tmp_path / "first", [make(f"z{number}", f"{number}") for number in range(3)])
    attempts = write_attempts(tmp_path / "attempts", right(**{"made:z0": 0, "made:z1": 8, "made:z2": 16}))
    left, _, _ = curated(tmp_path / "out", [first, questions], CONFIG, attempts=attempts)
    assert list(left) == [*(f"made:{number:02d}" for number in range(2, 15)), "made:z1"]


def test_of_several_models_one_is_named(tmp_path, questions):
    attempts = write_attempts(tmp_path / "attempts", right(), teachers=("student", "teacher"))
    with pytest.raises(UserError, match="attempts of student and of teacher; name one"):
        curated(tmp_path / "out", questions, CONFIG, attempts=attempts)
    named = make_config(["difficulty"], difficulty={"model": "teacher"})
    assert len(curated(tmp_path / "named", questions, named, attempts=attempts)[0]) == 13
    nobody = make_config(["difficulty"], difficulty={"model": "techer"})
    with pytest.raises(UserError, match=r"holds no attempts of .techer.*teacher"):
        curated(tmp_path / "nobody", questions, nobody, attempts=attempts)


@pytest.mark.parametrize(
    ("asked", "samples", "line"),
    [
        (right(), 8, "holds 8 attempts at made:00, the filter takes 16: make them with `octomed distill --samples=16`"),
        (right(16), 16, "holds 0 attempts at made:16, the filter takes 16"),
        ({}, 16, "holds 0 attempts at made:00, the filter takes 16"),
    ],
)
def test_attempts_that_do_not_fit_are_one_line(tmp_path, questions, asked, samples, line):
    attempts = write_attempts(tmp_path / "attempts", asked, samples)
    with pytest.raises(UserError, match=line) as error:
        curated(tmp_path / "out", questions, CONFIG, attempts=attempts)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_questions_that_went_before_need_no_attempts(tmp_path):
    copies = [make(f"{number:02d}", text(number // 2)) for number in range(4)]
    folder = write_folder(tmp_path / "questions", copies)
    attempts = write_attempts(tmp_path / "attempts", {"made:00": 3, "made:02": 0})
    config = make_config(["deduplicate", "difficulty"])
    assert list(curated(tmp_path / "out", folder, config, attempts=attempts)[0]) == ["made:00"]


def test_without_attempts_it_is_said(tmp_path, questions):
    with pytest.raises(UserError, match="name them with --attempts=DIR"):
        curated(tmp_path / "out", questions, CONFIG)
    with pytest.raises(UserError, match="holds the result of `octomed questions`, not of `octomed distill`"):
        curated(tmp_path / "out", questions, CONFIG, attempts=questions)


def write_verdicts(folder, rows):
    """Write attempts of (question, verdicts and reasons): one attempt for each pair of theirs."""
    empty = {field.name: "" if field.type == "string" else 0 for field in ATTEMPT_SCHEMA}
    attempts = [
        {
            **empty,
            "question_id": f"made:{name}",
            "sample_index": sample,
            "teacher": "student",
            "option_order": [],
            "verdict": verdict,
            "reason": reason,
        }
        for name, given in sorted(rows.items())
        for sample, (verdict, reason) in enumerate(given)
    ]
    lake.write_rows(folder / "attempts" / "part-00000.parquet", attempts, ATTEMPT_SCHEMA)
    manifests.write_manifest(folder, manifests.Manifest(stage="distill", config={"rows": sorted(rows)}))
    return folder


RIGHT, WRONG = ("correct", "match"), ("wrong", "other_text")
FAILED, CUT = ("unparsed", "request_failed"), ("truncated", "length")
NO_GOLD, NO_RULE, BROKEN = (("unparsed", reason) for reason in ("no_gold", "no_rule", "broken_gold"))


@pytest.mark.parametrize(
    ("given", "reason", "counted"),
    [
        # Failed requests are no samples: it goes only where the missing ones could not change that.
        ([WRONG] * 15 + [FAILED], "too_hard", None),
        ([WRONG] * 14 + [FAILED] * 2, "", "requests_failed"),
        ([FAILED] * 16, "", "requests_failed"),
        ([RIGHT] * 15 + [FAILED], "too_easy", None),
        ([RIGHT] * 14 + [WRONG] + [FAILED], "", "requests_failed"),
        ([RIGHT] * 8 + [WRONG] * 5 + [FAILED] * 3, "", None),
        ([RIGHT] * 1 + [WRONG] * 15, "too_hard", None),
        # What no rule can mark was not answered wrongly.
        ([NO_GOLD] * 16, "", "no_gold"),
        ([NO_RULE] * 10 + [CUT] * 6, "", "no_rule"),
        ([BROKEN] * 3 + [("unparsed", "no_answer")] * 13, "", "broken_gold"),
        ([CUT] * 16, "too_hard", None),
        ([("unparsed", "no_answer")] * 16, "too_hard", None),
    ],
)
def test_a_question_goes_only_by_samples_that_count(tmp_path, given, reason, counted):
    folder = write_folder(tmp_path / "questions", [make("it", text(1)), make("stays", text(2))])
    attempts = write_verdicts(tmp_path / "attempts", {"it": given, "stays": [RIGHT] * 8 + [WRONG] * 8})
    _, gone, manifest = curated(tmp_path / "out", folder, CONFIG, attempts=attempts)
    assert reasons(gone) == ({"it": reason} if reason else {})
    assert manifest.counts["steps"][0].get("unjudged") == ({counted: 1} if counted else None)
    assert ("Left in, not judged: 1" in (tmp_path / "out" / "card.md").read_text()) == bool(counted)
    if FAILED in given and reason:
        assert gone["made:it"]["detail"].endswith("of 15 right, 1 requests failed")


def test_open_questions_of_which_all_samples_were_cut_are_not_judged(tmp_path):
    questions = [
        make("report", text(1), task="report", answer="clear lungs"),
        make("instruction", text(2), task="instruction", answer=""),
        make("short", text(3)),
        make("stays", text(4)),
    ]
    folder = write_folder(tmp_path / "questions", questions)
    given = {**dict.fromkeys(("report", "instruction", "short"), [CUT] * 16), "stays": [RIGHT, WRONG] * 8}
    attempts = write_verdicts(tmp_path / "attempts", given)
    _, gone, manifest = curated(tmp_path / "out", folder, CONFIG, attempts=attempts)
    assert reasons(gone) == {"short": "too_hard"}
    assert manifest.counts["steps"][0]["unjudged"] == {"no_gold": 1, "no_rule": 1}


def test_attempts_are_read_once_whatever_the_folders(tmp_path, monkeypatch, questions):
    opened = []
    inner = lake.iterate_parts
    monkeypatch.setattr(lake, "iterate_parts", lambda *given: opened.append(given) or inner(*given))
    more = [write_folder(tmp_path / f"{name}", [make(name, text(name))]) for name in ("a", "05b", "z")]
    attempts = write_attempts(tmp_path / "attempts", right(**{"made:a": 3, "made:05b": 0, "made:z": 16}))
    left, _, _ = curated(tmp_path / "out", [more[0], questions, *more[1:]], CONFIG, attempts=attempts)
    assert list(left) == [*(f"made:{number:02d}" for number in range(2, 15)), "made:a"]
    assert len(opened) == 1


def test_a_misspelt_model_is_refused_before_the_first_step(tmp_path, questions):
    attempts = write_attempts(tmp_path / "attempts", right())
    config = make_config(["deduplicate", "difficulty"], difficulty={"model": "studnt"})
    with pytest.raises(UserError, match=r"difficulty.model: .* no attempts of 'studnt' \(did you mean 'student'\?\)"):
        curated(tmp_path / "out", questions, config, attempts=attempts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attempts", "questions"]
