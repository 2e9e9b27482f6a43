"""What can be exported: a training run's newest checkpoint, one of its others, or what was imported."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from octomed_jax import manifests, storage
from octomed_jax.checkpoints.parameters import SavedParameters
from octomed_jax.errors import UserError
from octomed_jax.hf.base import BASE, STUDENT
from octomed_jax.hf.names import HubTensor, hub_tensors
from octomed_jax.hf.source import PARAMETERS
from octomed_jax.models.lora import LoRA
from octomed_jax.models.options import trained_of
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, read_config
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.schema import ACCESS_CLASSES

# In a run's folder: the manifest of the shards that it reads, and what an epoch holds of each source.
DATA, MIXTURE = "data.json", "mixture.json"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Parameters on disk, and what is known of them.

    Attributes:
        saved: the parameters, read when they are wanted.
        student: the folder with config, tokenizer and processor files.
        config: the architecture.
        lora: how the adapters beside them were made, if there are any.
        request: what names exactly these parameters, for an export's manifest.
        run: settings of the run that made them; empty for an import.
        data: the manifest of its shards, likewise.
        base: what ``hf.base.describe_base`` says of where it started; empty for random weights.
        dtype: that an export has where none is asked for.
        mixture: what an epoch of the run holds of each source; empty where it is not known.
    """

    saved: SavedParameters
    student: Path
    config: Qwen25VLConfig
    lora: LoRA | None
    request: Mapping[str, Any]
    run: Mapping[str, Any]
    data: Mapping[str, Any]
    base: Mapping[str, Any]
    dtype: str
    mixture: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def left_out(self) -> frozenset[str]:
        """Sources of its data of which no epoch holds anything."""
        return frozenset(row["source"] for row in self.mixture.get("sources", ()) if not row["examples_an_epoch"])

    @property
    def made_of(self) -> dict[str, Mapping[str, Any]]:
        """What its data say of the sources that are in it: those that it learned from.

        A vocabulary of its own was made of the texts of all sources.
        """
        sources = self.data.get("extra", {}).get("sources", {})
        return {name: one for name, one in sources.items() if not self.base or name not in self.left_out}

    @property
    def access(self) -> str:
        """The strictest access class of its data and of its base's."""
        classes = self._told("access") or [self.data.get("access", "open")]
        return max([*classes, self.base.get("access", "open")], key=ACCESS_CLASSES.index)

    @property
    def licences(self) -> tuple[str, ...]:
        """Those of its data and of its base's."""
        told = self._told("licences")
        own = {name for one in told for name in one} if told else self.data.get("licences", ())
        return tuple(sorted({*own, *self.base.get("data_licences", ())}))

    def _told(self, name: str) -> list[Any]:
        """Return what each source in it is said to have; nothing where it is all, or where one does not say it."""
        sources = self.made_of
        if len(sources) == len(self.data.get("extra", {}).get("sources", {})):
            return []  # what the shards say as a whole
        told = [one.get(name) for one in sources.values()]
        return told if all(told) else []

    def tensors(self) -> list[HubTensor]:
        """Return the tensors of the merged model, in the order of the published index."""
        return list(hub_tensors(self.config, split_model(self.config)[1]))

    def read(self, tensor: HubTensor) -> np.ndarray:
        """Return what a tensor is in our layout, adapters merged (in float32, as ``models.lora.merge_lora``)."""
        part = self.saved.read(tensor.ours, tensor.layer)
        a, b = [f"{tensor.ours.removesuffix('kernel')}lora.{side}" for side in "ab"]
        if self.lora and a in self.saved.shapes:
            change = self.saved.read(a, tensor.layer) @ self.saved.read(b, tensor.layer)
            part = part.astype(np.float32) + change * np.float32(self.lora.scale)
        return part


def open_checkpoint(folder: Path) -> Checkpoint:
    """Open what ``octomed train`` or ``octomed import`` wrote; of a run also one step, ``WORKDIR/checkpoints/STEP``.

    Raises:
        UserError: nothing of the kind lies there, or no step is saved yet.
        StopAndLook: it is damaged.
    """
    folder = folder.resolve()
    if (folder / PARAMETERS).is_dir():
        return _imported(folder)
    if (folder / "checkpoints").is_dir():
        return _of_run(folder, _newest(folder))
    if folder.parent.name == "checkpoints" and folder.name.isdigit() and folder.is_dir():
        return _of_run(folder.parent.parent, folder)
    raise UserError(f"no checkpoint in {folder}; give the folder of `octomed train` or `octomed import`")


def _imported(folder: Path) -> Checkpoint:
    manifest = manifests.read_manifest(folder, "import")
    student = folder / STUDENT
    config, base = read_config(student), storage.read_json(student / BASE)
    saved = SavedParameters(folder / PARAMETERS, once=True)
    request, dtype = {"import": manifest.identity}, manifest.extra["dtype"]
    return _checked(Checkpoint(saved, student, config, None, request, {}, {}, base, dtype), folder)


def _of_run(folder: Path, step: Path) -> Checkpoint:
    student, claim = folder / STUDENT, storage.read_json(folder / "config.json")
    base = storage.read_json(student / BASE) if (student / BASE).is_file() else {}
    fields = storage.read_json(student / "config.json")
    mixture = folder / MIXTURE
    checkpoint = Checkpoint(
        saved=SavedParameters(step / "state", below=PARAMETERS, once=True),
        student=student,
        config=read_config(student),
        lora=trained_of(claim["config"]["train"]).lora,
        request={"run": claim["request"], "step": int(step.name)},
        run=claim["config"],
        data=storage.read_json(folder / DATA),
        base=base,
        dtype=fields.get("dtype") or fields.get("torch_dtype") or "bfloat16",
        mixture=storage.read_json(mixture) if mixture.is_file() else {},
    )
    return _checked(checkpoint, step)


def _newest(folder: Path) -> Path:
    # Orbax gives a step its name when it is whole.
    steps = [path for path in (folder / "checkpoints").iterdir() if path.name.isdigit()]
    if not steps:
        raise UserError(f"no checkpoint in {folder}; train first with `octomed train`")
    return max(steps, key=lambda path: int(path.name))


def _checked(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    """Refuse parameters that are not those of the config.

    Raises:
        UserError: they are not.
    """
    tensors = checkpoint.tensors()
    lacking = sorted({tensor.ours for tensor in tensors} - checkpoint.saved.shapes.keys())
    if lacking:
        raise UserError(f"the checkpoint in {folder} lacks {lacking[0]} ({len(lacking)} parameters in all)")
    return checkpoint
