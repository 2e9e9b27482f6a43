"""How a student sees a set of shards: its tokenizer, and what every (record, response) takes with it.

The shards know nothing of a student. ``SHARDS/rendered/NAME`` holds the index and the tokenizer that it was measured
with; another tokenizer, template, pixel limit or answer format is measured anew beside it, and no shard is written
again. What does not decide the rendering does not name it: students of all sizes with one tokenizer share it.
``SHARDS/students/NAME`` holds a student's folder without weights.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import manifests, prompts, schema, storage
from octomed_jax.configuration import answer_format_of
from octomed_jax.errors import UserError
from octomed_jax.executor import run_pieces
from octomed_jax.hf.base import STUDENT, base_folder, side_folder, student_identity
from octomed_jax.hf.student import write_student, write_student_with
from octomed_jax.inputs.index_files import write_index
from octomed_jax.inputs.plan import ExampleIndex
from octomed_jax.inputs.render import RENDER_VERSION, joined, measure_piece, pieces_of, read_patch_spec
from octomed_jax.inputs.template import SYSTEM_LINE
from octomed_jax.progress import bar
from octomed_jax.traces.choose import check_written
from octomed_jax.traces.shards import ShardReader

STAGE = "render"
STUDENT_STAGE = "student"
RENDERED, STUDENTS = "rendered", "students"
TOKENIZER = "tokenizer.json"
WORK = "work"  # in an unfinished rendering: what is thrown away at its end


def render(config: ConfigDict, shards: storage.PathLike, engine: str = "local", workers: int = 0) -> manifests.Manifest:
    """Measure all examples of a folder of shards as a student sees them, unless that is done; write it beside them.

    Killed at any moment and called again, it measures only the rest. The result is the same for all engines and any
    number of workers.

    Args:
        config: uses ``student``, the pixel limits of ``shard``, and the student's answer format.
        shards: what ``octomed shard`` wrote.
        engine: where ranges of records are measured, one of ``executor.ENGINES``.
        workers: at a time; 0: as many as there are cores.

    Raises:
        UserError: there are no shards, or the base of the student is not there.
        StopAndLook: a shard is damaged.
    """
    shards = Path(shards)
    folder, request, inputs = _asked(config, shards)
    manifest = manifests.finished(folder, STAGE, request, inputs)
    if not manifest:
        with storage.staged_folder(folder, manifests.request_of(STAGE, request, inputs)) as staged:
            manifest = _render(config, shards, Path(staged), request, inputs, engine, workers)
    _write_student(config, shards, folder)
    return manifest


def rendering(config: ConfigDict, shards: storage.PathLike) -> Path:
    """Return the folder in which a set of shards is rendered as a config asks for.

    Raises:
        UserError: there is none, or the shards hold other traces than the config asks for.
    """
    check_written(config, shards)
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
    """Return whether there are shards, rendered as a config asks for, and its student's folder."""
    if not manifests.is_finished(shards):
        return False
    folder, *_ = _asked(config, Path(shards))
    return manifests.is_finished(folder) and manifests.is_finished(_student(config, Path(shards), folder)[0])


def student_folder(config: ConfigDict, shards: storage.PathLike) -> Path:
    """Return the student's folder for a set of shards: everything of a Hugging Face folder but the weights.

    Raises:
        UserError: they were not rendered for it.
    """
    folder, *_ = _student(config, Path(shards), rendering(config, shards))
    if not manifests.is_finished(folder):
        raise UserError(
            f"{shards} was rendered for a student of other sizes with the same tokenizer; run `octomed shard` again "
            "with this config, which measures nothing anew"
        )
    return folder / STUDENT


