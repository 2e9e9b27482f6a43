"""What one sees of a run: its line, looks at held-out records, a trace, Weights & Biases, goodput, a preview."""

import json
import re

import jax
import numpy as np
import pytest

from octomed_jax.cli.main import main
from octomed_jax.cli.train import run as run_train
from octomed_jax.errors import UserError
from octomed_jax.evaluation.held_out import HeldOut
from octomed_jax.hf.rendering import rendering, student_folder
from octomed_jax.inputs.render import read_index
from octomed_jax.training.loop import train
from octomed_jax.training.metrics import MetricsLog, read_lines, read_metrics
from octomed_jax.training.record import Record
from octomed_jax.training.request import make_plan
from tests.inputs.holding import hold_out
from tests.tiny import tiny_config

ORDER: list[tuple[str, int]] = []  # in which steps were sent to the devices and their metrics read


@pytest.fixture(scope="module")
def looked(tmp_path_factory, shards):
    """A run with everything turned on, Weights & Biases really, in its offline mode."""
    config = tiny_config()
    config.train.update({"steps": 6, "examples_per_step": 12, "tokens_per_row": 272, "warmup_ratio": 0.125})
    config.train.wandb = "octomed-tests"
    config.checkpoint.every = 4
    config.held_out.update({"records": 4, "every": 3, "samples": 2, "max_new_tokens": 8})
    workdir = tmp_path_factory.mktemp("looked")
    with pytest.MonkeyPatch.context() as patch:
        sent, ended = Record.sent, Record.ended

        def noted_sent(record, step, *more):
            ORDER.append(("sent", step))
            return sent(record, step, *more)

        def noted_ended(record, one):
            ORDER.append(("read", one.step))
            return ended(record, one)

        patch.setattr(Record, "sent", noted_sent)
        patch.setattr(Record, "ended", noted_ended)
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        train(config, shards, workdir, HeldOut(config, shards, workdir), (2, 2))
    return config, workdir


@pytest.mark.integration
@pytest.mark.usefixtures("looked")
def test_metrics_are_read_a_step_late_but_for_looks_and_checkpoints():
    late = [("sent", 1), ("sent", 2), ("read", 1), ("sent", 3), ("read", 2)]
    assert ORDER[:5] == late
    assert ORDER[5:] == [
        ("read", 3),  # a look
        ("sent", 4),
        ("read", 4),  # a checkpoint
        ("sent", 5),
        ("sent", 6),
        ("read", 5),
        ("read", 6),
    ]


@pytest.mark.integration
def test_the_held_out_loss_stands_in_its_steps_line(looked):
    entries = read_metrics(looked[1] / "metrics.jsonl")
    assert [entry["step"] for entry in entries if "held_out_loss" in entry] == [3, 6]
    losses = [entry["held_out_loss"] for entry in entries if "held_out_loss" in entry]
    assert losses[1] < losses[0]
    assert abs(losses[1] - entries[-1]["loss"]) < 0.5


@pytest.mark.integration
def test_held_out_records_are_not_trained_on(looked, shards):
    config, _ = looked
    index = read_index(rendering(config, shards), student_folder(config, shards), "boxed")
    held = set(hold_out(index, 4, config.seed)[1].record.tolist())
    plan = make_plan(config, shards)
    assert len(held) == 4
    assert not held & set(plan.index.record.tolist())
    assert plan.examples == len(index) - 8  # two responses each


@pytest.mark.integration
def test_answers_to_held_out_questions_are_written_down(looked):
    lines = [json.loads(line) for line in read_lines(looked[1] / "samples.jsonl")]
    assert [line["step"] for line in lines] == [3, 3, 6, 6]
    assert len({line["question_id"] for line in lines}) == 2
    assert all(line["question"] and line["answer"] and isinstance(line["response"], str) for line in lines)


