"""The paper's Table 2 and Figure 8, re-computed where they allow it."""

import pytest

from octomed_jax.evaluation import paper_results as paper
from octomed_jax.evaluation.benchmarks import BENCHMARKS, EVERY, PAPER, WITH_IMAGES, category_members
from octomed_jax.evaluation.statistics import mean


def values(category, model):
    return [paper.cell(one.name, model) for one in category_members(category)]


def test_every_benchmark_of_the_paper_has_its_row():
    names = {one.name for one in category_members(EVERY)}
    assert set(paper.TABLE_2) == set(paper.FIGURE_8) == names
    for name, cells in paper.TABLE_2.items():
        with_text_alone = BENCHMARKS[name].category == "text"
        assert len(cells) == len(paper.MODELS) - (0 if with_text_alone else len(paper.WITHOUT_IMAGES))
    assert set(paper.OVERALL) == set(PAPER)
    assert set(paper.LEGACY) <= set(BENCHMARKS)


def test_the_overalls_are_means_but_for_three():
    odd = set()
    for category, cells in paper.OVERALL.items():
        for model, printed in zip(paper.MODELS, cells, strict=False):
            if abs(mean(values(category, model)) - printed) > 0.025:
                odd.add((category, model))
    assert odd == paper.NOT_THE_MEAN
    means = [round(mean(values("classification", model)), 2) for _, model in sorted(odd)]
    assert means == [42.02, 39.65, 46.74]  # GLM, HuatuoGPT, InternVL


def test_votes_are_what_figure_8_has_less_of():
    more = {
        (name, paper.STUDENT)
        for name, one in paper.FIGURE_8.items()
        if paper.cell(name, paper.STUDENT) - one.accuracy > 0.15
    }
    assert more == paper.DAGGERS | paper.LIKE_A_VOTE
    assert all(abs(paper.cell(name, paper.OTHER) - one.other_accuracy) <= 0.51 for name, one in paper.FIGURE_8.items())
    text = [paper.FIGURE_8[one.name].accuracy for one in category_members("text")]
    assert mean(text) == pytest.approx(66.96, abs=0.005)


def test_marks():
    assert paper.mark_of("medqa", "OctoMed-7B") == "majority of 10"
    assert paper.mark_of("mmmu-pro", "OctoMed-7B") == "looks like a majority vote"
    assert paper.mark_of("classification", "GLM-4.1V-9B") == "not the mean of its rows"
    assert paper.mark_of("medqa", "GPT-4o") == ""
    assert paper.cell("aptos", "DeepSeek-R1") is None
    assert paper.cell("own_set", "GPT-4o") is None
    with pytest.raises(ValueError, match="no model 'GPT-5'"):
        paper.cell("medqa", "GPT-5")


def fits(cell, questions, runs=5):
    """Whether a printed cell can be the mean of so many runs over so many questions."""
    answers = questions * runs
    near = round(cell / 100 * answers)
    return any(round(100 * right / answers, 2) == cell for right in (near - 1, near, near + 1))


def test_how_many_questions_the_cells_are_means_over():
    fitting = {
        name: sum(fits(cell, BENCHMARKS[name].questions) for cell in cells)
        for name, cells in paper.TABLE_2.items()
        if BENCHMARKS[name].questions
    }
    whole = {name: len(cells) for name, cells in paper.TABLE_2.items()}
    # Of these few numbers fit: 5 n is so small that a cell of two decimals seldom does by chance.
    for name in ("mmmu-pro", "coronahack", "messidor2"):
        assert fitting[name] == whole[name]
        assert sum(fits(paper.TABLE_2[name][0], other) for other in range(100, 400)) < 100
    assert fitting["mmlu-pro-health"] == whole["mmlu-pro-health"] - 1
    assert fitting["brain-tumor-mri"] <= 5
    assert fitting["aptos"] <= 2


def test_as_plain_data():
    rows = {row["row"]: row for row in paper.table()}
    assert len(rows) == 17
    assert rows["medqa"]["cells"]["OctoMed-7B"] == {"accuracy": 90.81, "mark": "majority of 10"}
    assert rows["classification"]["overall"]
    assert "DeepSeek-R1" not in rows["aptos"]["cells"]
    assert "Table 2" in rows["medqa"]["source"]
    [medqa] = [row for row in paper.lengths() if row["benchmark"] == "medqa"]
    assert medqa["OctoMed-7B"] == {"tokens": 1453, "accuracy": 88.3}
    assert mean(values(WITH_IMAGES, paper.STUDENT)) == pytest.approx(59.76, abs=0.01)
