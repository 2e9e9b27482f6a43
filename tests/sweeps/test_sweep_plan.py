"""What a sweep would take: stages shared and there, steps, one plan for each shape, chips, hours and cost."""

import dataclasses
from pathlib import Path

import pytest

from configs.octomed_7b import get_config
from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching.prices import read_prices
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.sweeps import loads as loading
from octomed_jax.sweeps.loads import Asked, loads, steps_only
from octomed_jax.sweeps.machines import machines_of_job, machines_of_topology, topology_of_job
from octomed_jax.sweeps.plan import Load, Machines, PlannedPoint, PlannedStage, plan_sweep
from octomed_jax.sweeps.plan_text import told
from octomed_jax.training.planning.chips import read_topology
from tests.tiny import tiny_config

ROOT = Path(__file__).resolve().parents[2]
H100 = read_topology("h100:8")
PLAN = {
    "peak_bytes_per_device": 3 * 2**30,
    "hbm_bytes_per_device": 16 * 2**30,
    "fits": True,
    "step_seconds_low": 1.0,
    "step_seconds_high": 2.0,
    "mesh": {"data": 1},
    "compiled": True,
}


def point(name: str, *stages: tuple[str, str, bool], **changes) -> PlannedPoint:
    kept = tuple(PlannedStage(stage, f"sweep/stages/{stage}-{key}", there) for stage, key, there in stages)
    return PlannedPoint(name, changes, kept, f"sweep/runs/{name}")


def machines(**changed) -> Machines:
    return Machines(
        **{"what": "8 chips", "chips": 8, "per_hour": (4.0, 8.0), "why": "spot", "prices": read_prices()} | changed
    )


SHARDED = ("shard", "a", True)
POINTS = [
    point("r1-one", SHARDED, ("train", "a", False), ("eval", "a", False), seed=0),
    point("r2-two", SHARDED, ("train", "b", True), ("eval", "b", False), seed=1),
    point("r3-three", SHARDED, ("train", "a", False), ("eval", "c", False), ("eval", "d", False), top_p=0.5),
    point("r4-four", SHARDED, ("train", "d", False), ("eval", "e", False), seed=2),
]
LOADS = {
    "r1-one": Load(3600, "", (1.0, 2.0), {"peak": 3 * 2**30, "room": 16 * 2**30, "fits": True}),
    "r2-two": Load(3600, "", (1.0, 2.0), {"peak": 3 * 2**30, "room": 16 * 2**30, "fits": True}),
    "r3-three": Load(3600, "", (1.0, 2.0), {"peak": 3 * 2**30, "room": 16 * 2**30, "fits": True}),
    "r4-four": Load(7200, "", (2.0, 4.0), {"peak": 17 * 2**30, "room": 16 * 2**30, "fits": False}),
}


def test_what_is_shared_counts_once_and_what_is_there_costs_nothing():
    plan = plan_sweep(POINTS, LOADS, machines(), 8, 2)
    assert plan["stages"]["train"] == {"asked": 4, "different": 3, "there": 1, "left": 2}
    assert plan["stages"]["shard"] == {"asked": 4, "different": 1, "there": 1, "left": 0}
    assert plan["stages"]["eval"]["left"] == 5
    assert [row["pays"] for row in plan["points"]] == [True, False, False, True]
    assert plan["points"][0]["chip_hours"] == [8.0, 16.0]
    assert plan["points"][0]["cost"] == [4.0, 16.0]  # 1 h at 4 to 2 h at 8
    totals = plan["totals"]
    assert totals["chip_hours"] == [24.0, 48.0]
    assert totals["cost"] == [12.0, 48.0]
    assert totals["steps"] == 10_800
    assert (totals["trainings_left"], totals["jobs_at_once"], totals["chips_at_once"]) == (2, 2, 16)
    assert totals["do_not_fit"] == ["r4-four"]
    assert plan["estimate"] is True
    assert plan_sweep(POINTS, LOADS, machines(), 1, 2)["totals"]["chips_at_once"] == 8


def test_the_table_for_a_person():
    text = told(plan_sweep(POINTS, LOADS, machines(), 8, 2))
    assert text[0].split() == ["id", "seed", "top_p", "runs", "steps", "memory", "chip-hours", "cost", "folder"]
    rows = {line.split()[0]: line for line in text[1:5]}
    assert "train eval" in rows["r1-one"]
    assert "8 to 16" in rows["r1-one"]
    assert "there" in rows["r2-two"]
    assert "eval x2" in rows["r3-three"]
    assert "shared" in rows["r3-three"]
    assert "17.00/16.00 GiB DOES NOT FIT" in rows["r4-four"]
    assert rows["r4-four"].endswith("sweep/runs/r4-four")
    whole = "\n".join(text)
    assert "stage   train: 2 to run, 1 there; 4 points ask for it" in whole
    assert "plans   2 made" in whole
    assert "estimate: 24 to 48 chip-hours" in whole
    assert f"list prices read on {read_prices().read}" in whole


def test_what_is_not_known_is_said_and_not_guessed():
    unknown = LOADS | {"r4-four": Load(None, "no shards yet", memory_missing="no compiler")}
    plan = plan_sweep(POINTS, unknown, machines(), 2, 1)
    assert plan["points"][3]["chip_hours"] is None
    assert (plan["totals"]["unknown"], plan["totals"]["steps_unknown"]) == (1, 1)
    whole = "\n".join(told(plan))
    assert "at least, 1 not known: 8 to 16 chip-hours" in whole
    assert "unknown steps of r4-four: no shards yet" in whole
    assert "unknown memory of r4-four: no compiler" in whole
    nothing = plan_sweep(POINTS, dict.fromkeys(LOADS, Load(5)), machines(per_hour=None, why="no price of v5p"), 2, 0)
    assert nothing["totals"]["chip_hours"] is None
    assert "cost    not known: no price of v5p" in told(nothing)