@pytest.mark.integration
def test_the_held_out_loss_is_that_of_the_saved_student(looked, shards):
    """By another way: the examples one by one, with the weights of the last checkpoint."""
    from octomed_jax.hf.checkpoint import open_checkpoint
    from octomed_jax.inputs.buckets import prompt_bucket
    from octomed_jax.inputs.render import example_builder
    from octomed_jax.inputs.rows import assemble
    from octomed_jax.models.mesh import one_device, parameter_shardings
    from octomed_jax.models.place import place_parameters
    from octomed_jax.models.qwen2_5_vl.model import split_model
    from octomed_jax.models.trees import flatten_names, unflatten_names
    from octomed_jax.traces.shards import ShardReader

    config, workdir = looked
    saved = open_checkpoint(workdir)
    graph, abstract = split_model(saved.config)
    at = flatten_names(parameter_shardings(one_device(), abstract))
    wanted = {
        name: jax.ShapeDtypeStruct(leaf.shape, np.float32, sharding=at[name])
        for name, leaf in flatten_names(abstract).items()
    }
    parameters = unflatten_names(place_parameters(saved.saved, wanted))
    builder, reader = example_builder(student_folder(config, shards), "boxed"), ShardReader(shards)
    index = hold_out(read_index(rendering(config, shards), student_folder(config, shards), "boxed"), 4, config.seed)[1]
    from flax import nnx

    from octomed_jax.models.qwen2_5_vl.model import DEFAULT

    total = targets = 0.0
    token_losses = jax.jit(lambda tree, rows: nnx.merge(graph, tree).token_losses(rows, DEFAULT))
    for record, response in zip(index.record.tolist(), index.response.tolist(), strict=True):
        item = reader[record]
        example = builder.build(item.question, item.responses[response])
        rows = assemble([[example]], 1, prompt_bucket(272, max(example.cells, 0), builder.spec, 1), builder.spec)
        total += float((token_losses(parameters, rows) * rows["loss_weights"]).sum())
        targets += float(rows["loss_weights"].sum())
    measured = read_metrics(workdir / "metrics.jsonl")[-1]["held_out_loss"]
    assert measured == pytest.approx(total / targets, rel=1e-5)


@pytest.mark.integration
def test_the_last_good_checkpoint_is_known(looked):
    assert json.loads((looked[1] / "last_good.json").read_text()) == {"step": 4}


@pytest.mark.integration
def test_a_trace_is_written(looked):
    traces = list((looked[1] / "profile").rglob("*.xplane.pb"))
    assert len(traces) == 1
    assert traces[0].stat().st_size > 1000


@pytest.mark.integration
def test_weights_and_biases_has_the_run(looked):
    [files] = [list((looked[1] / "wandb").glob("offline-run-*/*.wandb"))]
    assert len(files) == 1
    assert b"held_out_loss" in files[0].read_bytes()
    assert (looked[1] / "wandb.id").read_text() in files[0].name


