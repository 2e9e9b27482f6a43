"""The index of a set of shards: what every (record, response) takes, and the hash of what rendered it."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.builder import ExampleBuilder
from octomed_jax.inputs.plan import ExampleIndex
from octomed_jax.inputs.tokenizer import load_tokenizer
from octomed_jax.schema import Record
from octomed_jax.storage import fingerprint, read_json, sha256_file

INDEX = "index.npz"
COLUMNS = {  # of an ExampleIndex
    **dict.fromkeys(("record", "response", "tokens", "patches", "cells", "images", "source"), np.int32),
    **dict.fromkeys(("window_pairs", "frame_pairs"), np.int64),
}
RENDER_VERSION = 5  # of the template, the positions, the window layout and the columns of the index


def read_patch_spec(folder: str | Path) -> PatchSpec:
    """Read how a student folder cuts images: preprocessor_config.json, and the window of config.json.

    Raises:
        UserError: a file is missing.
    """
    fields = {}
    for name in ("preprocessor_config.json", "config.json"):
        path = Path(folder) / name
        if not path.is_file():
            raise UserError(f"no {name} in {folder}; a student folder holds one")
        fields[name] = read_json(path)
        if not isinstance(fields[name], dict):
            raise UserError(f"{path} is no JSON object")
    pixels, vision = fields["preprocessor_config.json"], fields["config.json"].get("vision_config")
    if not isinstance(vision, dict):
        raise UserError(f"config.json in {folder} has no vision_config: it is not of Qwen2.5-VL")
    size = pixels.get("size") or {}
    patch, merge = pixels.get("patch_size", 14), pixels.get("merge_size", 2)
    return PatchSpec(
        patch_size=patch,
        merge_size=merge,
        temporal_patch_size=pixels.get("temporal_patch_size", 2),
        window_cells=vision.get("window_size", 112) // patch // merge,
        min_pixels=pixels.get("min_pixels") or size["shortest_edge"],
        max_pixels=pixels.get("max_pixels") or size["longest_edge"],
    )


def example_builder(student: str | Path, answer_format: str) -> ExampleBuilder:
    """Return what renders examples for a student folder."""
    return ExampleBuilder(load_tokenizer(student), read_patch_spec(student), answer_format)


def render_key(student: str | Path, answer_format: str) -> str:
    """Return the hash of everything that decides how a record becomes tokens and patches."""
    spec = read_patch_spec(student)
    tokenizer = sha256_file(Path(student) / "tokenizer.json")
    return fingerprint([RENDER_VERSION, tokenizer, [str(spec)], answer_format])


def render_index(
    records: Iterable[Record], student: str | Path, answer_format: str, advance: Callable[[], None] = lambda: None
) -> ExampleIndex:
    """Measure every (record, response), in order; ``advance`` is called once a record."""
    builder = example_builder(student, answer_format)
    columns: dict[str, list[int]] = {name: [] for name in COLUMNS}
    sources: dict[str, int] = {}
    for number, record in enumerate(records):
        source = sources.setdefault(record.question.benchmark, len(sources))
        for response, text in enumerate(record.responses):
            size = builder.measure(record.shown(response), text)
            entry = dataclasses.asdict(size) | {
                "record": number,
                "response": response,
                "images": len(record.question.images),
                "source": source,
            }
            for name, value in entry.items():
                columns[name].append(value)
        advance()
    arrays = {name: np.asarray(columns[name], dtype) for name, dtype in COLUMNS.items()}
    return ExampleIndex(**arrays, sources=tuple(sources), render_key=render_key(student, answer_format))


def write_index(path: Path, index: ExampleIndex) -> None:
    """Write the index as plain arrays (no pickle). Call inside a staged folder."""
    columns = {name: getattr(index, name) for name in COLUMNS}
    np.savez(path, **columns, sources=np.asarray(index.sources), render_key=np.asarray(index.render_key))


def read_index(folder: str | Path, student: str | Path, answer_format: str) -> ExampleIndex:
    """Read the index of a folder of shards.

    Raises:
        UserError: it was rendered with another tokenizer, template or pixel cap.
        StopAndLook: it is damaged.
    """
    path = Path(folder) / INDEX
    try:
        with np.load(path, allow_pickle=False) as arrays:
            index = ExampleIndex(
                **{name: arrays[name] for name in COLUMNS},
                sources=tuple(str(name) for name in arrays["sources"]),
                render_key=str(arrays["render_key"]),
            )
    except FileNotFoundError as error:
        raise UserError(f"no {INDEX} in {folder}; make it with `octomed shard`") from error
    except KeyError as error:
        raise UserError(f"{path} is of another version ({error.args[0]}); run `octomed shard` again") from error
    except (ValueError, OSError) as error:
        raise StopAndLook(f"{path} is damaged ({error}); write the shards again") from error
    if index.render_key != render_key(student, answer_format):
        raise UserError(
            f"{path} was rendered with another tokenizer, template or pixel limit than {student} has; "
            "run `octomed shard` again"
        )
    return index
