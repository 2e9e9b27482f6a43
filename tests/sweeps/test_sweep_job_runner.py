"""A sweep whose trainings are jobs: what a job is told of a task, and two processes that train for real."""

import dataclasses
import shutil
import sys
from pathlib import Path

import pytest

from octomed_jax import configuration, manifests
from octomed_jax.cli.main import VERBS
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.table import backend
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.job_runner import JobRunner, check_sweep, trainings_of
from octomed_jax.sweeps.run import How, plans_of, run_sweep
from octomed_jax.sweeps.stages import Given
from octomed_jax.sweeps.train_spec import Place

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
from configs.demo import get_config as demo

def get_config():
    config = demo("tiny")
    with config.unlocked():
        config.stages = ("train",)
    config.student.vocab_size = 300
    config.train.update({"steps": 4, "examples_per_step": 4, "tokens_per_row": 272})
    config.train.mesh.update({"data": 2, "fsdp": 1})
    config.checkpoint.every = 2
    return config

def sweep(add):
    for rate in RATES:
        add(**{"train.peak_learning_rate": rate})
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the configs and a recipe of two points."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "configs/recipes/rates.py").write_text(RECIPE.replace("RATES", "(1e-3, 1e-4)"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def place(name: str, by: str, *overrides: str) -> Place:
    file = Path("configs/launch") / name
    return Place(read_spec(configuration.load(str(file), overrides), VERBS), backend(by), file.absolute(), (Path(),))


def given(shards: Path) -> dict[str, Given]:
    return {"shard": Given(str(shards), manifests.read_manifest(shards, "shard").identity)}


@pytest.mark.usefixtures("project")
def test_names_to_put_in_are_refused_before_a_sweep_starts(made_shards):
    sweep = expand("configs/recipes/rates.py")
    plans = plans_of(sweep, given(made_shards))
    where = place("octomed_7b_v5e_256.py", "slurm", "accelerator=h100", "topology=1x8", "capacity=on_demand")
    where = dataclasses.replace(where, backend=dataclasses.replace(where.backend, tools=()))
    where = dataclasses.replace(where, spec=dataclasses.replace(where.spec, bundle="/YOUR_SHARED_FOLDER"))
    with pytest.raises(UserError, match="still holds YOUR_BUCKET, YOUR_SHARED_FOLDER"):
        check_sweep(where, sweep.points, plans, {str(made_shards)}, Path("sweep"))
    one, other = trainings_of(sweep.points, plans, {str(made_shards)}, Path("sweep"))
    assert one.key != other.key
    assert (one.shards, one.overrides) == (str(made_shards), ("train.peak_learning_rate=0.001",))
    assert [one.number, other.number] == [0, 1]


# Stands for octomed: rank 0 notes its start; a training with a rate that has a file here ends with the code in it.
OCTOMED = """\
#!/bin/sh
folder= rate=
for word in "$@"; do
  case $word in
    --workdir=*) folder=${word#*=} ;;
    --config.train.peak_learning_rate=*) rate=${word#*=} ;;
  esac
done
[ "$JAX_PROCESS_ID" != 0 ] || echo "$rate" >>starts
[ ! -f "fails-$rate" ] || exit "$(cat "fails-$rate")"
[ "$JAX_PROCESS_ID" != 0 ] || echo '{}' >"$folder/manifest.json"
"""


def test_a_failed_job_leaves_the_others_alone_and_is_tried_again(project, made_shards, monkeypatch):
    program = project / "octomed"
    program.write_text(OCTOMED)
    program.chmod(0o755)
    monkeypatch.setenv("OCTOMED", str(program))
    (project / "fails-0.001").write_text("2")
    sweep = expand("configs/recipes/rates.py")
    runner = JobRunner(place("demo_local.py", "local"), project / "sweep", seconds=0.05)
    how = How(at_once=2, given=given(made_shards), runners={"train": runner}, poll_seconds=0.05)
    first, second = run_sweep(sweep, project / "sweep", how).values()
    assert (first["state"], first["stage"], first["exit_code"]) == ("failed", "train", 2)
    assert second["state"] == "done"
    (project / "fails-0.001").unlink()
    first, second = run_sweep(sweep, project / "sweep", how).values()
    assert first["state"] == second["state"] == "done"
    starts = (project / "starts").read_text().split()
    assert sorted(starts) == ["0.0001", "0.001", "0.001"]
    runner.tidy()
    assert not list((project / "sweep/jobs").glob("*/launch.json"))


@pytest.mark.integration
@pytest.mark.timeout(900)  # two processes begin, compile and train, beside whatever else runs
def test_two_processes_train_a_point_for_real(project, made_shards, monkeypatch):
    program = project / "octomed"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m octomed_jax.cli.main "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("OCTOMED", str(program))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (project / "configs/recipes/rates.py").write_text(RECIPE.replace("RATES", "(1e-3,)"))
    where = place("demo_local.py", "local")
    runner = JobRunner(where, project / "sweep")
    how = How(given=given(made_shards), runners={"train": runner})
    [record] = run_sweep(expand("configs/recipes/rates.py"), project / "sweep", how).values()
    assert record["state"] == "done"
    [folder] = (project / "runs/demo_local/stages").iterdir()
    assert manifests.read_manifest(folder, "train").counts["steps"] == 4
    log = (project / "sweep/logs" / f"{folder.name}.log").read_text()
    assert "2 processes are there" in log
    assert not list((project / "sweep/jobs").glob("*/launch.json"))