def test_a_project_without_wandb_is_refused_before_anything_is_done(config, shards, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    config.train.wandb = "mine"
    with pytest.raises(UserError, match=re.escape("pip install octomed-jax[wandb]")):
        train(config, shards, tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.integration
def test_every_step_says_how_fast_it_was(looked):
    for entry in read_metrics(looked[1] / "metrics.jsonl"):
        assert entry["tokens_per_second"] == pytest.approx(entry["tokens"] / entry["step_seconds"])
        assert entry["images_per_second"] == pytest.approx(entry["images"] / entry["step_seconds"])
        assert 0 <= entry["input_stall"] <= 1
        assert entry["mfu"] is None  # nobody says what a simulated device can do
        assert (entry["bad_records"], entry["skipped"], entry["spike"]) == (0, 0, False)


def test_a_started_run_drops_lines_that_come_again(tmp_path):
    log = MetricsLog(tmp_path, 0)
    for step in (1, 2, 3):
        log.write({"step": step, "loss": step / 3})
    log.close()
    log = MetricsLog(tmp_path, 2)
    log.write({"step": 3, "loss": 0.5})
    log.close()
    assert [entry["loss"] for entry in read_metrics(tmp_path / "metrics.jsonl")] == [1 / 3, 2 / 3, 0.5]


@pytest.mark.parametrize("span", ["3", "0:2", "a:b", "3:0", "3:-1"])
def test_a_span_that_is_none_is_refused(span):
    with pytest.raises(UserError, match="must be STEP:N, such as 10:3"):
        run_train(["--config=configs/demo.py:tiny", f"--profile={span}"])


def test_steps_that_are_not_computed_cannot_be_traced(config, shards, tmp_path):
    with pytest.raises(UserError, match=re.escape("--profile=5:3 asks for steps that this run does not compute")):
        train(config, shards, tmp_path / "run", span=(5, 3))


def test_looks_without_held_out_records_are_refused(config, shards, tmp_path):
    config.held_out.every = 2
    with pytest.raises(UserError, match=r"set held_out\.records too"):
        HeldOut(config, shards, tmp_path)


def preview(capsys, *words: str) -> tuple[dict, str]:
    assert main(["train", *words, "--dry-run", "--json"]) == 0
    out = capsys.readouterr()
    return json.loads(out.out), " ".join(out.err.split())


def test_a_preview_of_the_papers_run_needs_no_files(capsys, root, monkeypatch):
    monkeypatch.chdir(root)
    found, said = preview(capsys, "--config=configs/octomed_7b.py")
    assert found["model"]["parameters_trained"] == 8_292_166_656
    assert found["steps"]["steps"] == 47_435
    assert found["steps"]["warmup"] == 4_744
    # float32 masters and two moments over eight devices; norms and biases lie on each.
    memory = found["memory_bytes_of_a_device"]
    assert memory["parameters"] == pytest.approx(8_292_166_656 * 4 / 8, rel=1e-3)
    assert memory["moments"] == pytest.approx(2 * memory["parameters"], rel=1e-3)
    assert found["data"] is None
    assert "missing models/qwen2_5_vl_7b: sizes are those of the config; get it with `octomed import`" in said
    assert "missing runs/octomed_7b/shards" in said
    assert preview(capsys, "--config=configs/octomed_3b.py")[0]["model"]["parameters_trained"] == 3_754_622_976


def test_a_preview_plans_the_rows_that_there_are(capsys, root, monkeypatch, shards, tmp_path):
    monkeypatch.chdir(root)
    words = ["--config=configs/demo.py:tiny", f"--shards={shards}", f"--workdir={tmp_path / 'run'}"]
    words += [
        "--config.train.examples_per_step=12",
        "--config.train.tokens_per_row=272",
        "--config.student.vocab_size=300",
    ]
    found, said = preview(capsys, *words)
    assert found["missing"] == {}
    assert found["data"]["examples"] == 48
    assert found["data"]["epochs"] == 8 / found["data"]["steps_per_epoch"]
    assert found["memory_bytes_of_a_device"]["kept_activations"] == 3 * 1 * 272 * 96 * 4
    assert "48 examples an epoch (0 too long" in said
    [row] = found["data"]["sources"]
    assert (row["source"], row["questions"], row["examples_an_epoch"], row["share_of_tokens"]) == ("made", 24, 48, 1)
    found, said = preview(capsys, *words, "--config.mixture.weights=made=3", "--config.mixture.examples=100")
    [row] = found["data"]["sources"]
    assert (found["data"]["examples"], row["examples"], row["examples_an_epoch"]) == (100, 48, 100)
    assert f"{row['tokens']:,}" in said
    assert not (tmp_path / "run").exists()


def test_the_recipes_say_the_papers_numbers():
    from octomed_jax.configuration import load

    for name in ("octomed_7b", "octomed_3b"):
        config = load(f"configs/{name}.py")
        assert (config.train.peak_learning_rate, config.train.warmup_ratio, config.train.schedule) == (
            5e-5,
            0.1,
            "cosine",
        )
        assert (config.train.examples_per_step, config.train.tokens_per_row, config.train.steps) == (512, 8192, 47435)
        assert config.shard.max_pixels == 262144
