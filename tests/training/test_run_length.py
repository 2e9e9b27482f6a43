"""A run of epochs, of parts that are kept, and one that is trained in pieces: each is the run it stands for."""

import json

import pytest

from octomed_jax.cli.train import run
from octomed_jax.configuration import load
from octomed_jax.errors import UserError
from octomed_jax.training.length import check_length, part_steps, with_length
from octomed_jax.training.loop import train
from octomed_jax.training.metrics import read_metrics
from octomed_jax.training.planning.plan import read_job
from octomed_jax.training.preview import preview, told
from octomed_jax.training.request import check_training, make_plan, training_request

TIMES = {"step_seconds", "tokens_per_second", "images_per_second", "input_stall", "mfu"}


def curve(folder):
    lines = read_metrics(folder / "metrics.jsonl")
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def arrays(folder, step):
    """The checksums of everything that is saved after a step, and the plan that it belongs to."""
    [facts] = (folder / "checkpoints" / str(step) / "plan").glob("metadata*")
    return json.loads(facts.read_text())


def saved(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())


FIELDS = {"train.steps": 0, "train.epochs": 1.5, "train.seed": 3, "train.warmup_ratio": 0.125}
FIELDS |= {"train.examples_per_step": 12, "train.tokens_per_row": 272, "student.vocab_size": 300}
FIELDS |= {"checkpoint.every": 4, "checkpoint.keep": 1, "checkpoint.parts": 3}


def command(shards, workdir):
    """The same run as ``whole``, as words."""
    fields = [f"--config.{name}={value}" for name, value in FIELDS.items()]
    return ["--config=configs/demo.py:tiny", *fields, f"--shards={shards}", f"--workdir={workdir}"]


@pytest.fixture
def config():
    """An epoch and a half, with another seed of training than that of all else."""
    return load("configs/demo.py:tiny", [f"{name}={value}" for name, value in FIELDS.items()])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, shards):
    """A run in epochs that nothing interrupted, and its manifest."""
    config = load("configs/demo.py:tiny", [f"{name}={value}" for name, value in FIELDS.items()])
    folder = tmp_path_factory.mktemp("epochs")
    return folder, train(config, shards, folder)


def test_epochs_become_steps_of_the_plan_and_the_manifest_says_so(whole, config, shards):
    folder, manifest = whole
    of_epoch = make_plan(config, shards).steps_per_epoch
    steps = round(1.5 * of_epoch)
    lines = curve(folder)
    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    assert manifest.counts["steps"] == steps
    assert manifest.counts["steps_per_epoch"] == of_epoch
    assert manifest.counts["tokens"] == sum(line["tokens"] for line in lines)
    # The schedule knows the real number of steps: it has come down to what one step before the end has.
    peak = max(line["learning_rate"] for line in lines)
    assert lines[-1]["learning_rate"] < peak / 4


def test_the_ends_of_the_parts_are_saved_and_kept_for_good(whole):
    steps = whole[1].counts["steps"]
    assert set(saved(whole[0])) >= {round(steps / 3), round(2 * steps / 3), steps}


