"""The devices at hand: what they are, which mesh is chosen of them, and the plan that a run prints before it starts."""

import contextlib
import types

import jax
import pytest

from configs.octomed_7b import get_config
from octomed_jax import storage
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.training.loop import train
from octomed_jax.training.planning import here
from octomed_jax.training.planning.chips import read_topology
from octomed_jax.training.planning.here import mesh_here, topology_of
from octomed_jax.training.planning.plan import Job, read_job, with_mesh
from octomed_jax.training.planning.search import best_plan, candidates
from octomed_jax.training.planning.shape_plan import estimate_training


def devices(kind, sides, slices=1):
    """What JAX shows of devices; stands for ones that are not here."""
    return [
        types.SimpleNamespace(device_kind=kind, coords=(x, y, z), slice_index=number)
        for number in range(slices)
        for x in range(sides[0])
        for y in range(sides[1])
        for z in range(sides[2])
    ]


@pytest.mark.parametrize(
    ("kind", "sides", "slices", "name"),
    [
        ("TPU v5 lite", (4, 4, 1), 1, "v5e:4x4"),
        ("TPU v6 lite", (2, 4, 1), 2, "v6e:2x4"),
        ("TPU v5", (2, 2, 1), 1, "v5p:2x2x1"),
        ("TPU v4", (2, 2, 4), 2, "v4:2x2x4"),
        ("NVIDIA H100 80GB HBM3", (8, 1, 1), 1, "h100:8"),
    ],
)
def test_devices_are_known_by_what_jax_says_of_them(kind, sides, slices, name):
    assert topology_of(devices(kind, sides, slices)) == read_topology(name, slices)


def test_nothing_is_known_of_a_cpu():
    assert topology_of(jax.devices()) is None


@pytest.fixture
def job(tmp_path) -> Job:
    return read_job(get_config(), tmp_path)


def test_the_chosen_mesh_is_the_fastest_that_fits(job):
    topology = read_topology("h100:16")
    possible = []
    for one in candidates(job, topology, only_meshes=True):
        with contextlib.suppress(UserError):  # 8 x 4 of 16 devices
            possible.append(estimate_training(one, topology))
    fitting = [one for one in possible if one["fits"]]
    assert len(fitting) > 3
    chosen = estimate_training(with_mesh(job, best_plan(job, topology)["mesh"]), topology)
    assert chosen["fits"]
    assert chosen["step_seconds_high"] == min(one["step_seconds_high"] for one in fitting)


def test_a_mesh_is_chosen_by_what_is_compiled(job):
    """By shapes the first is best; the compiler, for which a function stands, says otherwise."""
    seen = []

    def compiled(candidate, topology):
        seen.append(candidate.config.train.mesh.to_dict())
        assert candidate.config.train.remat == job.config.train.remat
        found = estimate_training(candidate, topology)
        return found | {"fits": len(seen) > 1, "step_seconds_high": {1: 0.5, 2: 3.0, 3: 1.0, 4: 2.0}[len(seen)]}

    topology = read_topology("v5e:8x8")
    chosen = best_plan(job, topology, compiled, most=3)["mesh"]
    assert len(seen) == 4
    assert chosen == {**seen[2], "fsdp": 64 // (seen[2]["sequence"] * seen[2]["tensor"])}


def test_a_job_that_fits_no_mesh_is_refused_with_what_it_lacks(job):
    with pytest.raises(UserError, match=r"no mesh of h100:1 holds a step .* the best lacks .* GiB a device"):
        best_plan(job, read_topology("h100:1"))


def test_a_run_that_goes_on_keeps_its_mesh_on_the_same_devices_only(job, monkeypatch, tmp_path):
    chosen = [{"data": 1, "fsdp": 8, "sequence": 1, "tensor": 1}, {"data": 1, "fsdp": 4, "sequence": 2, "tensor": 1}]
    asked = []

    def best(_job, topology, _planner):
        asked.append(str(topology))
        return {"mesh": chosen[len(asked) - 1]}

    monkeypatch.setattr(here, "best_plan", best)
    monkeypatch.setattr(here, "topology_of", lambda _: read_topology("v5e:2x4"))
    assert mesh_here(job, tmp_path) == chosen[0]
    assert mesh_here(job, tmp_path) == chosen[0]
    monkeypatch.setattr(here, "topology_of", lambda _: read_topology("v6e:2x4"))
    assert mesh_here(job, tmp_path) == chosen[1]
    assert asked == ["v5e:2x4", "v6e:2x4"]


@pytest.mark.parametrize(("name", "compiled"), [("h100:8", False), ("v5e:2x4", True)])
def test_a_run_prints_the_plan_of_its_own_program_before_it_starts(
    name, compiled, config, shards, monkeypatch, tmp_path, capsys
):
    """The simulated devices say that they are others; what is planned is what is then run."""
    monkeypatch.setattr(here, "topology_of", lambda _: read_topology(name))
    config.train.update({"steps": 2, "mesh": {"data": 1, "fsdp": 4, "sequence": 2, "tensor": 1}})
    train(config, shards, tmp_path)
    plan = storage.read_json(tmp_path / here.PLAN)
    assert plan["topology"] == name
    assert plan["mesh"] == {"data": 1, "fsdp": 4, "sequence": 2, "tensor": 1}
    assert plan["compiled"] is compiled
    assert plan["fits"]
    assert plan["peak_bytes_per_device"] == plan["memory"]["peak"] > plan["memory"]["arguments"] > 0
    assert 0 < plan["step_seconds_low"] <= plan["step_seconds_high"]
    if compiled:
        assert plan["program"]["flops_per_device"] * 8 > plan["flops_per_step"]
        assert plan["collectives"]
    said = capsys.readouterr().err
    assert said.index("estimate:") < said.index("goodput")


def test_a_program_that_is_not_understood_is_run_all_the_same(config, shards, monkeypatch, tmp_path, capsys):
    def unread(*_):  # stands for the text of another compiler
        raise KeyError("%fusion.1")

    monkeypatch.setattr(here, "topology_of", lambda _: read_topology("v5e:2x4"))
    monkeypatch.setattr(here, "plan_of", unread)
    config.train.update({"steps": 2, "mesh": {"data": 1, "fsdp": 4, "sequence": 2, "tensor": 1}})
    assert train(config, shards, tmp_path).counts["steps"] == 2
    assert "its text is not understood (KeyError('%fusion.1'))" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / here.PLAN).exists()


