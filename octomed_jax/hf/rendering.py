"""How a student sees a set of shards: its tokenizer, and what every (record, response) takes with it.

``SHARDS/rendered/NAME`` holds the student's folder without weights and the index. The shards know nothing of a student:
another tokenizer, template or pixel limit is measured anew beside the first, and no shard is written again.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import manifests, prompts, schema, storage
from octomed_jax.errors import UserError
from octomed_jax.hf.base import STUDENT, student_identity
from octomed_jax.hf.student import write_student
from octomed_jax.inputs.render import INDEX, RENDER_VERSION, render_index, write_index
from octomed_jax.inputs.template import SYSTEM_LINE
from octomed_jax.progress import bar
from octomed_jax.traces.shards import ShardReader

STAGE = "render"
RENDERED = "rendered"


def render(config: ConfigDict, shards: storage.PathLike) -> manifests.Manifest:
    """Measure all examples of a folder of shards as a student sees them, unless that is done; write it beside them.

    Args:
        config: uses ``student``, the pixel limits of ``shard``, and ``distill.answer_format``.
        shards: what ``octomed shard`` wrote.

    Raises:
        UserError: there are no shards, or the base of the student is not there.
    """
    folder, request, inputs = _asked(config, Path(shards))
    if done := manifests.finished(folder, STAGE, request, inputs):
        return done
    with storage.staged_folder(folder) as staged:
        reader = ShardReader(Path(shards))
        student = Path(staged) / STUDENT
        write_student(student, config.student, _texts(reader, config.distill.answer_format), config.shard)
        with bar("shard: measuring", len(reader), "questions") as line:
            index = render_index(reader, student, config.distill.answer_format, line.advance)
        write_index(Path(staged) / INDEX, index)
        manifest = manifests.Manifest(
            stage=STAGE,
            config=request,
            inputs=inputs,
            counts={"examples": len(index), "tokens": int(index.tokens.sum()), "longest": int(index.tokens.max())},
            files=manifests.hash_files(staged),
        )
        manifests.write_manifest(staged, manifest)
    return manifest


def rendering(config: ConfigDict, shards: storage.PathLike) -> Path:
    """Return the folder in which a set of shards is rendered as a config asks for.

    Raises:
        UserError: there is none.
    """
    folder, request, _ = _asked(config, Path(shards))
    if manifests.is_finished(folder):
        return folder
    made = renderings(shards)
    if not made:
        raise UserError(f"{shards} was not rendered for a student yet; run `octomed shard`, which only measures it")
    changed = manifests.changes(manifests.read_manifest(made[-1], STAGE).config, request)
    raise UserError(
        f"{shards} was rendered for another student ({', '.join(changed[:2]) or 'other shards'}); run `octomed shard` "
        "again with this config, which only measures it, or give the config that it was made with"
    )


def renderings(shards: storage.PathLike) -> list[Path]:
    """Return the folders of all renderings of a set of shards."""
    return sorted(path.parent for path in (Path(shards) / RENDERED).glob(f"*/{manifests.MANIFEST}"))


def is_rendered(config: ConfigDict, shards: storage.PathLike) -> bool:
    """Return whether there are shards, rendered as a config asks for."""
    return manifests.is_finished(shards) and manifests.is_finished(_asked(config, Path(shards))[0])


def student_folder(config: ConfigDict, shards: storage.PathLike) -> Path:
    """Return the student's folder of ``rendering``: everything of a Hugging Face folder but the weights."""
    return rendering(config, shards) / STUDENT


def _asked(config: ConfigDict, shards: Path) -> tuple[Path, dict[str, Any], dict[str, str]]:
    """Return the folder of a rendering, and what it is made of."""
    request = {
        "render": RENDER_VERSION,
        "student": student_identity(config.student),
        "min_pixels": config.shard.min_pixels,
        "max_pixels": config.shard.max_pixels,
        "answer_format": config.distill.answer_format,
    }
    inputs = {"shard": manifests.read_manifest(shards, "shard").identity}
    return shards / RENDERED / manifests.request_of(STAGE, request, inputs)[:12], request, inputs


def _texts(records: Iterable[schema.Record], answer_format: str) -> Iterator[str]:
    """Yield what the vocabulary of a student of its own is trained on."""
    for record in records:
        yield f"system\n{SYSTEM_LINE}"
        yield f"user\n{prompts.user_text(record.question, answer_format)}"
        yield from (f"assistant\n{response}" for response in record.responses)
