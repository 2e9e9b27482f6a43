"""Beside the paper: our values in its columns, and its claims with intervals and verdicts that follow from them."""

import copy
import dataclasses
import json

import numpy as np
import pytest
from results_folder import BENCHMARKS, PAPER, make_sweep

from octomed_jax.sweeps import paper as papers
from octomed_jax.sweeps.results_words import claim_text, intervals_text
from octomed_jax.sweeps.rows import read_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    make_sweep(root)
    return read_sweep(root)


def ends(sweep, name, x):
    return [row for row in sweep.rows if row.state == "done" and row.name == name and row.x == x]


def test_ours_stands_beside_each_value_of_the_paper(sweep):
    found = {(one["row"], one["x"]): one for one in papers.ours(sweep, PAPER)}
    assert found["4", 2]["paper"] == 80.61
    rows = ends(sweep, "4", 2.0)
    assert found["4", 2]["runs"] == len(rows) == 4
    assert found["4", 2]["ours"] == pytest.approx(100 * np.mean([row.overall["accuracy"] for row in rows]))
    base = rows[0].baseline
    assert found["1", 0]["ours"] == pytest.approx(100 * np.mean([base[name] for name in BENCHMARKS]))
    assert found["16", 1] == {"row": "16", "column": "MedQA", "x": 1, "paper": 81.76, "ours": None, "runs": 0}


def test_points_over_the_base_are_ours_over_our_base(sweep):
    paper = copy.deepcopy(PAPER) | {"unit": papers.OVER_BASE, "x": ""}
    paper["values"] = [{"row": "4", "column": "MedQA", "x": None, "y": 12.2}]
    (found,) = papers.ours(sweep, paper)
    rows = ends(sweep, "4", 2.0)
    base = np.mean([rows[0].baseline[name] for name in BENCHMARKS])
    assert found["ours"] == pytest.approx(100 * (np.mean([row.overall["accuracy"] for row in rows]) - base))


def test_verdicts_follow_from_the_intervals(sweep):
    shown, opposite, tokens, no_run, no_column = (one["result"] for one in papers.claims(sweep, PAPER))
    assert shown["verdict"] == papers.SHOWN
    assert 0 < shown["interval"][0] < shown["difference"] < shown["interval"][1]
    assert (shown["runs"], shown["n"]) == ([4, 4], sum(BENCHMARKS.values()))
    assert opposite["verdict"] == papers.OPPOSITE
    assert opposite["interval"][1] < 0
    assert tokens["verdict"] == papers.SHOWN
    rows = ends(sweep, "4", 2.0), ends(sweep, "1", 2.0)
    more, less = (np.mean([list(_tokens(sweep, row)) for row in side]) for side in rows)
    assert tokens["difference"] == pytest.approx(more - less)
    assert (no_run["verdict"], no_run["why"]) == (papers.NOT_MEASURED, "no run of '16' is done")
    assert no_column["why"] == "no benchmark of ours stands for HeadQA"


def _tokens(sweep, row):
    return [one.tokens.mean() for one in sweep.samples[row.eval].benchmarks.values()]


def test_the_interval_is_that_of_a_bootstrap_of_pairs_by_cluster(sweep):
    """Drawn here anew, cluster by cluster, without the code that is tested."""
    result = papers.measure_claim(sweep, PAPER, PAPER["claims"][0])
    rng, means = np.random.default_rng(5), []
    for name in BENCHMARKS:
        sides = [
            np.mean([sweep.samples[row.eval].benchmarks[name].score for row in ends(sweep, kept, 2.0)], axis=0)
            for kept in ("4", "1")
        ]
        parts = (sides[0] - sides[1]).reshape(-1, 4)  # four questions a cluster, and ids in order
        drawn = rng.integers(0, len(parts), (20_000, len(parts)))
        means.append(parts[drawn].mean(axis=(1, 2)))
    low, high = np.quantile(np.mean(means, axis=0), [0.025, 0.975])
    assert result["interval"] == pytest.approx([low, high], abs=0.01)


def test_a_difference_of_nothing_is_not_shown(sweep):
    claim = PAPER["claims"][0] | {"less": "4"}
    result = papers.measure_claim(sweep, PAPER, claim)
    assert (result["verdict"], result["difference"]) == (papers.NOT_SHOWN, 0.0)
    assert result["interval"][0] < 0 < result["interval"][1]
    assert claim_text({**claim, "result": result}).startswith("+0.0 points [")


def test_a_sweep_at_full_scale_is_compared_by_the_papers_own_benchmarks(sweep):
    def columns(**benchmarks):
        paper = {**PAPER, "benchmarks": benchmarks}
        return papers.paper_of(dataclasses.replace(sweep, definition={**sweep.definition, "paper": paper}))["columns"]

    assert columns(MedQA=("medqa",), HeadQA=("headqa",)) == PAPER["columns"]  # it measured neither
    assert columns(MedQA=("plane",), HeadQA=("headqa",)) == {"MedQA": ("plane",), "HeadQA": ("headqa",)}
    assert papers.paper_of(dataclasses.replace(sweep, definition={**sweep.definition, "paper": None})) is None


def test_a_single_cluster_is_resampled_by_its_questions_and_says_so(sweep, tmp_path):
    assert not sweep.one_cluster
    wanted = papers.measure_claim(sweep, PAPER, PAPER["claims"][0])
    make_sweep(tmp_path)
    for path in tmp_path.glob("stages/eval-*/samples/*.jsonl"):
        rows = [json.loads(line) | {"cluster": "a brain"} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = read_sweep(tmp_path)
    found = papers.measure_claim(again, PAPER, PAPER["claims"][0])
    assert found["difference"] == pytest.approx(wanted["difference"])
    assert found["interval"][0] < found["difference"] < found["interval"][1]
    assert found["notes"][-1].endswith("all questions are of one cluster, and the interval says nothing of others")
    assert all(one["low"] < one["accuracy"] < one["high"] for one in again.last[0].benchmarks.values())
    assert "such as slices of one brain" in intervals_text(again)
    assert "brain" not in intervals_text(sweep)


def test_a_difference_that_every_question_shows_is_shown():
    table = papers.Table(np.array([[9.0] * 6, [2.0] * 6]), np.arange(6))
    found = papers._compared({"plane": table}, 1, papers.TOKENS)
    assert (found["verdict"], found["interval"]) == (papers.SHOWN, [7.0, 7.0])
    assert found["notes"] == ["all questions of a benchmark show one and the same difference, 6 in all"]
    few = papers.Table(table.scores[:, :5], np.arange(5))
    assert papers._compared({"plane": few}, 1, papers.TOKENS)["verdict"] == papers.NOT_SHOWN


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.01, 0.2), "shown"), ((-0.01, 0.2), "not shown"), ((-0.2, -0.01), "the opposite"), (None, "not shown"),
     ((0.0, 0.3), "not shown")],
)  # fmt: skip
def test_verdict_of(interval, verdict):
    assert papers.verdict_of(interval) == verdict
