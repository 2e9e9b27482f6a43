"""The images of a corpus by place: whose they are, and keys by which equal ones are found.

The key of an image's bytes is half of its SHA-256, which the questions file holds, so no image is read for it. Memory:
24 bytes an image.

Legend: I images, N questions.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int64, UInt64

from octomed_jax.curation.corpus import Corpus
from octomed_jax.curation.texts.hashing import mix

KEY_DIGITS = 32  # of the hexadecimal SHA-256: 128 bits


@dataclasses.dataclass(frozen=True)
class Images:
    """Images in the order of their questions.

    Attributes:
        owner: place of the question of each.
        keys: equal for images that count as the same.
    """

    owner: Int64[np.ndarray, " I"]
    keys: UInt64[np.ndarray, "I 2"]

    def of(self, questions: Bool[np.ndarray, " N"]) -> "Images":
        """Return those of some questions."""
        mine = questions[self.owner]
        return Images(self.owner[mine], self.keys[mine])


def images_by_bytes(corpus: Corpus) -> Images:
    """Return the images of a corpus; those of equal bytes have equal keys."""
    owners, keys = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 2), dtype=np.uint64)]
    for first, table in corpus.tables(["image_hash"], "reading hashes of images"):
        owner, found = byte_keys(table["image_hash"])
        owners.append(owner + first)
        keys.append(found)
    return Images(np.concatenate(owners), np.concatenate(keys))


def byte_keys(hashes: "pa.Array | pa.ChunkedArray") -> tuple[Int64[np.ndarray, " I"], UInt64[np.ndarray, "I 2"]]:
    """Return the row of each image in a column of lists of hexadecimal SHA-256, and the keys."""
    column = hashes.combine_chunks() if isinstance(hashes, pa.ChunkedArray) else hashes
    owner = pc.list_parent_indices(column).to_numpy()
    digits = "".join(pc.utf8_slice_codeunits(pc.list_flatten(column), 0, KEY_DIGITS).to_pylist())
    return owner, np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64).reshape(-1, 2)


def guard_of(images: Images, count: int) -> UInt64[np.ndarray, " N"]:
    """Return a number for each question: equal where its images are the same ones in the same order; 0 without any."""
    guard = np.zeros(count, dtype=np.uint64)
    starts = np.flatnonzero(np.diff(images.owner, prepend=-1))
    if not len(starts):
        return guard
    order = np.arange(len(images.owner)) - np.repeat(starts, np.diff(np.append(starts, len(images.owner))))
    mixed = mix(mix(images.keys[:, 0] + order.astype(np.uint64)) ^ images.keys[:, 1])
    guard[images.owner[starts]] = np.add.reduceat(mixed, starts)
    return guard
