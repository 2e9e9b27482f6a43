"""Plans of generation: by hand from shapes, and the programs that generation really runs."""

import json

import jax
import pytest

from configs.octomed_3b import get_config as config_3b
from configs.octomed_7b import get_config
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.images.patches import PatchSpec
from octomed_jax.models.mesh import device_bytes, make_mesh
from octomed_jax.models.qwen2_5_vl.flops import decoding_flops
from octomed_jax.models.qwen2_5_vl.sampling import Sampling
from octomed_jax.training.planning import generation_plan
from octomed_jax.training.planning.chips import read_topology
from octomed_jax.training.planning.expected import expected_model
from octomed_jax.training.planning.generation_plan import (
    Answering,
    best_generation,
    estimate_generation,
    plan_generation,
    read_answering,
    told,
)
from tests.models.student import SPEC, small_config

ON_DATA = {"data": -1, "fsdp": 1, "sequence": 1, "tensor": 1}


def answering(config, tmp_path, prompt_tokens=1024) -> Answering:
    model = expected_model(config, tmp_path, {})
    return read_answering(config, model, PatchSpec(max_pixels=config.shard.max_pixels), prompt_tokens)


def test_shapes_are_counted_by_hand(tmp_path):
    config = get_config()
    config.eval.update({"batch": 60, "max_new_tokens": 7168})
    work = answering(config, tmp_path)
    found = estimate_generation(work, read_topology("h100:8"), ON_DATA)
    parameters = 8_292_166_656 * 2
    cache = 2 * 28 * 4 * 128 * 2 * 8 * (1024 + 7168)  # keys and values, layers, heads, features, bytes, prompts, places
    assert found["memory"] == {"parameters": parameters, "cache": cache, "peak": parameters + cache * 3 // 2}
    assert (found["prompts"], found["places"]) == (60, 64)
    # Every device reads its weights, without the tower's, and its cache for a token, and receives nothing.
    traffic = parameters - 676_550_144 * 2 + cache
    assert found["step_seconds_low"] == found["step_seconds_high"] == pytest.approx(traffic / 3350e9)
    assert found["tokens_per_second_low"] == pytest.approx(60 * 3350e9 / traffic)
    divided = estimate_generation(work, read_topology("h100:8"), ON_DATA | {"data": 1, "fsdp": -1})
    assert divided["memory"]["parameters"] == pytest.approx(parameters / 8, rel=1e-3)
    assert divided["step_seconds_high"] > found["step_seconds_high"]  # the weights come from the others each time


def test_a_token_costs_two_operations_a_parameter_and_its_attention():
    model = small_config()
    text = model.text
    D, F, E, layers = text.hidden_size, text.intermediate_size, text.head_dim, text.num_hidden_layers
    heads = text.num_attention_heads + text.num_key_value_heads
    matrices = layers * (2 * D * heads * E + 3 * D * F) + D * text.vocab_size
    pairs = 4 * text.num_attention_heads * E * 100 * layers
    assert decoding_flops(model, 100) == 2 * matrices + pairs


@pytest.mark.parametrize(("new_tokens", "names"), [(100, ["read", "write"]), (1000, ["read", "grow", "write"])])
def test_the_programs_of_a_small_student_are_compiled_as_they_run(new_tokens, names):
    """On simulated devices; what a token takes is read from the very program that writes it."""
    work = Answering(small_config(), SPEC, "float32", Sampling(0.6, 0.95), 5, 100, new_tokens)
    mesh = make_mesh({"data": 2, "fsdp": 4})
    memory, programs = generation_plan._compile(work, mesh, quick=False)
    assert list(programs) == names
    assert memory["peak"] == max(memory[name] for name in names)
    # Eight rows for five prompts; the largest cache is an argument of what writes.
    text = work.model.text
    places = 2048 if new_tokens == 1000 else 256
    cache = 2 * text.num_hidden_layers * places * text.num_key_value_heads * text.head_dim * 4
    arguments = programs["write"].memory_analysis().argument_size_in_bytes
    tower = device_bytes(generation_plan._parameters(work, mesh)["vision"])
    language = memory["parameters"] - tower
    assert language + cache < arguments < language + 1.1 * cache
    # The tower is there too, although writing does not use it.
    assert memory["write"] == programs["write"].memory_analysis().peak_memory_in_bytes + tower


def test_what_cannot_be_planned_is_refused(tmp_path):
    config = get_config()
    with pytest.raises(UserError, match=r"--prompt-tokens=0 and eval.max_new_tokens=8192 must be 1 to 32,768"):
        answering(config, tmp_path, 0)
    work = answering(config, tmp_path)
    with pytest.raises(UserError, match="tensor=8 does not divide the 28 attention heads"):
        plan_generation(work, read_topology("h100:8"), ON_DATA | {"tensor": 8})
    with pytest.raises(UserError, match="does not multiply to the 8 devices"):
        plan_generation(work, read_topology("h100:8"), ON_DATA | {"data": 3})


def test_the_best_mesh_has_the_most_tokens_a_second_of_those_that_fit(tmp_path):
    work, topology = answering(get_config(), tmp_path), read_topology("a100-40:8")
    best = best_generation(work, topology, 4)
    plans = [
        estimate_generation(work, topology, {"data": 1, "fsdp": 1, "tensor": tensor, axis: -1})
        for tensor in (1, 2, 4)
        for axis in ("data", "fsdp")
    ]
    assert best["fits"]
    assert best["step_seconds_high"] == min(plan["step_seconds_high"] for plan in plans if plan["fits"])
    assert any("tokens a second" in line for line in told(best))


def test_the_command_plans_generation(capsys, root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    words = ["plan", "--config=configs/octomed_7b.py", "--what=generate", f"--shards={tmp_path}"]
    assert main([*words, "--topology=h100:8", "--mesh=auto", "--json"]) == 0
    out = capsys.readouterr()
    found = json.loads(out.out)
    assert found["fits"]
    assert {"peak_bytes_per_device", "hbm_bytes_per_device", "flops_per_step", "step_seconds_low"} < set(found)
    assert "from shapes alone" in out.err
    assert main([*words, "--topology=h100:1", "--config.eval.batch=2000"]) == 0
    out = capsys.readouterr()
    assert "does not fit" in out.out
    assert "does NOT fit, it lacks" in out.err
    assert main([*words, "--topology=h100:8", "--search"]) == 2


def test_the_command_counts_answers_after_thoughts_that_were_ended(capsys, root, monkeypatch, tmp_path):
    """They are read anew with the whole thought before them: a second batch of longer prompts."""
    monkeypatch.chdir(root)
    words = ["plan", "--config=configs/octomed_7b.py", "--what=generate", f"--shards={tmp_path}", "--topology=h100:8"]
    assert main([*words, "--json"]) == 0
    out = capsys.readouterr()
    found = json.loads(out.out)
    forced = found["forced"]
    assert (found["new_tokens"], forced["new_tokens"]) == (8192, 512)
    assert forced["prompt_tokens"] == 16384  # the bucket that holds 1,024 + 8,192 and the closing text
    assert found["peak_bytes_per_device"] == max(found["memory"]["peak"], forced["memory"]["peak"])
    assert forced["memory"]["cache"] > found["memory"]["cache"]
    assert "forced  thoughts that use up their tokens are read anew: 16,384 tokens and at most 512 new ones" in out.err
    assert main([*words, "--json", "--config.eval.force_end_of_thinking=False"]) == 0
    assert "forced" not in json.loads(capsys.readouterr().out)
    assert main([*words, "--prompt-tokens=32000"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "--prompt-tokens=32000 and 8216 tokens of a thought that is ended are more than 32,768" in told


@pytest.mark.usefixtures("compiler")
@pytest.mark.integration
def test_the_3b_answers_on_eight_v5e_chips(tmp_path):
    """Compiled for TPUs, by libtpu: weights in pieces of four chips, which stay where they are."""
    config = config_3b()
    config.eval.update({"batch": 16, "max_new_tokens": 2048})
    work, topology = answering(config, tmp_path), read_topology("v5e:2x4")
    sizes = {"data": 4, "fsdp": 1, "sequence": 1, "tensor": 2}
    found = plan_generation(work, topology, sizes)
    assert found["fits"]
    assert found["unknown_loops"] == 1  # over the tokens: its body is the one that is timed
    by_shapes = estimate_generation(work, topology, sizes)
    assert found["memory"]["parameters"] == by_shapes["memory"]["parameters"]
    assert found["peak_bytes_per_device"] > by_shapes["memory"]["parameters"] + by_shapes["memory"]["cache"]
    # A token reads the weights and the cache at least once, and not many times.
    assert by_shapes["step_seconds_low"] < found["step_seconds_low"] < 4 * by_shapes["step_seconds_low"]
    assert jax.devices()[0].platform == "cpu"  # nothing was started on a TPU
