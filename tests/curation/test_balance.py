"""Balance: exact numbers of each class, the same ones whatever the pieces."""

from collections import Counter

import pytest
from curation_helpers import curated, make, make_config, text, write_folder

from octomed_jax.curation.balance import most_of

SIZES = {"nevus": 40, "melanoma": 10, "keratosis": 23, "vascular": 11}


def classes(sizes=SIZES, **fields):
    names = [answer for answer, count in sizes.items() for _ in range(count)]
    fields = {"task": "classification", "benchmark": "skin", **fields}
    return [
        make(f"{fields['benchmark']} {number:03d}", text(number), answer=answer, **fields)
        for number, answer in enumerate(names)
    ]


def answers(left, benchmark="skin"):
    return Counter(one.answer for one in left.values() if one.benchmark == benchmark)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [10, 10, 10, 10]),
        ({"ratio": 1.15}, [11, 10, 11, 11]),
        ({"ratio": 3.0}, [30, 10, 23, 11]),
        ({"ratio": 9.0}, [40, 10, 23, 11]),
        ({"most": 12}, [12, 10, 12, 11]),
        ({"most": 5, "ratio": 9.0}, [5, 5, 5, 5]),
        ({"tasks": ("yes_no",)}, [40, 10, 23, 11]),
        ({"sources": ("other",)}, [40, 10, 23, 11]),
        ({"sources": ("other", "made")}, [10, 10, 10, 10]),
    ],
)
def test_each_class_has_its_number(tmp_path, settings, expected):
    folder = write_folder(tmp_path / "questions", [*classes(), make("alone", "x", source="other", benchmark="none")])
    left, gone, _ = curated(tmp_path / "out", folder, make_config(["balance"], balance=settings))
    assert answers(left) == dict(zip(SIZES, expected, strict=True))
    assert len(gone) == 84 - sum(expected)
    assert {row["reason"] for row in gone.values()} <= {"surplus"}
    nevus = {row["detail"] for row in gone.values() if "'nevus'" in row["detail"]}
    assert nevus == ({f"40 of the class 'nevus' of made skin, {expected[0]} stay"} if expected[0] < 40 else set())


def test_benchmarks_and_sources_are_balanced_by_themselves(tmp_path):
    few = {"yes": 3, "no": 2}
    questions = [
        *classes(),
        *classes(few, benchmark="seen", task="yes_no"),
        *classes(few, benchmark="elsewhere", task="yes_no", source="other"),
        *classes({"only": 7}, benchmark="one class"),  # nothing to balance with
        *classes(few, benchmark="exam", task="mcq", options=("yes", "no")),
    ]
    left, _, _ = curated(tmp_path / "out", write_folder(tmp_path / "questions", questions), make_config(["balance"]))
    assert set(answers(left).values()) == {10}
    assert answers(left, "seen") == answers(left, "elsewhere") == {"yes": 2, "no": 2}
    assert answers(left, "one class") == {"only": 7}
    assert answers(left, "exam") == few


@pytest.mark.parametrize(
    ("rarest", "ratio", "most"),
    [(100, 1.15, 115), (100, 1.1, 110), (10, 1.15, 11), (3, 4.1, 12), (1000, 2.3, 2300), (7, 1, 7)],
)
def test_a_class_is_cut_by_the_ratio_as_it_is_written(rarest, ratio, most):
    assert most_of(rarest, ratio) == most


def test_a_class_of_one_question_says_what_it_cost(tmp_path, capsys):
    questions = [
        *classes({"nevus": 5, "odd one": 1, "melanoma": 3}),
        *classes({"yes": 5, "no": 4}, benchmark="seen", task="yes_no"),
        *classes({"only": 7}, benchmark="one class"),
        *classes({"yes": 3, "no": 3}, benchmark="even", task="yes_no"),
    ]
    folder = write_folder(tmp_path / "questions", questions)
    _, _, manifest = curated(tmp_path / "out", folder, make_config(["balance"]))
    assert manifest.counts["steps"][0]["limits"] == [
        {"source": "made", "benchmark": "seen", "class": "no", "size": 4, "most": 4, "removed": 1, "before": 9},
        {"source": "made", "benchmark": "skin", "class": "odd one", "size": 1, "most": 1, "removed": 6, "before": 9},
    ]
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "6 of 9 questions of made skin go, for its rarest class 'odd one' has 1" in warnings[0]
    assert "Limited: 1 of 9 questions of made seen go" in (tmp_path / "out" / "card.md").read_text()
    _, _, manifest = curated(tmp_path / "most", folder, make_config(["balance"], balance={"most": 2}))
    assert manifest.counts["steps"][0]["limits"] == []


def test_the_seed_draws_and_nothing_else(tmp_path):
    def drawn(name, seed, questions, row_group=500):
        folder = write_folder(tmp_path / f"{name} questions", questions, row_group)
        return set(curated(tmp_path / name, folder, make_config(["balance"], seed=seed))[0])

    first = drawn("first", 0, classes())
    assert drawn("groups", 0, classes(), row_group=3) == first
    assert drawn("others too", 0, [*classes(), *classes(benchmark="more")]) > first
    other = drawn("seed", 1, classes())
    assert other != first
    assert len(other) == len(first) == 40


def test_what_earlier_steps_took_out_counts_no_more(tmp_path):
    copies = [
        make(f"x{number:03d}", text(0), answer="nevus", task="classification", benchmark="skin") for number in range(9)
    ]
    folder = write_folder(tmp_path / "questions", [*classes({"nevus": 1, "melanoma": 3}), *copies])
    left, _, _ = curated(tmp_path / "out", folder, make_config(["deduplicate", "balance"]))
    assert answers(left) == {"nevus": 1, "melanoma": 1}
    left, _, _ = curated(tmp_path / "other", folder, make_config(["balance", "deduplicate"]))
    assert answers(left)["melanoma"] == 3
