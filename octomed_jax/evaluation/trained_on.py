"""What was trained on: the questions of folders of questions, of traces or of shards, by place."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath

from octomed_jax import manifests, progress
from octomed_jax.curation.corpus import Corpus, open_corpus
from octomed_jax.curation.curate import TRAIN_FILE
from octomed_jax.curation.decontaminate import TEXT_COLUMNS
from octomed_jax.errors import UserError
from octomed_jax.schema import QUESTION_SCHEMA, question_to_row
from octomed_jax.storage import PathLike
from octomed_jax.traces import lake
from octomed_jax.traces.grouped import LAKE
from octomed_jax.traces.shards import ShardReader

TRAINED_STAGES = (*manifests.QUESTION_STAGES, "verify", "shard")
_COLUMNS = ("id", *TEXT_COLUMNS, "image")
_SCHEMA = pa.schema([QUESTION_SCHEMA.field(name) for name in _COLUMNS])


@dataclasses.dataclass(frozen=True)
class Trained:
    """What was trained on, by place.

    Attributes:
        corpus: its questions.
        folders: of each of its files, the folder that was named.
        identities: folder to the identity of its manifest.
    """

    corpus: Corpus
    folders: Mapping[str, str]
    identities: Mapping[str, str]

    def folder_of(self, place: int) -> str:
        """Return the folder that a question is of."""
        starts = [group.first for group in self.corpus.groups]
        return self.folders[self.corpus.groups[int(np.searchsorted(starts, place, side="right")) - 1].path]


def open_trained(folders: Sequence[PathLike], scratch: Path, with_images: bool) -> Trained:
    """Open what was trained on; shards are written as a file of questions into ``scratch`` first.

    Raises:
        UserError: a folder is named twice, is missing or of another kind, or there are no questions.
        StopAndLook: a shard is damaged.
    """
    files: dict[str, str] = {}
    identities: dict[str, str] = {}
    for number, folder in enumerate(folders):
        manifest = manifests.read_manifest(folder, *TRAINED_STAGES)
        if manifest.identity in identities.values():
            raise UserError(f"--trained={folder} is named twice, or is a copy; name each folder once")
        identities[str(folder)] = manifest.identity
        if manifest.stage == "verify":
            paths = sorted((epath.Path(folder) / LAKE).glob("part-*.parquet"))
        elif manifest.stage == "shard":
            paths = [epath.Path(scratch / f"shards {number}.parquet")]
            lake.write_rows(paths[0], _records(ShardReader(folder), with_images), _SCHEMA)
        else:
            paths = [epath.Path(folder) / TRAIN_FILE]
        files |= {str(path): str(folder) for path in paths}
    corpus = open_corpus([epath.Path(path) for path in files])
    if not len(corpus):
        raise UserError(f"{', '.join(map(str, folders))} holds no questions to learn from")
    return Trained(corpus, files, identities)


def _records(reader: ShardReader, with_images: bool) -> Iterator[dict[str, Any]]:
    for record in progress.track(reader, "reading shards", len(reader), "records"):
        row = question_to_row(record.question)
        yield {name: row[name] if with_images or name != "image" else [] for name in _COLUMNS}
