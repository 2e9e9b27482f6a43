"""What a corpus holds as sorted hashes, so that two can be compared without reading either again: ``keys.npz``.

Legend: U different questions, D different ids, N different images or other values.
"""

import dataclasses
import zipfile
from array import array
from collections.abc import Sequence

import numpy as np
from etils import epath
from jaxtyping import UInt64

from octomed_jax.curation.texts.exact import exact_keys
from octomed_jax.curation.texts.guards import text_guard
from octomed_jax.curation.texts.question_texts import question_texts
from octomed_jax.errors import StopAndLook
from octomed_jax.schema import Question
from octomed_jax.storage import sha256_bytes, whole_file

KEYS_FILE = "keys.npz"
BATCH = 1000  # questions whose texts are brought into their normal form together


@dataclasses.dataclass(frozen=True)
class Keys:
    """Hashes of what is in a corpus, each once, ascending.

    Attributes:
        ids: of the ids of its questions.
        questions: of their words, options in any order, and images: 128 bits.
        images: the first 64 bits of their SHA-256.
    """

    ids: UInt64[np.ndarray, "D"]
    questions: UInt64[np.ndarray, "U 2"]
    images: UInt64[np.ndarray, "N"]


class KeyCounter:
    """Takes questions one by one; holds 24 bytes of each, and 8 of each of its images."""

    def __init__(self) -> None:
        self._ids, self._images = array("Q"), array("Q")
        self._keys: list[np.ndarray] = []
        self._waiting: list[tuple[str, Sequence[str], str]] = []

    def add(self, question: Question) -> None:
        """Add a question."""
        hashes = image_hashes(question)
        self._ids.append(short(sha256_bytes(question.id.encode())))
        self._images.extend(map(short, hashes))
        self._waiting.append((question.question, question.options, " ".join(hashes)))
        if len(self._waiting) == BATCH:
            self._flush()

    def keys(self) -> Keys:
        """Return all that was added, each once."""
        self._flush()
        questions = np.concatenate([np.zeros((0, 2), np.uint64), *self._keys])
        return Keys(_sorted(self._ids), np.unique(questions, axis=0), _sorted(self._images))

    def _flush(self) -> None:
        if self._waiting:
            texts, options, images = zip(*self._waiting, strict=True)
            self._keys.append(exact_keys(question_texts(texts, options), text_guard(images)))
            self._waiting.clear()


def image_hashes(question: Question) -> Sequence[str]:
    """Return the SHA-256 of each image of a question, worked out where the question does not tell it."""
    if len(question.image_hashes) == len(question.images):
        return question.image_hashes
    return [sha256_bytes(data) for data in question.images]


def short(digest: str) -> int:
    """Return the first 64 bits of a SHA-256 in hex."""
    return int(digest[:16], 16)


def _sorted(values: "array[int]") -> UInt64[np.ndarray, "N"]:
    return np.unique(np.frombuffer(values, np.uint64) if len(values) else np.zeros(0, np.uint64))


def shared(left: np.ndarray, right: np.ndarray) -> int:
    """Return how many are in both; each has every key once."""
    both = np.concatenate([left, right])
    return len(both) - len(np.unique(both, axis=0))


def write_keys(path: epath.Path, keys: Keys) -> None:
    """Write the hashes as plain arrays (no pickle), whole or not at all."""
    with whole_file(path) as file:
        np.savez(file, **{field.name: getattr(keys, field.name) for field in dataclasses.fields(Keys)})


def read_keys(path: epath.Path) -> Keys:
    """Read what ``write_keys`` wrote.

    Raises:
        StopAndLook: it is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Keys(**{field.name: arrays[field.name] for field in dataclasses.fields(Keys)})
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise StopAndLook(f"{path} is damaged ({error}); remove it and run `octomed data card` again") from error
