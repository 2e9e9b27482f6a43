"""The folder that a student starts from: which of its files travel along, and what it says about itself."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from ml_collections import ConfigDict

from octomed_jax import manifests, places, storage
from octomed_jax.configuration import plain
from octomed_jax.errors import UserError
from octomed_jax.inputs.conversation import chat_template
from octomed_jax.inputs.render import read_patch_spec
from octomed_jax.inputs.tokenizer import load_tokenizer

# What travels with a model from import to export, byte for byte, where the folder has it; weights apart.
SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
    "LICENSE",
)
BASE = "base.json"  # beside them: which model they are of; read by the model card of an export
STUDENT = "student"  # where shards, a run and an import keep them


def copy_side_files(source: Path, target: Path) -> list[str]:
    """Copy tokenizer, processor and config files byte for byte; return their names.

    Raises:
        UserError: one is a link that leads out of the folder.
    """
    target.mkdir(parents=True, exist_ok=True)
    names = [name for name in SIDE_FILES if (source / name).is_file()]
    for name in names:
        shutil.copyfile(places.inside(source, name), target / name)
    return names


def check_side_files(folder: Path) -> None:
    """Read the tokenizer, the processor's config and the chat template of a model's folder.

    Raises:
        UserError, StopAndLook: one is missing or cannot be read.
    """
    load_tokenizer(folder)
    read_patch_spec(folder)
    chat_template(folder)


def copy_base(source: Path, target: Path) -> None:
    """Copy the side files of a student, and what is known of the model that they are of."""
    copy_side_files(source, target)
    storage.write_json(target / BASE, describe_base(source))


def describe_base(folder: Path) -> dict[str, Any]:
    """Return what a Hugging Face folder says of itself.

    Returns:
        model, revision; licence (fields of its card); access class and licences of the data it was trained on, where
        it is an export of ours.
    """
    if (folder / BASE).is_file():
        return storage.read_json(folder / BASE)
    repository, snapshots = folder.resolve().parent.parent.name, folder.resolve().parent.name
    if snapshots == "snapshots" and repository.startswith("models--"):
        model, revision = repository.removeprefix("models--").replace("--", "/"), folder.resolve().name
    else:
        model, revision = folder.resolve().name, None
    ours = storage.read_json(folder / manifests.MANIFEST) if (folder / manifests.MANIFEST).is_file() else {}
    if not isinstance(ours, dict) or ours.get("stage") != "export":
        ours = {}  # of somebody else, whatever it says
    return {
        "model": model,
        "revision": revision,
        "licence": _licence(folder / "README.md"),
        "access": ours.get("access", "open"),
        "data_licences": list(ours.get("licences", ())),
    }


def _licence(card: Path) -> dict[str, str]:
    """Return the licence fields of a model card, in the hub's spelling."""
    found = re.match(r"---\n(.*?)\n---\n", card.read_text(errors="replace"), re.DOTALL) if card.is_file() else None
    try:
        fields = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return {}
    if not isinstance(fields, dict):
        return {}
    names = [name for name in ("license", "license_name", "license_link") if name in fields]
    return {name: " ".join(str(fields[name]).split()) for name in names}


def base_folder(config: ConfigDict) -> Path:
    """Return the folder of ``student.base``: a Hugging Face folder, or what ``octomed import`` wrote.

    Raises:
        UserError: there is no such folder.
    """
    base = Path(config.base)
    if not base.is_dir():
        raise UserError(
            f"student.base={config.base!r} is no folder; give a Hugging Face folder or one of `octomed import`"
        )
    return base


def side_folder(base: Path) -> Path:
    """Return where the side files of a base lie."""
    return base / STUDENT if (base / STUDENT / "config.json").is_file() else base


def student_identity(config: ConfigDict) -> dict[str, Any]:
    """Return what a student's folder depends on: its sizes, or the side files of its base by hash. Weights do not."""
    if not config.base:
        return plain(config)
    side = side_folder(base_folder(config))
    return {"base": storage.fingerprint([[name, storage.sha256_file(side / name)] for name in side_names(side)])}


def side_names(folder: Path) -> list[str]:
    """Return the side files that a folder has."""
    return [name for name in SIDE_FILES if (folder / name).is_file()]


def weights_identity(base: Path) -> str:
    """Return what names the weights of a base: of an import its manifest's identity, of a Hugging Face folder a hash.

    The hash takes sizes, the tensors' names and shapes and a hundred pieces of each file: enough to tell one training
    from another without reading tens of gigabytes.
    """
    if side_folder(base) != base:
        return manifests.read_manifest(base, "import").identity
    files = sorted(path for path in base.iterdir() if path.suffix == ".safetensors")
    return storage.fingerprint([[path.name, path.stat().st_size, _sampled(path)] for path in files])


def _sampled(path: Path) -> str:
    size, digest = path.stat().st_size, hashlib.sha256()
    with path.open("rb") as file:
        for number in range(100):
            file.seek(number * size // 100)
            digest.update(file.read(65536))
    return digest.hexdigest()


def state_dtype(path: Path, dtype: str) -> None:
    """Say in ``config.json`` which dtype the weights have, wherever it says one; unchanged, the file stays as it is."""
    fields = storage.read_json(path)
    before = storage.canonical_json(fields)
    if not {"torch_dtype", "dtype"} & fields.keys():
        fields["torch_dtype"] = dtype
    for part in (fields, fields.get("text_config", {}), fields.get("vision_config", {})):
        part.update(dict.fromkeys({"torch_dtype", "dtype"} & part.keys(), dtype))
    if storage.canonical_json(fields) != before:
        storage.write_text(path, json.dumps(fields, indent=2, ensure_ascii=False) + "\n")


def both_template_forms(folder: Path) -> None:
    """Write the chat template in the form that a folder lacks: older tools read the one, newer ones the other.

    Raises:
        UserError: the folder has no chat template.
    """
    template = chat_template(folder)
    if not (folder / "chat_template.jinja").is_file():
        storage.write_text(folder / "chat_template.jinja", template)
    if not (folder / "chat_template.json").is_file():
        storage.write_json(folder / "chat_template.json", {"chat_template": template})
