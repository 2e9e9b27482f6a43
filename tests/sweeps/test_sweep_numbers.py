"""Groups of seeds, main effects, curves, and the scales of the charts."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from results_folder import make_point, make_sweep, write_definition, write_run
from scipy import stats

from octomed_jax.sweeps import results_numbers as numbers
from octomed_jax.sweeps.results_charts import marks_around, place
from octomed_jax.sweeps.rows import read_sweep, value_of


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    make_sweep(root)
    return read_sweep(root)


def last(sweep, kept, rate=None):
    rows = [row for row in sweep.last if row.state == "done" and row.name == str(kept)]
    return [value_of(row, "overall") for row in rows if rate in (None, row.changes["train.peak_learning_rate"])]


def test_students_interval_is_that_of_scipy():
    values = [0.31, 0.36, 0.29]
    mean, error = sum(values) / 3, stats.sem(values)
    assert numbers.t_interval(values, "plane") == pytest.approx(stats.t.interval(0.95, 2, mean, error))
    assert numbers.t_interval([0.9, 0.1], "plane") == (0.0, 1.0)
    assert numbers.t_interval([0.5], "plane") is None


def test_groups_have_an_interval_over_seeds_and_one_over_questions(sweep):
    first, *_, lacking = numbers.groups(sweep, "overall")
    values = last(sweep, 1, 0.001)
    assert (first["points"], first["done"], first["mean"]) == (2, 2, pytest.approx(sum(values) / 2))
    assert first["seeds"] == pytest.approx(numbers.t_interval(values, "overall"))
    low, high = first["questions"]
    assert low < first["mean"] < high
    # Two runs on the same questions vary less over questions than one, and still far more than nothing.
    assert 0.05 < high - low < 0.3
    assert (lacking["points"], lacking["done"], lacking["mean"], lacking["seeds"]) == (3, 0, None, None)


def test_of_a_loss_there_is_no_interval_over_questions(sweep):
    assert all(one["questions"] is None for one in numbers.groups(sweep, "held_out_loss"))


def test_effects_are_marginal_means_over_the_other_fields(sweep):
    traces, rate = numbers.effects(sweep, "overall")
    assert [(one["value"], one["runs"]) for one in traces["values"]] == [(1, 4), (4, 4)]
    assert traces["values"][0]["mean"] == pytest.approx(sum(last(sweep, 1)) / 4)
    assert traces["balanced"]
    assert rate["field"] == "train.peak_learning_rate"
    assert all(one["interval"] for one in rate["values"])


def test_an_unbalanced_design_is_said_and_every_setting_counts_once(tmp_path):
    points = [make_point(1, 0.001, 0), make_point(4, 0.001, 0), make_point(4, 0.002, 0), make_point(4, 0.002, 1)]
    write_definition(tmp_path, points)
    for place_, point in enumerate(points):
        write_run(tmp_path, point, marks=1, gain=0.1 * place_)
    sweep = read_sweep(tmp_path)
    values = [value_of(row, "overall") for row in sweep.last]
    traces, rate = numbers.effects(sweep, "overall")
    assert not traces["balanced"]
    assert not rate["balanced"]
    assert traces["values"][1]["mean"] == pytest.approx((values[1] + (values[2] + values[3]) / 2) / 2)
    assert traces["values"][0]["interval"] is None


def test_curves_are_means_over_seeds_by_mark(sweep):
    curves = numbers.curves(sweep, "overall")
    assert len(curves) == 4
    assert [(x, n) for x, _, n in curves[0]["points"]] == [(1.0, 2), (2.0, 2)]
    assert curves[0]["points"][1][1] == pytest.approx(sum(last(sweep, 1, 0.001)) / 2)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_marks_hold_all_that_is_between_them(low, width):
    marks = marks_around(low, low + width)
    assert 2 <= len(marks) <= 12
    assert all(one < other for one, other in itertools.pairwise(marks))
    assert -1e-6 <= place(low, marks) <= place(low + width, marks) <= 1 + 1e-6


def test_marks_of_values_that_are_alike_are_short_and_not_below_nothing():
    for value in (0.0, 0.5, 1.0, 12.0):
        marks = marks_around(value, value)
        assert marks[0] >= 0
        assert all(len(f"{100 * mark:g}") <= 6 for mark in marks)
