"""Difficulty: what attempts say of questions, compared with counting; attempts that do not fit are one line."""

import pytest
from curation_helpers import curated, make, make_config, text, write_attempts, write_folder

from octomed_jax.errors import UserError

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
