"""`octomed sweep plan` as a person types it."""

import json
import shutil
from pathlib import Path

import pytest

from octomed_jax.cli.main import main
from octomed_jax.manifests import Manifest, write_manifest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "--config=configs/recipes/small.py"
TEXT = """
from configs.demo import get_config as demo

def get_config():
    config = demo("tiny")
    with config.unlocked():
        config.stages = ("questions", "distill", "verify", "shard", "train", "export", "eval")
    return config

def sweep(add):
    for kept in (1, 2):
        for top_p in (0.9, 1.0):
            add(**{"traces.per_question": kept, "eval.top_p": top_p})
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "configs/recipes/small.py").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything_under(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def planned(capsys, *words: str) -> dict:
    assert main(["sweep", "plan", RECIPE, "--output=sweep", "--json", *words]) == 0  # a later --output counts
    return json.loads(capsys.readouterr().out)


def test_on_this_machine(project, capsys):
    before = everything_under(project)
    plan = planned(capsys)
    assert {name: count["left"] for name, count in plan["stages"].items()} == {
        "questions": 1,
        "distill": 1,
        "verify": 1,
        "shard": 2,
        "train": 2,
        "export": 2,
        "eval": 4,
    }
    assert [row["steps"] for row in plan["points"]] == [8] * 4
    assert [row["pays"] for row in plan["points"]] == [True, False, True, False]
    assert plan["points"][1]["stages"][4]["first"] == plan["points"][0]["id"]
    assert plan["machines"] is None
    assert plan["points"][0]["folder"] == f"sweep/runs/{plan['points'][0]['id']}"
    assert main(["sweep", "plan", RECIPE, "--output=sweep"]) == 0
    out = capsys.readouterr().out
    assert "chip" not in out
    assert out.splitlines()[-1] == (
        "4 points, 13 stages to run, 2 of them trainings; nothing was started or written; it would go to sweep"
    )
    assert everything_under(project) == before


def test_what_is_there_or_given_is_not_run_again(project, capsys):
    questions = next(one for one in planned(capsys)["points"][0]["stages"] if one["stage"] == "questions")
    write_manifest(project / questions["folder"], Manifest("questions", {}))
    assert planned(capsys)["stages"]["questions"] == {"asked": 4, "different": 1, "there": 1, "left": 0}
    write_manifest(project / "traces", Manifest("verify", {}))
    given = planned(capsys, "--traces=traces")
    assert given["stages"]["verify"]["left"] == 0
    assert "distill" not in given["stages"]
    assert given["stages"]["shard"]["left"] == 2


def test_chips_at_once_and_one_plan_for_all_of_a_shape(project, capsys):
    plan = planned(capsys, "--topology=h100:8", "--at-once=4")
    assert plan["plans"] == 1
    assert plan["machines"]["chips"] == 8
    totals = plan["totals"]
    assert (totals["jobs_at_once"], totals["chips_at_once"]) == (2, 16)
    low, high = plan["points"][0]["chip_hours"]
    assert totals["chip_hours"] == pytest.approx([2 * low, 2 * high])
    assert 0 < totals["cost"][0] <= totals["cost"][1]
    assert plan["points"][0]["memory"]["fits"] is True
    assert not (project / "sweep").exists()


def test_the_machines_of_a_launch_config_and_what_is_wrong_with_it(project, capsys):
    config = project / "configs/launch/pod.py"
    text = (project / "configs/launch/octomed_7b_v5e_256.py").read_text()
    config.write_text(
        text.replace('"v5e"', '"h100"', 1).replace("16x16", "2x8", 1).replace("fsdp=64,sequence=4", "fsdp=16")
    )
    words = ("--launch=configs/launch/pod.py", "--backend=jobset", "--at-once=2")
    plan = planned(capsys, *words)
    assert plan["machines"] == {"what": "1 x h100:2x8, spot", "chips": 16}
    assert plan["plans"] == 1
    assert plan["points"][0]["memory"]["mesh"]["fsdp"] == 16
    assert len(plan["problems"]) == 2
    assert "does not see" in plan["problems"][0]
    train = next(one for one in plan["points"][0]["stages"] if one["stage"] == "train")
    assert train["folder"].startswith("gs://YOUR_BUCKET/octomed-7b/stages/train-")
    whole = planned(capsys, *words, "--output=/mnt/shards/sweep")  # where the job sees what is made here
    assert whole["problems"] == []
    assert whole["to_replace"] == ["YOUR_BUCKET", "your-project"]


@pytest.mark.usefixtures("project")
def test_a_launch_config_of_this_machine_has_no_chips(capsys):
    plan = planned(capsys, "--launch=configs/launch/demo_local.py", "--backend=local")
    assert plan["machines"] is None
    assert plan["problems"] == []
    train = next(one for one in plan["points"][0]["stages"] if one["stage"] == "train")
    assert train["folder"].startswith("runs/demo_local/stages/train-")


@pytest.mark.usefixtures("project")
def test_mistakes(capsys):
    launch = "--launch=configs/launch/demo_local.py"
    for words, said in (
        ((launch,), "go together"),
        (("--backend=local",), "go together"),
        ((launch, "--backend=loca"), "did you mean 'local'?"),
        ((launch, "--backend=local", "--topology=v5e:2x2"), "without --launch"),
        (("--at-once=0",), "--at-once=0"),
        (("--topology=v5f:2x2",), "unknown chip"),
        (("--prices=none.json",), "no such price table"),
        (("--config.seed=1",), "takes no overrides"),
    ):
        assert main(["sweep", "plan", RECIPE, *words]) == 2, words
        assert said in capsys.readouterr().err
