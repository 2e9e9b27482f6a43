"""What images were before they were changed: kept by their hashes, so that a changed copy is known by its source too.

The transform writes other bytes. Beside the questions lies ``image_sources.parquet``: of each image that it changed,
the SHA-256 before and after. A folder that is curated again hands the file on. Images that are the same by their bytes
are then those that any number of such changes lead to one file, or from one: a copy of 0.26 megapixels is known for the
held-out image that it was made of, and two copies of one source are one image.

Memory: 32 bytes for each image that was changed, and as much again where it was changed from.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath
from jaxtyping import UInt64

from octomed_jax.curation.groups import Groups
from octomed_jax.curation.pictures.images_of import KEY_DIGITS
from octomed_jax.curation.texts.exact import first_of_each, place_among
from octomed_jax.errors import StopAndLook
from octomed_jax.traces import lake

SOURCES_FILE = "image_sources.parquet"
SOURCES_SCHEMA = pa.schema([("image_hash", pa.string()), ("source_hash", pa.string())])


@dataclasses.dataclass(frozen=True)
class ImageSources:
    """Which keys of images' bytes stand for one image.

    Attributes:
        keys: of images that were changed, and of what they were; each once.
        firsts: of each key one of those that stand for the same image, the same for all of them.
    """

    keys: UInt64[np.ndarray, "K 2"] = dataclasses.field(default_factory=lambda: np.zeros((0, 2), dtype=np.uint64))
    firsts: UInt64[np.ndarray, "K 2"] = dataclasses.field(default_factory=lambda: np.zeros((0, 2), dtype=np.uint64))

    def of(self, keys: UInt64[np.ndarray, "I 2"]) -> UInt64[np.ndarray, "I 2"]:
        """Return keys with one for all that stand for the same image; others as they are."""
        if not len(self.keys):
            return keys
        place = place_among(keys, self.keys)
        known = place >= 0
        found = keys.copy()
        found[known] = self.firsts[place[known]]
        return found


def read_sources(folders: Sequence[epath.Path]) -> pa.Table:
    """Return what the images of some folders of questions were, each pair of hashes once, sorted.

    Raises:
        StopAndLook: a file is damaged.
    """
    found = [SOURCES_SCHEMA.empty_table()]
    for path in [folder / SOURCES_FILE for folder in folders]:
        if path.exists():
            try:
                with path.open("rb") as source:
                    found.append(pq.read_table(source, columns=SOURCES_SCHEMA.names))
            except (pa.ArrowInvalid, OSError) as error:
                raise StopAndLook(f"{path} is damaged ({str(error).splitlines()[0][:120]}); make it again") from error
    return joined(found)


def joined(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the rows of some tables of SOURCES_SCHEMA, each once, sorted."""
    names = SOURCES_SCHEMA.names
    table = pa.concat_tables([SOURCES_SCHEMA.empty_table(), *tables])
    return table.group_by(names).aggregate([]).select(names).sort_by([(name, "ascending") for name in names])


def image_sources(table: pa.Table) -> ImageSources:
    """Return which keys stand for one image, by a table of SOURCES_SCHEMA."""
    if not table.num_rows:
        return ImageSources()
    pairs = np.stack([_keys(table[name]) for name in SOURCES_SCHEMA.names], axis=1)
    every = pairs.reshape(-1, 2)
    first = first_of_each(every)
    groups = Groups(len(every))
    groups.join(first.reshape(-1, 2))
    own = np.unique(first)
    return ImageSources(every[own], every[groups.first()[own]])


def write_sources(path: epath.Path, table: pa.Table) -> None:
    """Write a table of SOURCES_SCHEMA."""
    lake.write_table(path, table)


def _keys(hashes: pa.ChunkedArray) -> UInt64[np.ndarray, "K 2"]:
    digits = "".join(pc.utf8_slice_codeunits(hashes, 0, KEY_DIGITS).to_pylist())
    return np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64).reshape(-1, 2)
