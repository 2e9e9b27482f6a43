"""Plans of pods. TPU programs are compiled for real, by libtpu, on a machine without a TPU."""

import json
import math
import re
from pathlib import Path

import jax
import pytest
from flax import nnx

from configs.octomed_7b import get_config
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.paper_mix import paper_mix
from octomed_jax.inputs.plan import RowPlan
from octomed_jax.inputs.rows import Bucket, assemble, shapes
from octomed_jax.models.ops.cross_entropy import SHARED_CHUNK
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.training.chosen import row_buckets
from octomed_jax.training.planning.chips import PEAKS, TPUS, Chip, read_topology
from octomed_jax.training.planning.plan import read_job
from octomed_jax.training.planning.program import Done, Message, Program, read_program
from octomed_jax.training.planning.roofline import MEASURED_TO_ESTIMATED, roofline
from octomed_jax.training.planning.search import search
from octomed_jax.training.planning.shape_plan import estimate_training, plan_for
from octomed_jax.training.request import check_training
from tests.models.student import SPEC, example, small_config
from tests.models.test_flops import products

CHIP = Chip("made-up", (), 1000.0, 10.0, 100.0, 10.0, 1.0, ring=4)


@pytest.mark.parametrize(
    ("text", "chips", "shape"),
    [
        ("v5e:4x4", 16, (4, 4)),
        ("v5e-256", 256, (16, 16)),
        ("v6e-8", 8, (2, 4)),
        ("v5p-8", 4, (2, 2, 1)),  # Google counts cores here
        ("v5p-64", 32, (2, 4, 4)),
        ("v4:2x2x2", 8, (2, 2, 2)),
        ("h100:8", 8, (8,)),
        ("a100-80:16", 16, (16,)),
    ],
)
def test_topologies_are_read(text, chips, shape):
    topology = read_topology(text)
    assert (topology.devices, topology.shape) == (chips, shape)
    assert read_topology(text, slices=2).devices == 2 * chips


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("v5e", "write for example v5e:4x4"),
        ("v5x:4x4", "unknown chip 'v5x' \\(did you mean"),
        ("v5e:2x2x2", "has 3 sides, v5e has 2"),
        ("v5p:4x4", "has 2 sides, v5p has 3"),
        ("v5e-12", "there is no slice v5e-12; there are v5e-1, v5e-4"),
    ],
)
def test_what_is_no_topology_is_refused_in_one_line(text, reason):
    with pytest.raises(UserError, match=reason):
        read_topology(text)
    with pytest.raises(UserError, match="--slices=0"):
        read_topology("v5e:4x4", 0)


def test_peaks_have_every_chip():
    assert PEAKS["TPU v5 lite"] == 197e12
    assert all(PEAKS[kind] == chip.flops for chip in TPUS for kind in chip.kinds)


def places(*corners):
    return [(0, corner) for corner in corners]


def test_an_instruction_takes_what_limits_it_and_loops_take_it_again():
    program = Program((Done("product", 500.0, 10.0, 2), Done("copy", 0.0, 100.0, 3)), (), {}, 0)
    found = roofline(program, CHIP, places((0, 0)))
    assert (found.compute, found.memory, found.device) == (1.0, 3.2, 4.0)
    assert found.low == found.high == 4.0


def test_the_error_that_is_printed_is_the_one_that_was_measured(root):
    students = json.loads((root / "benchmarks/results/plan_truth_cpu.json").read_text())["students"].values()
    found = [round(one["measured_to_estimated"], 2) for one in students]
    assert {"cpu": (min(found), max(found))} == MEASURED_TO_ESTIMATED


def test_messages_take_the_links_of_the_sides_that_they_span():
    row = Message("all-gather", 40.0, (0, 1), 1, "")
    square = Message("all-gather", 40.0, (0, 1, 2, 3), 1, "")
    at = places((0, 0), (0, 1), (1, 0), (1, 1))
    assert roofline(Program((), (row,), {}, 0), CHIP, at).network == 4.0  # one side
    assert roofline(Program((), (square,), {}, 0), CHIP, at).network == 2.0  # two sides
    ring = places((0, 0), (0, 1), (0, 2), (0, 3))
    assert roofline(Program((), (square,), {}, 0), CHIP, ring).network == 2.0  # one side, closed to a ring


