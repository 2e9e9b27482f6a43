"""The best of a sweep as a Hugging Face folder, whose card says how it was chosen."""

import json
import shutil

import jax
import pytest
from results_folder import BENCHMARKS, make_point, write_definition, write_eval

from octomed_jax import manifests, storage
from octomed_jax.cli.main import main
from octomed_jax.hf.export import export
from octomed_jax.hf.settings import Settings
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from tests.hf.folders import make_student, save_run

STEP = 3


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A sweep of two runs whose exports were measured in bfloat16; the second is better."""
    place = tmp_path_factory.mktemp("sweep")
    config = make_student(place / "student")
    points = [make_point(4, 0.001, seed) for seed in range(2)]
    write_definition(place, points)
    for seed, point in enumerate(points):
        train, out = place / f"stages/train-{seed}", place / f"stages/export-{seed}"
        save_run(train, place / "student", jax.jit(lambda: initial_parameters(config, seed))(), step=STEP)  # noqa: B023
        losses = [json.dumps({"step": step, "loss": 1.0 - seed / 2, "held_out_loss": 2.0 + seed / 2, "tokens": 9,
                              "step_seconds": 0.5}) for step in range(1, STEP + 1)]  # fmt: skip
        (train / "metrics.jsonl").write_text("\n".join(losses) + "\n")
        export(train, out, Settings(dtype="bfloat16", verify=()))
        model = manifests.read_manifest(out, "export").identity
        write_eval(place / f"stages/eval-{seed}", dict.fromkeys(BENCHMARKS, 0.4 + 0.3 * seed), seed, 50, model=model)
        mark = {"x": 1.0, "step": STEP, "eval": f"stages/eval-{seed}"}
        told = {"id": point["id"], "state": "done", "stages": {"train": f"stages/train-{seed}"}, "marks": [mark],
                "exit_code": 0, "stage": "", "rung": None}  # fmt: skip
        storage.write_json(place / "runs" / point["id"] / "run.json", told)
    return place


def test_the_best_is_exported_as_it_was_measured(root, tmp_path, capsys):
    output = tmp_path / "best"
    assert main(["sweep", "export-best", str(root), f"--output={output}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"exported: {output}"
    exported, measured = (manifests.read_manifest(one, "export") for one in (output, root / "stages/export-1"))
    assert exported.identity == measured.identity
    assert exported.config["dtype"] == "bfloat16"
    told = storage.read_json(output / "best.json")
    assert (told["eval"], told["step"], told["tries"]) == ("stages/eval-1", STEP, 2)
    assert (told["metric"], told["split"]) == ("overall", "test split")
    card = (output / "README.md").read_text()
    chosen = card[card.index("## How it was chosen") : card.index("## Checked")]
    assert "Best by overall accuracy (test split)" in chosen
    assert "the best of 2 tries" in chosen
    assert "Warning: the test questions chose it" in chosen
    assert "| plane | 80 |" in card
    assert storage.read_json(output / "provenance.json")["chosen"] == told["says"]
    # Again, it says the same and changes nothing; by another metric the folder is another model's.
    before = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
    assert main(["sweep", "export-best", str(root), f"--output={output}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] == told["value"]
    assert {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()} == before
    assert main(["sweep", "export-best", str(root), f"--output={output}", "--metric=held_out_loss"]) == 2


def test_a_loss_on_held_out_records_chooses_another_and_is_not_warned_of(root, tmp_path, capsys):
    output = tmp_path / "best"
    assert main(["sweep", "export-best", str(root), f"--output={output}", "--metric=held_out_loss"]) == 0
    assert "Warning" not in capsys.readouterr().out
    assert storage.read_json(output / "best.json")["eval"] == "stages/eval-0"
    assert "Best by held-out loss (records held out of training)" in (output / "README.md").read_text()


def test_a_checkpoint_that_is_gone_is_named(root, tmp_path, capsys):
    copy = tmp_path / "sweep"
    shutil.copytree(root, copy)
    shutil.rmtree(copy / "stages/train-1/checkpoints")
    assert main(["sweep", "export-best", str(copy), f"--output={tmp_path / 'best'}"]) == 2
    err = capsys.readouterr().err
    assert f"at step {STEP} is gone" in err
    assert "checkpoint.parts" in err
    assert not (tmp_path / "best").exists()


def test_with_nothing_done_there_is_no_best(tmp_path, capsys):
    write_definition(tmp_path, [make_point(4, 0.001, 0)])
    assert main(["sweep", "export-best", str(tmp_path), f"--output={tmp_path / 'best'}"]) == 2
    err = capsys.readouterr().err.strip()
    assert "nothing of" in err
    assert "\n" not in err
    assert main(["sweep", "export-best", str(tmp_path)]) == 2
    assert "--output" in capsys.readouterr().err
