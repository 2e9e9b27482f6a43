"""The best of a sweep: what chose it, out of how many, and how much of it is luck."""

import numpy as np
import pytest
from results_folder import make_point, make_sweep, write_definition, write_run

from octomed_jax.errors import UserError
from octomed_jax.sweeps.best import HELD_OUT, expected_bias, find_best, need_best
from octomed_jax.sweeps.results_samples import Table
from octomed_jax.sweeps.results_words import best_lines
from octomed_jax.sweeps.rows import read_sweep, value_of


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    make_sweep(root)
    return read_sweep(root)


def two(root, gains, **more):
    """Write a sweep of points that differ in their seeds, with those gains; return it."""
    points = [make_point(4, 0.001, seed) for seed in range(len(gains))]
    write_definition(root, points)
    for point, gain in zip(points, gains, strict=True):
        write_run(root, point, gain=gain, marks=1, **more)
    return read_sweep(root)


def test_it_names_metric_split_and_tries(sweep):
    best = find_best(sweep, "overall")
    done = [row for row in sweep.rows if row.state == "done"]
    assert best.value == max(value_of(row, "overall") for row in done)
    assert (best.metric, best.split, best.tries, best.points) == ("overall", "test split", 16, 8)
    first, curse, warning = best_lines(best, sweep.labels)
    assert first.startswith(f"Best by overall accuracy (test split): {best.row.id} at step 80")
    assert "the best of 16 tries (8 runs at their marks)" in first
    assert f"{100 * best.low:.1f} to {100 * best.high:.1f}" in first
    assert curse.startswith("The best of 16 is biased upward")
    assert warning.startswith("Warning: the test questions chose it")


def test_it_is_silent_where_a_loss_on_held_out_records_chose(sweep):
    best = find_best(sweep, "held_out_loss")
    assert best.value == min(row.held_out_loss for row in sweep.rows if row.state == "done")
    assert (best.split, best.warning, best.low, best.bias) == (HELD_OUT, "", None, None)
    assert "Warning" not in " ".join(best_lines(best, sweep.labels))


def test_the_loss_on_what_it_was_trained_on_is_warned_of(sweep):
    assert "trained on chose it" in find_best(sweep, "loss").warning


def test_a_validation_split_may_choose(tmp_path):
    best = find_best(two(tmp_path, [0.1, 0.2], split="validation"), "overall")
    assert (best.split, best.warning) == ("validation split", "")
    assert best.bias > 0


def test_one_try_is_no_choice(tmp_path):
    best = find_best(two(tmp_path, [0.1]), "overall")
    assert (best.tries, best.bias, best.warning) == (1, 0.0, "")


def test_a_failed_or_stopped_point_is_never_the_best(tmp_path):
    points = [make_point(4, 0.001, seed) for seed in range(3)]
    write_definition(tmp_path, points)
    write_run(tmp_path, points[0], "failed", gain=0.5, stage="eval", exit_code=1)
    write_run(tmp_path, points[1], "stopped", gain=0.4, rung=40)
    assert find_best(read_sweep(tmp_path), "overall") is None
    with pytest.raises(UserError, match=r"nothing of .* is done .*1 failed, 1 stopped, 1 missing"):
        need_best(read_sweep(tmp_path), "overall")
    write_run(tmp_path, points[2], gain=0.0)
    best = need_best(read_sweep(tmp_path), "overall")
    assert best.row.id == points[2]["id"]
    assert best.tries == 2


def test_ties_are_named_and_the_first_is_taken(tmp_path):
    points = [make_point(4, 0.001, seed) for seed in range(3)]
    write_definition(tmp_path, points)
    for point in points:
        write_run(tmp_path, point, marks=1, gain=1.0)  # all of it right
    sweep = read_sweep(tmp_path)
    best = find_best(sweep, "plane")
    assert best.row.id == points[0]["id"]
    assert best.ties == tuple(f"{point['id']} at step 40" for point in points)
    assert f"Tied, and the first of the sweep taken: {points[0]['id']} at step 40" in " ".join(
        best_lines(best, sweep.labels)
    )


def coins(runs, questions, seed):
    scores = np.random.default_rng(seed).integers(0, 2, (runs, questions)).astype(float)
    return {"coin": Table(scores, np.arange(questions))}


def test_the_best_of_equals_is_all_luck():
    """Of runs that are all as good, the best of K looks better by about the expected maximum of K normal draws."""
    found = np.mean([expected_bias(coins(16, 400, seed)) for seed in range(20)])
    one = 0.5 / np.sqrt(400)  # the standard error of a run
    # 1.77: the expected maximum of 16 standard normals; a resample spreads sqrt(2) as much as its truth
    assert 0.5 * one < found < 1.77 * one


def test_the_bias_grows_with_the_tries_and_shrinks_with_the_questions():
    few, many = (np.mean([expected_bias(coins(runs, 200, seed)) for seed in range(5)]) for runs in (2, 40))
    assert 0 < few < many
    assert np.mean([expected_bias(coins(40, 5000, seed)) for seed in range(3)]) < many / 3


def test_a_clear_winner_has_no_bias():
    scores = np.zeros((2, 300))
    scores[0, :290] = scores[1, :30] = 1
    assert abs(expected_bias({"plane": Table(scores, np.arange(300))})) < 0.002