def test_messages_between_slices_take_the_slow_network_and_nothing_hides_the_most():
    across = Message("all-reduce", 5.0, (0, 1), 1, "")
    within = Message("all-gather", 40.0, (0, 2), 1, "")
    at = [(0, (0, 0)), (1, (0, 0)), (0, (0, 1))]
    found = roofline(Program((Done("product", 1000.0, 0.0, 1),), (across, within), {}, 0), CHIP, at)
    assert (found.network, found.between_slices) == (4.0, 5.0)
    assert (found.low, found.high) == (5.0, 10.0)
    sent = Message("send", 5.0, (0, 1), 1, "")
    assert roofline(Program((), (sent,), {}, 0), CHIP, places((0, 0), (0, 1))).between_slices == 5.0


def test_the_compiled_students_products_are_those_of_the_traced_one():
    model, item = small_config(), example("Which plane is this?", [(224, 112)], "axial")
    bucket = Bucket("row", len(item.token_ids), item.cells)
    rows = assemble([[item]], 1, bucket, SPEC)
    graph, abstract = split_model(model)
    gradient = jax.value_and_grad(lambda tree: nnx.merge(graph, tree).loss_sum(rows))
    traced = products(jax.make_jaxpr(gradient)(abstract).jaxpr)
    program = read_program(jax.jit(gradient).lower(abstract).compile().as_text())
    assert program.unknown_loops == 0
    # The compiler leaves out what nobody reads, and turns products of few rows into sums.
    assert program.flops == pytest.approx(traced, rel=0.02)


def test_shapes_are_those_of_assembled_rows():
    item = example("Which plane is this?", [(224, 112)], "axial")
    bucket = Bucket("row", 2 * len(item.token_ids), 2 * item.cells)
    rows = assemble([[item]], 3, bucket, SPEC)
    assert {name: (array.shape, array.dtype.type) for name, array in rows.items()} == shapes(3, bucket, SPEC)


def test_rows_of_the_papers_mix_stand_for_shards_that_are_not_there(tmp_path):
    job = read_job(get_config(), tmp_path / "shards")
    assert "mix like the paper's" in job.missing[str(tmp_path / "shards")]
    held = job.rows.mean()
    assert held["examples"] == pytest.approx(512, rel=0.02)
    counted = [job.rows.count(step)["tokens"] for step in range(job.rows.steps_per_epoch)]
    assert held["tokens"] == pytest.approx(sum(counted) / len(counted))


@pytest.mark.parametrize(
    ("rows", "with_images", "names"),
    [
        ("apart", 0.5, ["text", "image"]),
        ("together", 0.5, ["mixed"]),
        ("apart", 0.0, ["text"]),
        ("together", 0.0, ["text"]),
        ("apart", 1.0, ["image"]),
        ("together", 1.0, ["mixed"]),
    ],
)
def test_examples_come_once_whatever_rows_they_share(rows, with_images, names):
    config, index = get_config(), paper_mix(3000, with_images)
    config.train.rows = rows
    plan = RowPlan(index, row_buckets(config, index, PatchSpec(max_pixels=262144)), 512, 0)
    assert [bucket.name for bucket in plan.buckets] == names
    seated = [number for step in range(plan.steps_per_epoch) for row in plan.step(step).rows.values() for number in row]
    assert sorted(sum(seated, ())) == list(range(3000))


def test_rows_together_are_fewer_than_rows_apart():
    config, index = get_config(), paper_mix(20000)
    counts = {}
    for config.train.rows in ("apart", "together"):
        plan = RowPlan(index, row_buckets(config, index, PatchSpec(max_pixels=262144)), 512, 0)
        counts[config.train.rows] = sum(plan.rows_per_step.values())
    assert counts["together"] <= counts["apart"]


