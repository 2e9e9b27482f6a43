"""A run with adapters leaves a checkpoint that exports as the merged model."""

import jax
import numpy as np
import optax

from octomed_jax import storage
from octomed_jax.checkpoints.store import CheckpointStore
from octomed_jax.hf.export import newest_parameters
from octomed_jax.models.compute import Compute
from octomed_jax.models.lora import LoRA, merge_lora
from octomed_jax.models.mesh import make_mesh
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.trained import Trained
from octomed_jax.models.trees import flatten_names
from octomed_jax.training.step import Student, initial_state
from tests.models.student import small_config

LORA = LoRA(2, 6.0, ("v", "down"))


def test_adapters_are_merged_at_export(tmp_path):
    student = Student(small_config(), Trained((), LORA), Compute())
    state = initial_state(student, optax.adam(1e-3), make_mesh({"data": 1, "fsdp": -1}), 0)
    state["parameters"] = jax.tree.map(lambda leaf: leaf + 0.01, state["parameters"])  # so that b is not zero
    store = CheckpointStore(tmp_path / "checkpoints", keep=1)
    store.save(3, state, "plan")
    store.close()

    settings = {"trained": [], "lora": {"rank": 2, "alpha": 6.0, "targets": ["v", "down"]}}
    manifest = storage.Manifest(stage="train", config={"train": settings}, inputs={}, counts={})
    merged = flatten_names(newest_parameters(tmp_path, manifest))
    assert set(merged) == set(flatten_names(split_model(small_config())[1]))
    expected = flatten_names(merge_lora(jax.device_get(state["parameters"]), LORA))
    for name, leaf in expected.items():
        np.testing.assert_allclose(np.asarray(merged[name]), leaf, rtol=1e-6)
    changed = flatten_names(jax.device_get(state["parameters"]))["text.layers.attention.v.kernel"]
    assert np.abs(np.asarray(merged["text.layers.attention.v.kernel"]) - changed).max() > 1e-4
