"""The rows of a sweep: what is read of done, failed, stopped and missing points, and the three files."""

import csv
import json
import math
import re

import pytest
from results_folder import BENCHMARKS, STEPS, make_point, make_sweep, write_definition, write_run

from octomed_jax import storage
from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.sweeps.results import write_results
from octomed_jax.sweeps.rows import interval_of, read_sweep


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    make_sweep(root)
    write_results(root)
    return root


def one(root, **more):
    """Write a sweep of one point; return the point."""
    point = make_point(4, 0.001, 0)
    write_definition(root, [point])
    write_run(root, point, **more)
    return point


def test_every_point_has_its_rows_whatever_became_of_it(place):
    sweep = read_sweep(place)
    assert sweep.counts == {"done": 8, "failed": 1, "stopped": 1, "missing": 1}
    assert [row.x for row in sweep.rows[:4]] == [1.0, 2.0, 1.0, 2.0]
    failed, stopped, missing = sweep.rows[-3:]
    assert (failed.state, failed.reason) == ("failed", "train ended with exit code 43 (stop and look)")
    assert (stopped.state, stopped.reason) == ("stopped", "at rung 40")
    assert (missing.state, missing.reason) == ("missing", "not begun, or not at its end")
    assert stopped.step == STEPS
    assert stopped.held_out_loss is not None
    assert missing.step is None


def test_losses_and_cost_are_those_up_to_the_mark(place):
    row = read_sweep(place).rows[1]
    entries = [json.loads(line) for line in (place / row.train / "metrics.jsonl").read_text().splitlines()]
    assert row.step == 2 * STEPS == len(entries)
    assert row.tokens_trained == sum(entry["tokens"] for entry in entries)
    assert row.train_seconds == pytest.approx(0.1 * len(entries))
    assert row.loss == pytest.approx(sum(entry["loss"] for entry in entries[-20:]) / 20)
    assert row.held_out_loss == entries[-1]["held_out_loss"]
    earlier = read_sweep(place).rows[0]
    assert earlier.tokens_trained == sum(entry["tokens"] for entry in entries[:STEPS])
    assert earlier.held_out_loss == entries[STEPS - 1]["held_out_loss"] != row.held_out_loss


def test_accuracies_are_those_of_the_evaluation(place):
    row = read_sweep(place).rows[0]
    results = storage.read_json(place / row.eval / "results.json")["benchmarks"]
    for name, count in BENCHMARKS.items():
        assert row.benchmarks[name]["n"] == count
        assert row.benchmarks[name]["accuracy"] == results[name]["accuracy"]
        assert [row.benchmarks[name][end] for end in ("low", "high")] == results[name]["bootstrap"]
        assert row.benchmarks[name]["correct"] == pytest.approx(results[name]["accuracy"] * count)
    value, low, high = interval_of(row, "overall")
    assert value == pytest.approx(sum(one["accuracy"] for one in results.values()) / 2)
    assert low < value < high


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    point = one(tmp_path, state="stopped", marks=0, rung=40)
    path = next(tmp_path.glob("stages/train-*/metrics.jsonl"))
    path.write_text(path.read_text() + '{"step": 41, "lo')
    row = read_sweep(tmp_path).rows[0]
    assert (row.id, row.step) == (point["id"], STEPS)


def test_csv_has_one_number_a_cell_and_nothing_where_there_is_none(place):
    header, *lines = list(csv.reader((place / "results.csv").open()))
    assert len(lines) == 19
    figures = header[header.index("has_bled_n") :]
    for line in lines:
        assert len(line) == len(header)
        cells = line[-len(figures) :]
        assert all(cell == "" or math.isfinite(float(cell)) for cell in cells)
    assert lines[-1][-len(figures) :] == [""] * len(figures)
    assert lines[0][header.index("traces.per_question")] == "1"
    assert header[-1] == "train_seconds"


def test_markdown_shows_all_points_and_the_claims(place):
    text = (place / "results.md").read_text()
    assert "11 points: 8 done, 1 failed, 1 stopped, 1 missing." in text
    assert "| more accepted traces help " in text
    for row in read_sweep(place).rows:
        assert row.id in text
    assert "failed: train ended with exit code 43 (stop and look)" in text


def test_equal_folders_give_equal_bytes(place, tmp_path):
    make_sweep(tmp_path)
    write_results(tmp_path)
    for name in ("results.csv", "results.md", "results.html"):
        assert (tmp_path / name).read_bytes() == (place / name).read_bytes()


def test_names_tell_groups_apart_by_what_differs(place):
    labels = read_sweep(place).labels.values()
    assert list(labels) == [
        "1: peak_learning_rate=0.001",
        "1: peak_learning_rate=0.002",
        "4: peak_learning_rate=0.001",
        "4: peak_learning_rate=0.002",
        "16",
    ]