def test_unknown_rows_are_refused():
    config = get_config()
    config.train.rows = "togehter"
    with pytest.raises(UserError, match=r"train\.rows='togehter' is unknown \(did you mean 'together'"):
        check_training(config)


def plan(capsys, *words: str) -> tuple[int, dict, str]:
    code = main(["plan", "--json", *words])
    out = capsys.readouterr()
    return code, json.loads(out.out), " ".join(out.err.split())


def gpu_plan(config, topology: str) -> dict:
    return plan_for(read_job(config, Path("no-shards")), read_topology(topology))


def test_gpus_are_planned_from_shapes_and_that_is_said(capsys, root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    _, found, said = plan(capsys, "--config=configs/octomed_7b.py", "--topology=h100:8", f"--shards={tmp_path}")
    assert (found["compiled"], found["estimate"], found["fits"]) == (False, True, True)
    assert found["mesh"]["fsdp"] == 8
    # Masters and two moments in float32, and the sum of the gradients beside a micro-batch's.
    assert found["memory"]["state"] == pytest.approx(8.292e9 * 12 / 8, rel=1e-3)
    assert found["memory"]["gradients"] == pytest.approx(2 * 8.292e9 * 4 / 8, rel=1e-3)
    assert found["peak_bytes_per_device"] == sum(found["memory"].values())
    assert found["step_seconds_low"] * 8 * 989e12 * found["mfu_high"] == pytest.approx(found["flops_per_step"])
    assert "from shapes alone" in said


def test_a_gpu_that_is_too_small_lacks_what_it_lacks():
    found = gpu_plan(get_config(), "h100:1")
    assert not found["fits"]
    assert (
        found["short_by_bytes"] == found["peak_bytes_per_device"] - found["hbm_bytes_per_device"] > 8.292e9 * 12 - 85e9
    )


def test_more_kept_is_more_memory_and_less_time():
    config, found = get_config(), {}
    for config.train.remat in ("full", "attention", "matmuls", "none"):
        found[config.train.remat] = gpu_plan(config, "h200:8")
    peaks = [one["peak_bytes_per_device"] for one in found.values()]
    assert peaks == sorted(peaks)
    assert found["none"]["step_seconds_low"] == pytest.approx(3 / 4 * found["full"]["step_seconds_low"])


def test_machines_with_a_slow_network_between_them_take_longer():
    config = get_config()
    within, across = gpu_plan(config, "h100:8"), gpu_plan(config, "h100:16")
    assert within["roofline_seconds"]["between_slices"] == 0 < within["roofline_seconds"]["network"]
    assert across["roofline_seconds"]["network"] == 0 < across["roofline_seconds"]["between_slices"]


def test_a_mesh_that_does_not_fit_is_refused():
    config = get_config()
    config.train.mesh.tensor = 3
    with pytest.raises(UserError, match="does not multiply to the 8 devices"):
        gpu_plan(config, "h100:8")
    config.train.mesh.tensor = 8
    with pytest.raises(UserError, match="tensor=8 does not divide the 28 attention heads"):
        gpu_plan(config, "h100:8")


def test_a_dry_run_says_it_for_a_topology(capsys, root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    words = ["train", "--config=configs/octomed_7b.py", f"--shards={tmp_path}", "--topology=h100:16", "--json"]
    assert main([*words, "--dry-run"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mesh"] == {"data": 1, "fsdp": 16, "sequence": 1, "tensor": 1, "devices": 16, "kind": "h100:16"}
    assert found["memory_bytes_of_a_device"]["parameters"] == pytest.approx(8.292e9 * 4 / 16, rel=5e-3)
    assert found["plan"]["devices"] == 16
    assert main(words) == 2
    assert "--topology belongs to --dry-run" in capsys.readouterr().err


def test_a_search_ranks_what_fits_and_compiles_only_the_best(capsys, root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    monkeypatch.setattr("octomed_jax.training.planning.search.REMAT", ("full", "matmuls"))
    monkeypatch.setattr("octomed_jax.training.planning.search.ROWS_AT_ONCE", (1,))
    job, asked = read_job(get_config(), tmp_path), []

    def compiled(candidate, topology):  # stands for the compiler, which would take minutes
        asked.append(candidate.config.train.mesh.to_dict())
        found = estimate_training(candidate, topology)
        return found | {"compiled": True, "fits": len(asked) != 1, "step_seconds_high": 10.0 - len(asked)}

    plans = search(job, read_topology("v5e:4x4"), 3, compiled)
    assert len(asked) == 4  # it goes on until three fit
    assert [plan["fits"] for plan in plans] == [True, True, True, False]
    assert [plan["step_seconds_high"] for plan in plans[:3]] == [6.0, 7.0, 8.0]
    assert job.config.train.mesh.fsdp == -1  # the job itself is left as it was

    words = ["--config=configs/octomed_7b.py", "--topology=h100:16", f"--shards={tmp_path}", "--search"]
    monkeypatch.setattr("octomed_jax.training.planning.search.ROWS_AT_ONCE", (1, 2, 64, 128))  # no device has so many
    assert main(["plan", *words, "--json", "--compiled=5"]) == 0
    out = capsys.readouterr()
    plans = json.loads(out.out)
    assert len(plans) == 5
    assert all(plan["fits"] for plan in plans)
    times = [plan["step_seconds_high"] for plan in plans]
    assert times == sorted(times)
    assert len({json.dumps([plan["mesh"], plan["remat"], plan["rows"]]) for plan in plans}) == 5  # none is there twice
    assert "1. " in out.err
    assert "--mesh=fsdp=" in out.err
    assert main(["plan", *words, "--compiled=0"]) == 2


def test_what_one_candidate_lacked_saves_compiling_its_like(monkeypatch, tmp_path):
    job, topology, asked = read_job(get_config(), tmp_path), read_topology("v5e:8x8"), []

    def compiled(candidate, topology):
        """Policies that keep more take three times what their shapes say."""
        found, remat = estimate_training(candidate, topology), candidate.config.train.remat
        asked.append(remat)
        peak = found["peak_bytes_per_device"] * (1 if remat == "full" else 3)
        return found | {"peak_bytes_per_device": peak, "fits": peak <= found["hbm_bytes_per_device"]}

    plans = search(job, topology, 2, compiled)
    assert [plan["fits"] for plan in plans[:2]] == [True, True]
    assert asked.count("full") == 2
    assert len(asked) < 8  # of more than a hundred that would have been tried before them
    tried = []
    monkeypatch.setattr("octomed_jax.training.planning.search.REMAT", ("full",))
    plans = search(
        job, read_topology("v5e:1x1"), 2, lambda one, where: tried.append(one) or estimate_training(one, where)
    )
    assert len(tried) == 1  # none can fit: the smallest says what is lacking
    assert not plans[0]["fits"]


def test_meshes_that_are_slower_than_their_shapes_say_do_not_hide_the_others(monkeypatch, tmp_path):
    config = get_config()
    config.train.examples_per_step = 480
    monkeypatch.setattr("octomed_jax.training.planning.search.REMAT", ("full",))
    topology = read_topology("v5e:8x8")

    def compiled(candidate, topology):
        found = estimate_training(candidate, topology)
        slower = 1.4 if candidate.config.train.mesh.tensor > 1 else 1.0
        return found | {"step_seconds_high": slower * found["step_seconds_high"]}

    plans = search(read_job(config, tmp_path), topology, 4, compiled)
    assert plans[0]["mesh"] == {"data": 1, "fsdp": 64, "sequence": 1, "tensor": 1}
    assert any(plan["mesh"]["tensor"] > 1 for plan in plans)  # by shapes the best


@pytest.mark.usefixtures("compiler")
@pytest.mark.integration
def test_the_3b_fits_eight_v5e_chips(capsys, root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    _, found, said = plan(
        capsys,
        "--config=configs/octomed_3b.py",
        "--topology=v5e:2x4",
        "--config.train.mesh.sequence=2",
        f"--shards={tmp_path}",
    )
    assert found["fits"]
    assert found["mesh"] == {"data": 1, "fsdp": 4, "sequence": 2, "tensor": 1}
    assert 0 < found["peak_bytes_per_device"] <= found["hbm_bytes_per_device"]
    assert "fits: peak" in said


@pytest.mark.usefixtures("compiler")
@pytest.mark.integration
def test_the_7b_fits_sixteen_v5e_chips_with_rows_of_8192_in_four_pieces(capsys, root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    texts = []
    module = "octomed_jax.training.planning.plan.read_program"
    monkeypatch.setattr(module, lambda text: texts.append(text) or read_program(text))
    _, found, said = plan(
        capsys,
        "--config=configs/octomed_7b.py",
        "--topology=v5e:4x4",
        "--config.train.mesh.sequence=4",
        f"--shards={tmp_path}",
    )
    assert found["fits"]
    assert found["mesh"] == {"data": 1, "fsdp": 4, "sequence": 4, "tensor": 1}
    assert found["unknown_loops"] == 0
    # Splash attention, forward and backward, is in the program, as often as there are layers and micro-batches.
    kernels = {name: times for name, times in found["kernels"].items() if "segmented" in name}
    micro_batches = found["rows"]["mixed"]["micro_batches"]
    decoder = 28 * micro_batches
    tower = 4 * micro_batches  # its blocks of full attention; windows are batches of small products
    assert kernels["splash_mha_fwd_segmented_residuals"] == 2 * (decoder + tower)  # once more for the gradient
    assert kernels["splash_mha_dkv_segmented_no_residuals"] == decoder + tower
    # What the examples need, with padding, the layers computed twice, and attention of whole frames.
    done = found["program"]["flops_per_device"] * found["devices"]
    assert 4 / 3 * found["flops_per_step"] < done < 1.7 * found["flops_per_step"]
    # The vocabulary stays divided: nothing as large as a sixteenth of the embedding is gathered over and over.
    gathered = found["collectives"]["all-gather"]["bytes"]
    layers = 2 * 2 * (8.292e9 - 2 * 152064 * 3584)  # in bfloat16, forward and again for the gradient
    assert gathered < 1.1 * micro_batches * layers
    assert 0 < found["step_seconds_low"] < found["step_seconds_high"]
    assert 0 < found["mfu_low"] < found["mfu_high"] < 1
    assert "estimate:" in said
    # Windows are a batch of small products: scores of [slots, heads, patches, patches].
    arrays = {tuple(map(int, shape.split(","))) for shape in re.findall(r"(?:f32|bf16)\[([\d,]+)\]", texts[0])}
    assert any(shape[1:] == (16, 64, 64) for shape in arrays)
    # Logits are those of a chunk of tokens with a sixteenth of the vocabulary, and the embedding is never whole.
    entries = 152064 // 16
    assert max(math.prod(shape) for shape in arrays if entries in shape) == SHARED_CHUNK * entries
    assert {shape for shape in arrays if 152064 in shape} == {(152064, 3584 // 16)}


@pytest.mark.usefixtures("compiler")
@pytest.mark.integration
def test_the_7b_does_not_fit_four_v5e_chips_and_it_says_by_how_much(capsys, root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    words = ["--config=configs/octomed_7b.py", "--topology=v5e:2x2", f"--shards={tmp_path}"]
    _, found, said = plan(capsys, *words)
    assert not found["fits"]
    assert found["step_seconds_low"] is None
    state = 8.29e9 * 12 / 4  # parameters x bytes / chips; a step's rows come on top
    assert state < found["memory"]["arguments"] < state + 1e9
    assert found["short_by_bytes"] == found["peak_bytes_per_device"] - found["hbm_bytes_per_device"] > 8e9
    assert "does NOT fit, it lacks" in said


def test_without_libtpu_one_line_says_what_to_install(capsys, root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)

    monkeypatch.setattr("octomed_jax.training.planning.tpu_aot.importlib.metadata.distributions", lambda **_: ())
    assert main(["plan", "--config=configs/octomed_7b.py", "--topology=v5e:4x4", f"--shards={tmp_path}"]) == 2
    assert "needs libtpu: `make tpu-aot`" in capsys.readouterr().err