def test_a_run_trains_on_the_mesh_that_was_chosen(config, shards, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(here, "topology_of", lambda _: read_topology("h100:8"))
    monkeypatch.setattr(here, "best_plan", lambda *_: {"mesh": {"data": 2, "fsdp": 2, "sequence": 2, "tensor": 1}})
    config.train.steps = 2
    assert train(config, shards, tmp_path, choose_mesh=True).counts["steps"] == 2
    assert storage.read_json(tmp_path / here.PLAN)["mesh"]["sequence"] == 2
    assert "mesh data 2 x fsdp 2 x sequence 2 x tensor 1" in capsys.readouterr().err
    assert config.train.mesh.fsdp == -1  # the caller's config stays as it was


def test_a_step_that_does_not_fit_ends_the_run_before_it_starts(config, shards, monkeypatch, tmp_path):
    monkeypatch.setattr(here, "compile_step", lambda *_, **__: (None, {"arguments": 2**30, "peak": 20 * 2**30}))
    monkeypatch.setattr(here, "topology_of", lambda _: read_topology("v5e:2x4"))
    with pytest.raises(UserError, match=r"does not fit on v5e:2x4: it takes 20.00 GiB a device"):
        train(config, shards, tmp_path)


def test_meshes_on_the_command_line(root, shards, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(root)
    words = ["train", "--config=configs/demo.py:tiny", f"--shards={shards}", f"--workdir={tmp_path}"]
    words += ["--config.student.vocab_size=300"]
    assert main([*words, "--mesh=auto"]) == 2
    assert "--mesh=auto knows nothing of 'cpu' devices; give the sizes" in capsys.readouterr().err
    assert main([*words, "--mesh=all"]) == 2
    assert "'all' is not of the form AXIS=SIZE,AXIS=SIZE" in capsys.readouterr().err
    assert main([*words, "--mesh=fsdp=4,tensor=2", "--dry-run", "--json"]) == 2
    assert "tensor=2 does not divide the 3 attention heads" in capsys.readouterr().err
    plan = ["plan", "--config=configs/octomed_7b.py", "--topology=h100:16", f"--shards={tmp_path}", "--mesh=auto"]
    assert main([*plan, "--topolgy=h100:16", "--json"]) == 2
    assert "unknown option '--topolgy=h100:16' (did you mean '--topology'?)" in capsys.readouterr().err
    dry = ["train", "--config=configs/octomed_7b.py", f"--shards={tmp_path}", "--dry-run", "--topology=h100:16"]
    assert main([*dry, "--mesh=auto"]) == 0
    assert "mesh    data 1 x fsdp" in capsys.readouterr().err
