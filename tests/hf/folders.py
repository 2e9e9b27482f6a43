"""Model folders for tests."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax.numpy as jnp

from configs.demo import get_config
from octomed_jax.checkpoints.store import CheckpointStore
from octomed_jax.configuration import plain
from octomed_jax.hf.names import hub_tensors
from octomed_jax.hf.shards import DTYPES, forget_marks, plan_shards, write_shards
from octomed_jax.hf.student import write_student
from octomed_jax.manifests import Manifest
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, to_fields
from octomed_jax.storage import write_json
from tests.models.student import part_reader
from tests.tiny import tiny_config


def save_parameters(
    folder: Path, config: Qwen25VLConfig, parameters: dict, name: str = "float32", most: int = 10**9
) -> None:
    """Write config and weights, in files of at most ``most`` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    dtype = DTYPES[name]
    (folder / "config.json").write_text(json.dumps(to_fields(config, name)))

    write_shards(folder, plan_shards(hub_tensors(config, parameters), dtype, most), dtype, part_reader(parameters))
    forget_marks(folder)


def publish(folder: Path, student: tuple[Path, Qwen25VLConfig], parameters: dict, dtype="bfloat16", most=10**9) -> Path:
    """Write a whole folder as the hub has it, and return it."""
    save_parameters(folder, student[1], parameters, dtype, most)
    for path in student[0].iterdir():
        if path.name != "config.json":
            shutil.copyfile(path, folder / path.name)
    return folder


def save_run(
    workdir: Path, student: Path, parameters: dict, *, lora: dict | None = None, step: int = 3, access: str = "open"
) -> None:
    """Write what ``octomed train`` leaves: a checkpoint by Orbax, the student, the claim and the data's manifest."""
    config = plain(get_config("tiny"))
    train = config["train"] | ({"lora": lora, "trained": ()} if lora else {})
    claim = {"request": "a-run", "config": {"train": train, "answer_format": "boxed", "seed": 0}, "inputs": {}}
    shutil.copytree(student, workdir / "student")
    write_json(workdir / "config.json", claim)
    counts = {"records": 3, "examples": 5, "images": 1}
    sources = {"brain": {"questions": 3, "responses": 5}, "talks": {"questions": 1, "responses": 2, "published": 2}}
    teacher = {"model": "teacher/x", "programmatic": False, "prompt": "boxed-1", "terms": "MIT; may train others"}
    extra = {"sources": sources, "teachers": [teacher]}
    data = Manifest("shard", {}, counts=counts, licences=("CC-BY-4.0",), access=access, extra=extra)
    write_json(workdir / "data.json", dataclasses.asdict(data))
    store = CheckpointStore(workdir / "checkpoints", keep=2)
    store.save(step, {"parameters": parameters, "step": jnp.int32(step)}, "plan")
    store.close()


def make_student(folder: Path) -> Qwen25VLConfig:
    """Write the side files of the demo's smallest student."""
    config = tiny_config()
    config.student.text.update({"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2})
    config.student.text.update({"mrope_section": (4, 6, 6), "num_hidden_layers": 2})
    config.student.vision.update({"hidden_size": 64, "intermediate_size": 96, "num_heads": 2, "depth": 2})
    config.student.vision.fullatt_block_indexes = (1,)
    texts = ["Which plane is this? axial coronal sagittal", "<think>Asked: plane.</think>\n\n\\boxed{axial}"]
    return write_student(folder, config.student, texts * 3, config.shard)