def test_on_this_machine_there_are_counts_and_no_chips():
    plan = plan_sweep(POINTS, dict.fromkeys(LOADS, Load(5)), None, 1, 0)
    assert plan["machines"] is None
    assert plan["totals"]["chips_at_once"] is None
    text = "\n".join(told(plan))
    assert "chip" not in text
    assert "cost" not in text
    assert "at once 1 training(s)" in text


def asked(number: int, shards: Path = Path("none"), **changes) -> Asked:
    config = get_config()
    for name, value in changes.items():
        configuration.set_field(config, name.replace("__", "."), value)
    return Asked(f"r{number}", config, shards)


def test_points_of_the_same_shape_share_a_plan():
    trainings = [
        asked(0),
        asked(1, train__peak_learning_rate=1e-5),
        asked(2, seed=5, train__steps=95),
        asked(3, train__rows_at_once=2),
        asked(4, distill__samples=4),
    ]
    planned = []

    def planner(job, topology):
        planned.append((job.config.train.rows_at_once, str(topology)))
        return PLAN

    found, plans = loads(trainings, H100, planner)
    assert planned == [(1, "h100:8"), (2, "h100:8")]
    assert plans == 2
    assert list(found) == [f"r{number}" for number in range(5)]
    assert found["r0"].hours == (47435 / 3600, 2 * 47435 / 3600)
    assert found["r2"].hours == (95 / 3600, 190 / 3600)
    assert found["r0"].memory == {
        "peak": 3 * 2**30,
        "room": 16 * 2**30,
        "fits": True,
        "mesh": {"data": 1},
        "compiled": True,
    }


def test_a_point_that_cannot_be_planned_leaves_the_others():
    def planner(job, _):
        if job.config.train.rows_at_once == 2:
            raise UserError("8 devices are no mesh of 3")
        return PLAN | ({"fits": False} if job.config.train.remat == "none" else {})

    trainings = [
        asked(0),
        asked(1, train__schedule="none such"),
        asked(2, train__rows_at_once=2),
        asked(3, train__remat="none"),
    ]
    found, plans = loads(trainings, H100, planner)
    assert found["r0"].hours
    assert "none such" in found["r1"].memory_missing
    assert found["r2"].memory_missing == "8 devices are no mesh of 3"
    assert found["r2"].steps == 47435
    assert found["r3"].memory["fits"] is False
    assert found["r3"].hours is None  # what does not fit takes no time
    assert plans == 2


def test_gpus_are_planned_from_shapes_for_real():
    found, plans = loads([asked(0)], read_topology("h100:64"), loading.default_planner({"fsdp": -1}))
    assert plans == 1
    assert found["r0"].memory["fits"] is True
    assert found["r0"].memory["compiled"] is False
    assert found["r0"].hours[0] < found["r0"].hours[1]
    [best], _ = loads([asked(0)], H100, loading.default_planner("auto"))[0].values(), None
    assert best.memory["mesh"]["fsdp"] * best.memory["mesh"]["sequence"] * best.memory["mesh"]["tensor"] == 8


def test_without_the_compiler_tpus_have_steps_and_why_the_rest_is_missing(monkeypatch):
    def missing():
        raise UserError("planning for TPUs needs libtpu")

    monkeypatch.setattr(loading.tpu_aot, "libtpu", missing)
    found, plans = loads([asked(0)], read_topology("v5e:4x4"), lambda *_: pytest.fail("planned"))
    assert plans == 0
    assert found["r0"] == Load(47435, "", None, None, "planning for TPUs needs libtpu")


def with_epochs(epochs: float, shards: Path) -> Asked:
    config = tiny_config()
    with config.unlocked():
        config.train.update({"epochs": epochs, "steps": 0, "examples_per_step": 4, "tokens_per_row": 272})
    return Asked("r0", config, shards)


def test_epochs_are_steps_once_the_shards_are_there(made_shards):
    later = steps_only([with_epochs(2.0, Path("none"))])["r0"]
    assert later.steps is None
    assert later.steps_missing == "train.epochs=2 counts epochs of shards that are not there yet"
    once, twice = (steps_only([with_epochs(epochs, made_shards)])["r0"].steps for epochs in (1.0, 2.0))
    assert once > 0
    assert twice == 2 * once


def test_the_machines_of_a_launch_config_and_of_a_topology():
    config = configuration.load(str(ROOT / "configs/launch/octomed_7b_v5e_256.py"), ("zone=us-east5-b",))
    spec = read_spec(config, roots=(ROOT,))
    table = read_prices().per_chip_hour["v5e"]
    found = machines_of_job(spec, read_prices())
    assert found.chips == 256
    assert found.per_hour == pytest.approx((256 * table["us-east5"]["spot"],) * 2)
    assert str(topology_of_job(spec)) == "v5e:16x16"
    bare = machines_of_topology(read_topology("v5e:16x16"), read_prices())
    everywhere = [one["on_demand"] for one in table.values()]
    assert bare.per_hour == pytest.approx((256 * min(everywhere), 256 * max(everywhere)))
    assert machines_of_topology(read_topology("v5p-64"), read_prices()).per_hour is None
    assert "no price of v5p" in machines_of_topology(read_topology("v5p-64"), read_prices()).why
    h100 = dataclasses.replace(spec, accelerator="h100", topology="2x8")
    assert str(topology_of_job(h100)) == "h100:16"
    assert topology_of_job(dataclasses.replace(spec, accelerator="cpu", topology="1")) is None