def test_a_long_value_is_called_by_the_name_of_its_points(tmp_path):
    mixtures = {"text": "brain=0,brain_regions=0", "all": None}
    points = [
        make_point(4, 0.001, 0) | {"id": f"r0-{name}", "group": f"g0-{name}", "name": name,
                                   "changes": {"name": name, "mixture.epochs": mixture}}
        for name, mixture in mixtures.items()
    ]  # fmt: skip
    write_definition(tmp_path, points)
    for point in points:
        write_run(tmp_path, point, marks=1)
    sweep = read_sweep(tmp_path)
    assert sweep.fields == ["mixture.epochs"]
    assert sweep.named_values("mixture.epochs") == {"brain=0,brain_regions=0": "text", "None": "all"}
    assert list(sweep.labels.values()) == ["text", "all"]
    write_results(tmp_path)
    header, first, second = list(csv.reader((tmp_path / "results.csv").open()))
    assert header.count("name") == 1
    column = header.index("mixture.epochs")
    assert (first[column], second[column]) == ("brain=0,brain_regions=0", "None")


def test_a_training_that_lies_elsewhere_is_read_there(tmp_path):
    root, home = tmp_path / "sweep", tmp_path / "home"
    point = one(root, marks=1)
    path = root / "runs" / point["id"] / "run.json"
    run = storage.read_json(path)
    before = read_sweep(root).rows[0]
    (root / run["stages"]["train"]).rename(home)
    run["stages"]["train"] = str(home)
    storage.write_json(path, run)
    assert read_sweep(root).rows[0].tokens_trained == before.tokens_trained > 0


@pytest.mark.parametrize("way", ["../out", "{home}", "stages/linked"])
def test_an_evaluation_that_lies_elsewhere_is_refused(tmp_path, way):
    root, home = tmp_path / "sweep", tmp_path / "out"
    point = one(root, marks=1)
    path = root / "runs" / point["id"] / "run.json"
    run = storage.read_json(path)
    (root / run["marks"][0]["eval"]).rename(home)
    (root / "stages/linked").symlink_to(home)
    run["marks"][0]["eval"] = way.format(home=home)
    storage.write_json(path, run)
    with pytest.raises(UserError, match="leads out of"):
        read_sweep(root)


def test_samples_that_do_not_bear_out_the_results_are_refused(tmp_path):
    one(tmp_path, marks=1)
    path = next(tmp_path.glob("stages/eval-*/samples/plane.jsonl"))
    path.write_text(path.read_text().replace('"verdict": "wrong"', '"verdict": "correct"', 1))
    with pytest.raises(StopAndLook, match=r"samples of plane .* are not those of its results.json"):
        write_results(tmp_path)


def test_a_damaged_run_or_result_is_named(tmp_path):
    point = one(tmp_path, marks=1)
    next(tmp_path.glob("stages/eval-*/results.json")).unlink()
    with pytest.raises(StopAndLook, match=r"holds no results\.json"):
        read_sweep(tmp_path)
    path = tmp_path / "runs" / point["id"] / "run.json"
    path.write_text("{}")
    with pytest.raises(StopAndLook, match="does not say how the run ended"):
        read_sweep(tmp_path)


def test_a_point_that_leads_out_of_the_folder_is_refused(tmp_path):
    write_definition(tmp_path, [make_point(4, 0.001, 0) | {"id": "../../out"}])
    with pytest.raises(UserError, match="leads out of"):
        read_sweep(tmp_path)


def test_the_command_prints_the_table_and_where_the_page_is(place, capsys):
    assert main(["sweep", "results", str(place)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"8 of 11 points done; page in {place / 'results.html'}"
    assert main(["sweep", "results", str(place), "--metric=held_out_loss", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["best"]["metric"] == "held_out_loss"
    assert told["counts"]["stopped"] == 1
    assert len(told["rows"]) == 19
    main(["sweep", "results", str(place)])  # as it was


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "holds no sweep"),
        (["{place}", "--metric=plan"], "did you mean 'plane'"),
        (["{place}", "--metrik=plane"], "did you mean '--metric'"),
        (["{place}", "--config.seed=1"], "unknown option"),
        (["{empty}"], "nothing of .* is done yet"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(words, message, place, tmp_path, capsys):
    write_definition(tmp_path, [make_point(4, 0.001, 0)])
    given = [word.format(place=place, empty=tmp_path) for word in words]
    assert main(["sweep", "results", *given]) == 2
    err = capsys.readouterr().err.strip()
    assert "\n" not in err
    assert re.search(message, err)
