"""A run with adapters goes out as the merged model, or as a folder that PEFT loads beside the base."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.hf.adapter import CONFIG, WEIGHTS
from octomed_jax.hf.checkpoint import open_checkpoint
from octomed_jax.hf.export import export
from octomed_jax.hf.settings import Settings
from octomed_jax.hf.source import load_parameters
from octomed_jax.hf.verify import verify
from octomed_jax.hf.weights import SINGLE_NAME
from octomed_jax.models.lora import LoRA, merge_lora
from octomed_jax.models.mesh import one_device
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from octomed_jax.models.trees import flatten_names, unflatten_names
from tests.hf.folders import make_student, save_run
from tests.models.student import hub_reader

LORA = LoRA(2, 6.0, ("v", "down"))
SETTINGS = {"rank": 2, "alpha": 6.0, "targets": ("v", "down")}


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    config = make_student(tmp_path_factory.mktemp("student"))
    tree = flatten_names(jax.device_get(jax.jit(lambda: initial_parameters(config, 0, LORA))()))
    changed = {name: leaf + 0.01 * (".lora." in name) for name, leaf in tree.items()}  # so that b is not zero
    return unflatten_names(changed)


@pytest.fixture(scope="module")
def run(tmp_path_factory, parameters):
    folder = tmp_path_factory.mktemp("run")
    make_student(folder / "side")
    save_run(folder / "train", folder / "side", parameters, lora=SETTINGS)
    return folder / "train"


def test_adapters_are_merged(run, parameters, tmp_path):
    export(run, tmp_path / "out", Settings())
    back = flatten_names(load_parameters(tmp_path / "out", one_device())[1])
    expected = flatten_names(merge_lora(parameters, LORA))
    assert set(back) == set(expected)
    for name, leaf in expected.items():
        np.testing.assert_allclose(np.asarray(back[name]), leaf, rtol=1e-6, atol=1e-7, err_msg=name)
    kernel = "text.layers.attention.v.kernel"
    assert np.abs(np.asarray(back[kernel]) - flatten_names(parameters)[kernel]).max() > 1e-4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_alone_hold_only_themselves(run, parameters, tmp_path, dtype):
    result = export(run, tmp_path / "out", Settings(dtype, adapter=True))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        CONFIG,
        WEIGHTS,
        "README.md",
        "provenance.json",
        "manifest.json",
    }
    adapters = {name: leaf for name, leaf in flatten_names(parameters).items() if ".lora." in name}
    assert result["parameters"] == sum(leaf.size for leaf in adapters.values())
    tensors = load_file(tmp_path / "out" / WEIGHTS)
    name = "base_model.model.model.language_model.layers.1.self_attn.v_proj.lora_A.weight"
    ours = adapters["text.layers.attention.v.lora.a"][1].T.astype(jax.numpy.dtype(dtype))
    assert np.array_equal(tensors[name], ours)


def test_a_changed_adapter_is_found(run, tmp_path):
    settings = Settings("float32", adapter=True)
    export(run, tmp_path / "out", settings)
    path = tmp_path / "out" / WEIGHTS
    tensors = load_file(path)
    tensors[sorted(tensors)[0]][0, 0] += 1
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(StopAndLook, match="differs in"):
        verify(("structure", "roundtrip"), tmp_path / "out", open_checkpoint(run), settings)
    tensors.popitem()
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(StopAndLook, match="other adapters"):
        verify(("structure",), tmp_path / "out", open_checkpoint(run), settings)


def test_a_run_that_trained_more_is_merged_only(run, tmp_path):
    claim = json.loads((run / "config.json").read_text())
    claim["config"]["train"]["trained"] = ["merger"]
    other = tmp_path / "run"
    import shutil

    shutil.copytree(run, other)
    (other / "config.json").write_text(json.dumps(claim))
    with pytest.raises(UserError, match="trained merger beside its adapters"):
        export(other, tmp_path / "out", Settings(adapter=True))
    with pytest.raises(UserError, match="not verified at level 'transformers'"):
        export(run, tmp_path / "out", Settings(adapter=True, verify=("transformers",)))


def test_peft_loads_them_beside_the_base(run, parameters, tmp_path):
    torch = pytest.importorskip("torch", reason="the parity extra is not installed (make test PARITY=1)")
    import peft
    from transformers import Qwen2_5_VLForConditionalGeneration

    export(run, tmp_path / "adapter", Settings(adapter=True))
    export(run, tmp_path / "merged", Settings())
    # The base: the same student without its adapters.
    base = tmp_path / "base"
    source = open_checkpoint(run)
    frozen = {name: leaf for name, leaf in flatten_names(parameters).items() if ".lora." not in name}
    read = hub_reader(unflatten_names(frozen))
    make_student(base)
    save_file({tensor.name: read(tensor) for tensor in source.tensors()}, base / SINGLE_NAME, metadata={"format": "pt"})

    ids = torch.arange(3, 40)[None]
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(base).eval()
    with torch.no_grad():
        plain = model(input_ids=ids).logits
        adapted = peft.PeftModel.from_pretrained(model, tmp_path / "adapter").eval()
        names = {name for name, _ in adapted.named_parameters() if "lora_" in name}
        assert len(names) == 2 * 2 * source.config.text.num_hidden_layers  # and none in the vision tower
        beside = adapted(input_ids=ids).logits
        merged = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "merged").eval()(input_ids=ids).logits
    assert float((beside - plain).abs().max()) > 1e-2
    np.testing.assert_allclose(beside.numpy(), merged.numpy(), atol=2e-5 * float(merged.abs().max()))