def _render(
    config: ConfigDict,
    shards: Path,
    staged: Path,
    request: dict[str, Any],
    inputs: dict[str, str],
    engine: str,
    workers: int,
) -> manifests.Manifest:
    """Measure into a staged folder what is not measured there yet."""
    reader, answer_format = ShardReader(shards), answer_format_of(config)
    student = staged / WORK / STUDENT
    if not student.is_dir():
        begun = staged / WORK / "begun"
        shutil.rmtree(begun, ignore_errors=True)
        write_student(begun, config.student, _texts(reader, answer_format), config.shard)
        begun.rename(student)
    index = _measured(len(reader), shards, student, answer_format, staged / WORK, engine, workers)
    write_index(staged, index)
    shutil.copyfile(student / TOKENIZER, staged / TOKENIZER)
    shutil.rmtree(staged / WORK)
    manifest = manifests.Manifest(
        stage=STAGE,
        config=request,
        inputs=inputs,
        counts={"examples": len(index), "tokens": int(index.tokens.sum()), "longest": int(index.tokens.max())},
        files={name: digest for name, digest in manifests.hash_files(staged).items() if not name.startswith(".")},
    )
    manifests.write_manifest(staged, manifest)
    return manifest


def _measured(
    records: int, shards: Path, student: Path, answer_format: str, folder: Path, engine: str, workers: int
) -> ExampleIndex:
    """Return the index of all records; what is done of it lies in ``folder``."""
    pieces = pieces_of(records, shards, student, answer_format, folder)
    left = [piece for piece in pieces if not Path(piece.output).exists()]
    done = records - sum(piece.last - piece.first for piece in left)
    with bar("shard: measuring", records, "questions", done) as line:
        for piece, _ in run_pieces(measure_piece, left, engine, workers):
            line.advance(piece.last - piece.first)
    return joined(pieces)


def _write_student(config: ConfigDict, shards: Path, rendered: Path) -> None:
    """Write a student's folder without weights, unless it is there."""
    folder, request, inputs = _student(config, shards, rendered)
    if manifests.finished(folder, STUDENT_STAGE, request, inputs):
        return
    with storage.staged_folder(folder) as staged:
        write_student_with(Path(staged) / STUDENT, config.student, rendered / TOKENIZER, config.shard)
        files = manifests.hash_files(staged)
        manifests.write_manifest(
            staged, manifests.Manifest(stage=STUDENT_STAGE, config=request, inputs=inputs, files=files)
        )


def _asked(config: ConfigDict, shards: Path) -> tuple[Path, dict[str, Any], dict[str, str]]:
    """Return the folder of a rendering, and what it is made of."""
    request = {
        "render": RENDER_VERSION,
        "student": _seen_with(config.student),
        "min_pixels": config.shard.min_pixels,
        "max_pixels": config.shard.max_pixels,
        "answer_format": answer_format_of(config),
    }
    inputs = {"shard": manifests.read_manifest(shards, "shard").identity}
    return shards / RENDERED / manifests.request_of(STAGE, request, inputs)[:12], request, inputs


def _student(config: ConfigDict, shards: Path, rendered: Path) -> tuple[Path, dict[str, Any], dict[str, str]]:
    """Return the folder of a student, and what it is made of."""
    request, inputs = {"student": student_identity(config.student)}, {STAGE: rendered.name}
    return shards / STUDENTS / manifests.request_of(STUDENT_STAGE, request, inputs)[:12], request, inputs


def _seen_with(student: ConfigDict) -> dict[str, Any]:
    """Return what of a student decides how it sees a record: of its own vocabulary the size, of a base the tokenizer.

    Raises:
        UserError: the base is not there, or lacks a file.
    """
    if not student.base:
        return {"vocab_size": student.vocab_size, "window_size": student.vision.window_size}
    side = side_folder(base_folder(student))
    spec = read_patch_spec(side)
    if not (side / TOKENIZER).is_file():
        raise UserError(f"no {TOKENIZER} in {side}; download it with the model")
    names = ("patch_size", "merge_size", "temporal_patch_size", "window_cells")
    return {TOKENIZER: storage.sha256_file(side / TOKENIZER), **{name: getattr(spec, name) for name in names}}


def _texts(records: Iterable[schema.Record], answer_format: str) -> Iterator[str]:
    """Yield what the vocabulary of a student of its own is trained on."""
    for record in records:
        yield f"system\n{SYSTEM_LINE}"
        yield f"user\n{prompts.user_text(record.question, answer_format)}"
        yield from (f"assistant\n{response}" for response in record.responses)
