"""The folder that a student starts from: which of its files travel along, and what it says about itself."""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from ml_collections import ConfigDict

from octomed_jax import storage
from octomed_jax.configuration import plain
from octomed_jax.errors import UserError
from octomed_jax.inputs.conversation import chat_template

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
IMPORTED = "student"  # where an import keeps them


def copy_side_files(source: Path, target: Path) -> list[str]:
    """Copy tokenizer, processor and config files byte for byte; return their names."""
    target.mkdir(parents=True, exist_ok=True)
    names = [name for name in SIDE_FILES if (source / name).is_file()]
    for name in names:
        shutil.copyfile(source / name, target / name)
    return names


def copy_base(source: Path, target: Path) -> None:
    """Copy the side files of a student, and what is known of the model that they are of."""
    copy_side_files(source, target)
    storage.write_json(target / BASE, describe_base(source))


def describe_base(folder: Path) -> dict[str, Any]:
    """Return the model, revision and licence that a Hugging Face folder names, in its card or by where it lies."""
    if (folder / BASE).is_file():
        return storage.read_json(folder / BASE)
    repository, snapshots = folder.resolve().parent.parent.name, folder.resolve().parent.name
    if snapshots == "snapshots" and repository.startswith("models--"):
        model, revision = repository.removeprefix("models--").replace("--", "/"), folder.resolve().name
    else:
        model, revision = folder.resolve().name, None
    return {"model": model, "revision": revision, "licence": _licence(folder / "README.md")}


def _licence(card: Path) -> dict[str, str]:
    """Return the licence fields of a model card, in the hub's spelling."""
    found = re.match(r"---\n(.*?)\n---\n", card.read_text(errors="replace"), re.DOTALL) if card.is_file() else None
    try:
        fields = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return {}
    if not isinstance(fields, dict):
        return {}
    return {name: str(fields[name]) for name in ("license", "license_name", "license_link") if name in fields}


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
    return base / IMPORTED if (base / IMPORTED / "config.json").is_file() else base


def student_identity(config: ConfigDict) -> dict[str, Any]:
    """Return what a student depends on: its sizes, or the files of its base (by name, size and, but weights, hash)."""
    if not config.base:
        return plain(config)
    base = base_folder(config)
    if side_folder(base) != base:
        return {"base": storage.read_manifest(base, "import").identity}
    files = sorted(path for path in base.iterdir() if path.is_file() and not path.name.startswith("."))
    described = [
        [path.name, path.stat().st_size, "" if path.suffix == ".safetensors" else storage.sha256_file(path)]
        for path in files
    ]
    return {"base": storage.fingerprint(described)}


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
