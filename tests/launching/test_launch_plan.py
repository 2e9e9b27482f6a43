"""The plan of a launch: machines, memory, cost with its date and source, files, changes; and nothing is written."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from octomed_jax import configuration
from octomed_jax.cli import launch_plan
from octomed_jax.cli import plan as training_plan
from octomed_jax.cli.main import VERBS, main
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.jobset import JOBSET
from octomed_jax.launching.backends.local import LOCAL
from octomed_jax.launching.backends.slurm import SLURM
from octomed_jax.launching.code_state import CodeState
from octomed_jax.launching.plan import plan_launch, told
from octomed_jax.launching.prices import TABLE, lines, read_prices, region_of
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.record import next_launch, write_record
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import JobSpec

ROOT = Path(__file__).resolve().parents[2]
TRAINING = {
    "topology": "v5e:16x16",
    "mesh": {"data": 1, "fsdp": 64, "sequence": 4, "tensor": 1},
    "fits": True,
    "peak_bytes_per_device": 3 * 2**30,
    "hbm_bytes_per_device": 16 * 2**30,
    "run": {"steps": 100, "hours_low": 10.0, "hours_high": 20.0},
}


def read(name: str, *overrides: str) -> JobSpec:
    return read_spec(configuration.load(str(ROOT / "configs/launch" / name), overrides), VERBS, roots=(ROOT,))


@pytest.fixture(scope="module")
def spec() -> JobSpec:
    return read("octomed_7b_v5e_256.py:gke", "zone=us-east5-b", "hours=15")


def planned(spec: JobSpec, training: dict[str, Any] | None = None, last: dict[str, str] | None = None, by=JOBSET):
    return plan_launch(spec, by, read_prices(), training, "" if training else "left out", last, "" if last else "none")


def test_a_pod_of_256_chips_for_15_hours(spec):
    plan = planned(spec, TRAINING)
    assert plan["machines"] == {
        "accelerator": "v5e",
        "topology": "16x16",
        "capacity": "spot",
        "slices": 1,
        "hosts": 64,
        "chips": 256,
    }
    price = json.loads(TABLE.read_text())["per_chip_hour"]["v5e"]["us-east5"]["spot"]
    cost = plan["cost"]
    assert cost["estimate"] is True
    assert cost["per_hour"] == pytest.approx([256 * price] * 2)
    assert cost["for_its_hours"] == pytest.approx([15 * 256 * price] * 2)
    assert cost["for_the_estimated_run"] == pytest.approx([10 * 256 * price, 20 * 256 * price])
    text = "\n".join(told(plan))
    assert "256 chips on 64 hosts of 4, spot" in text
    assert "memory  fits: 3.00 of 16.00 GiB a chip (octomed plan)" in text
    assert "hours=15 may be too few" in text
    assert cost["prices_read"] in text
    assert cost["prices_source"] in text
    assert "replace your-project" in text


def test_slices_and_the_teachers_gpus_are_paid_for():
    spec = read("octomed_7b_v6e_256_2slices.py", "zone=us-east5-b")
    table = read_prices().per_chip_hour
    chips, gpus = (part.per_hour for part in lines(spec, read_prices()))
    assert chips == pytest.approx([512 * table["v6e"]["us-east5"]["on_demand"]] * 2)
    assert gpus == pytest.approx([16 * table["h100"]["us-east5"]["on_demand"]] * 2)
    assert planned(spec)["machines"]["teacher"]["gpus"] == 16
    assert "reserved, us-east5, at the on-demand price" in "\n".join(told(planned(spec)))


def test_without_a_zone_the_cost_is_a_range(spec):
    anywhere = dataclasses.replace(spec, zone="")
    [part] = lines(anywhere, read_prices())
    spot = [one["spot"] for one in read_prices().per_chip_hour["v5e"].values()]
    assert part.per_hour == pytest.approx((256 * min(spot), 256 * max(spot)))
    assert "any region (zone is not set)" in part.what


def test_what_has_no_price_is_said_and_not_taken_for_free(spec):
    plan = planned(dataclasses.replace(spec, zone="mars-west1-a"))
    assert plan["cost"]["for_its_hours"] is None
    assert "has no price; give your own with --prices=FILE" in "\n".join(told(plan))
    part_known = planned(read("teacher_gpu.py", "zone=us-east4-a"))
    assert part_known["cost"]["complete"] is False
    assert "estimate: without what has no price" in "\n".join(told(part_known))


def test_a_teacher_on_the_jobs_own_gpus_is_counted_once():
    spec = read("distill_slurm.py")
    plan = planned(spec, by=SLURM)
    assert [part["what"] for part in plan["cost"]["parts"]] == [
        "32 chips h100, on_demand, any region (zone is not set)"
    ]
    assert plan["machines"]["teacher"]["replicas"] == 4
    assert "4 copies, 32 GPUs h100 of the job itself, on 4 node(s)" in "\n".join(told(plan))


@pytest.mark.parametrize(
    ("zone", "region"),
    [("us-east5-b", "us-east5"), ("us-east5", "us-east5"), ("us-south1-ai1b", "us-south1"), ("", "")],
)
def test_the_region_of_a_zone(zone, region):
    assert region_of(zone) == region


def test_an_own_table_replaces_ours_and_a_broken_one_is_named(spec, tmp_path):
    table = json.loads(TABLE.read_text())
    table["per_chip_hour"]["v5e"]["us-east5"]["spot"] = 1
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(table))
    assert lines(spec, read_prices(path))[0].per_hour == (256, 256)
    for change, message in (
        ({"per_chip_hour": {"v5": {}}}, "per_chip_hour.v5 is none of v5e"),
        ({"per_chip_hour": {"v5e": {"us": {"spott": 1}}}}, "us.spott=1: a price of spot, reserved, on_demand"),
        ({"per_chip_hour": {"v5e": {"us": {"spot": "1"}}}}, "us.spot='1'"),
        ({"per_chip_hour": {"v5e": {"us": {"spot": float("inf")}}}}, "us.spot=inf"),
        ({"per_chip_hour": {}}, "lacks 'per_chip_hour'"),
        ({"read": "yesterday"}, "read='yesterday' must be the day"),
        ({"source": ""}, "lacks 'source'"),
        ({"format_version": 2}, "format_version 1"),
    ):
        path.write_text(json.dumps({**table, **change}))
        with pytest.raises(UserError) as caught:
            read_prices(path)
        assert message in str(caught.value)
    path.write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        read_prices(path)
    with pytest.raises(UserError, match="no such price table"):
        read_prices(tmp_path / "none.json")


def test_the_difference_to_the_last_launch_is_shown(spec):
    last = dict(JOBSET.files(dataclasses.replace(spec, retries=3)))
    plan = planned(spec, last=last)
    assert "-    maxRestarts: 3" in plan["difference"]
    assert "+    maxRestarts: 10" in plan["difference"]
    assert "        +    maxRestarts: 10" in told(plan)
    same = planned(spec, last=dict(JOBSET.files(spec)))
    assert same["difference"] == []
    assert "last    the files are those of the last launch" in told(same)
    gone = planned(spec, last={**JOBSET.files(spec), "teacher.yaml": "kind: Service"})
    assert gone["difference"][:2] == ["--- last/teacher.yaml", "+++ nothing"]


def test_this_machine_costs_nothing():
    plan = planned(read("demo_local.py"), by=LOCAL)
    assert plan["cost"] is None
    assert told(plan)[0] == "job     demo-local by local: 2 process(es), 2 simulated device(s)"


def everything_under(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_command_says_it_all_and_writes_nothing(tmp_path, capsys, monkeypatch):
    work = tmp_path / "work"
    spec = read("demo_local.py", f"workdir={work}", "grace_seconds=61")
    files = render(spec, LOCAL, tmp_path / "out")
    launch = next_launch(spec, LOCAL, tmp_path / "out")
    write_record(launch, tmp_path / "out", files, {}, CodeState("unknown", b"", {}), ("", "none"), [])
    monkeypatch.chdir(tmp_path)
    before = everything_under(tmp_path)
    words = ["launch", "plan", f"--config={ROOT / 'configs/launch/demo_local.py'}", "--backend=local"]
    assert main([*words, f"--config.workdir={work}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "-grace=61" in found["difference"]
    assert "+grace=60" in found["difference"]
    assert main([*words, f"--config.workdir={work}"]) == 0
    assert capsys.readouterr().out.endswith("nothing was written or started\n")
    assert everything_under(tmp_path) == before


def test_figures_of_an_earlier_plan_are_taken_only_for_the_same_machines(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = tmp_path / "plan.json"
    mesh = {"fsdp": 64, "sequence": 4}
    figures = {**TRAINING, "planned": training_plan.identity(configuration.load("configs/octomed_7b.py"), mesh)}
    path.write_text(json.dumps(figures))
    words = ["launch", "plan", "--config=configs/launch/octomed_7b_v5e_256.py:gke", "--backend=jobset"]
    assert main([*words, f"--training={path}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["mesh"]["fsdp"] == 64
    assert main([*words, f"--training={path}", "--config.topology=8x8"]) == 2
    assert "is a plan for v5e:16x16, and the job is for v5e:8x8" in capsys.readouterr().err
    for other in ("overrides=('train.examples_per_step=8',)", "options=('mesh=fsdp=256',)", "options=()"):
        assert main([*words, f"--training={path}", f"--config.command.{other}"]) == 2
        assert "is a plan of another config or mesh than the job's" in capsys.readouterr().err
    for lacking in ({"mesh": None}, {"hbm_bytes_per_device": None}, {"run": {"hours_low": 1}}):
        path.write_text(json.dumps({**figures, **lacking}))
        assert main([*words, f"--training={path}"]) == 2
        assert "lacks figures of a plan" in capsys.readouterr().err
    assert main([*words, f"--training={tmp_path / 'none.json'}"]) == 2
    assert "octomed plan --config=configs/octomed_7b.py --topology=v5e:16x16" in capsys.readouterr().err


def test_without_the_compiler_the_plan_says_so_and_has_the_rest(capsys, monkeypatch):
    def missing() -> None:
        raise UserError("planning for TPUs needs libtpu")

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(launch_plan, "libtpu", missing)
    words = ["launch", "plan", "--config=configs/launch/octomed_7b_v5e_256.py:gke", "--backend=jobset"]
    assert main(words) == 0
    out = capsys.readouterr()
    assert "no figures: planning for TPUs needs libtpu" in out.err
    assert "256 chips" in out.out


def test_a_job_that_cannot_be_is_refused(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = ["launch", "plan", "--config=configs/launch/octomed_7b_v5e_256.py:gke", "--backend=jobset"]
    assert main([*words, "--config.image=x:latest"]) == 2
    assert "no fixed tag" in capsys.readouterr().err


@pytest.mark.integration
@pytest.mark.timeout(1200)  # XLA compiles for 512 chips
def test_two_slices_are_planned_by_the_tpu_compiler(capsys, monkeypatch):
    """One slice of v5e: tests/launching/test_jobset_page.py."""
    try:
        launch_plan.libtpu()
    except UserError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(ROOT)
    words = ["launch", "plan", "--config=configs/launch/octomed_7b_v6e_256_2slices.py", "--backend=jobset", "--json"]
    assert main(words) == 0
    out = capsys.readouterr()
    plan = json.loads(out.out)
    training = plan["training"]
    assert training["compiled"] is True
    assert training["mesh"] == {"data": 2, "fsdp": 64, "sequence": 4, "tensor": 1}
    assert training["fits"] is True
    assert training["hbm_bytes_per_device"] == 31.25 * 2**30
    assert 0 < training["run"]["hours_low"] < training["run"]["hours_high"] < plan["hours"]
    assert "memory  fits: " in out.err
    assert plan["cost"]["for_the_estimated_run"][0] > 0