def test_trained_in_pieces_it_is_the_same_run(whole, config, shards, tmp_path, capsys):
    steps, words = whole[1].counts["steps"], command(shards, tmp_path)
    assert run([*words, "--until=3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"reached step 3 of {steps}: {tmp_path}/checkpoints"
    assert len(curve(tmp_path)) == 3
    assert not (tmp_path / "manifest.json").exists()
    written = (tmp_path / "metrics.jsonl").stat().st_mtime_ns
    assert run([*words, "--until=2", "--json"]) == 0  # reached already: nothing to do
    assert json.loads(capsys.readouterr().out) == {"workdir": str(tmp_path), "step": 3, "steps": steps}
    assert (tmp_path / "metrics.jsonl").stat().st_mtime_ns == written
    manifest = train(config, shards, tmp_path, until=steps + 100)  # the whole run
    assert manifest.identity == whole[1].identity
    assert curve(tmp_path) == curve(whole[0])
    assert arrays(tmp_path, steps) == arrays(whole[0], steps)


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--until=0"], "--until=0 is no step"), (["--until=5", "--dry-run"], "--until belongs to a run")],
)
def test_a_step_that_is_none_is_refused(shards, tmp_path, words, says):
    with pytest.raises(UserError, match=says):
        run([*command(shards, tmp_path / "run"), *words])
    assert not (tmp_path / "run").exists()


def test_the_seed_of_training_changes_order_and_weights_alone(config, shards):
    theirs = make_plan(config, shards)
    config.train.seed = None
    ours = make_plan(config, shards)
    assert theirs.step(0).rows != ours.step(0).rows
    assert theirs.hash != ours.hash
    config.train.seed = config.seed
    assert make_plan(config, shards).hash == ours.hash


def test_fields_that_say_nothing_are_not_in_the_request(config):
    asked = training_request(config)
    assert (asked["train"]["epochs"], asked["train"]["seed"], asked["checkpoint"]["parts"]) == (1.5, 3, 3)
    config.train.update({"steps": 6, "epochs": 0.0, "seed": None})
    config.checkpoint.parts = 0
    asked = training_request(config)
    assert not {"epochs", "seed"} & asked["train"].keys()
    assert asked["checkpoint"].keys() == {"every", "keep", "keep_every"}


def test_the_preview_and_the_plan_have_the_same_steps(whole, config, shards, tmp_path):
    steps = whole[1].counts["steps"]
    found = preview(config, shards)
    assert (found["steps"]["steps"], found["data"]["epochs"]) == (steps, steps / found["data"]["steps_per_epoch"])
    assert f"steps   {steps:,} of 12 examples" in "\n".join(told(found))
    assert read_job(config, shards).config.train.steps == steps
    # Without shards there is nothing to count an epoch by: it is said, and a plan says by what it counts.
    found = preview(config, tmp_path / "none")
    assert found["steps"]["steps"] is None
    assert "steps   1.5 epochs of steps of 12 examples" in "\n".join(told(found))
    assert "epochs of 20,000 examples" in read_job(config, tmp_path / "none").missing["train.epochs"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"steps": 8}, "train.steps=8 and train.epochs=1.5 both say"),
        ({"epochs": 0.0}, "train.steps=0 with train.epochs=0 is no run"),
        ({"epochs": -1.0}, "train.epochs=-1.0 is no length"),
        ({"epochs": float("nan")}, "train.epochs=nan is no length"),
        ({"seed": -1}, "train.seed=-1 is no seed"),
        ({"seed": "two"}, "train.seed='two' is no seed"),
    ],
)
def test_what_is_no_length_or_seed_is_refused(config, fields, says):
    with config.unlocked(), config.ignore_type():
        config.train.update(fields)
    with pytest.raises(UserError, match=says):
        check_training(config)


def test_parts_and_epochs_that_do_not_fit_are_refused(config):
    assert part_steps(with_length(config, 7)) == (3, 7, 10)
    assert with_length(with_length(config, 7), 7) == with_length(config, 7)
    config.checkpoint.parts = 11
    with pytest.raises(UserError, match=r"parts=11 is more than the run's 10 steps"):
        with_length(config, 7)
    config.checkpoint.parts, config.train.epochs = 0, 0.01
    with pytest.raises(UserError, match=r"epochs=0\.01 is less than one of the 7 steps"):
        with_length(config, 7)
    config.checkpoint.parts = -1
    with pytest.raises(UserError, match="parts=-1 is negative"):
        check_length(config)


def test_the_paper_s_student_keeps_its_steps():
    from configs.octomed_7b import get_config

    config = get_config()
    assert (config.train.steps, config.train.epochs, config.checkpoint.parts) == (47435, 0.0, 0)
    assert with_length(config, 15812) is config
