"""The one normal form in which questions are compared: words in lower case with single spaces, as one buffer of bytes.

Everything that is no letter or digit is a space; plain_letters.py says what becomes of what is not ASCII. Numbers keep
what tells them apart, as 0.5 mg is no 5 mg:

- a point or comma between digits stays, as a point (0,5 is 0.5), also a point before a digit that follows no word (.5);
- a comma before exactly three digits is a mark of thousands and goes (12,500 is 12500), but not after a lone 0;
- a minus stays where it stands before a number and after a space or bracket (-2.5, but 3-5 is two words).

The signs +, <, > and the arrows up and down are spaces too, but each text keeps a hash of them and of the words before
them: who asks whether two questions are the same compares it, who looks for shared words does not.

Texts are never touched word by word: Arrow's buffer goes through table look-ups, and only texts with characters beyond
ASCII are read in Python before.

Legend: B bytes, L words, N texts, C signs that are no letters or spaces, D of them dropped.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int64, UInt8, UInt64

from octomed_jax.curation.texts.hashing import PADDING, mix, word_hashes
from octomed_jax.curation.texts.plain_letters import FALLING, RISING, plain_letters

VERSION = "1"  # of the normal form and its signs: hashes of others are not to be compared with these
PIECE_BYTES = 1 << 20  # of text at a time: what is made of it on the way stays in the cache

_SPACE = 32
_POINT, _COMMA, _MINUS, _SIGNS = 1, 2, 3, 4  # of these and above it is asked what stands beside them
_NO_WORD = np.uint64(0x5851F42D4C957F2D)  # in place of the word before a sign that stands first


@dataclasses.dataclass(frozen=True)
class NormalTexts:
    """Texts in their normal form.

    Attributes:
        data: the words of all texts, one space after each, then PADDING bytes.
        words: where each word begins in ``data``, and where one more would.
        hashes: of each word.
        first, last: of each text its first word, and the word after its last; equal for a text without words.
        signs: of each text a hash of its signs and the words before them; 0 without.
    """

    data: UInt8[np.ndarray, "B"]
    words: Int64[np.ndarray, "L+1"]
    hashes: UInt64[np.ndarray, "L"]
    first: Int64[np.ndarray, "N"]
    last: Int64[np.ndarray, "N"]
    signs: UInt64[np.ndarray, "N"]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def lengths(self) -> Int64[np.ndarray, "N"]:
        """Words of each text."""
        return self.last - self.first

    def text(self, number: int) -> str:
        """Return one text in its normal form."""
        return self.between(int(self.first[number]), int(self.last[number]))

    def between(self, first: int, last: int) -> str:
        """Return the words from ``first`` to before ``last``."""
        return bytes(self.data[self.words[first] : self.words[last]]).decode().rstrip(" ")


def normalise(texts: "Sequence[str] | pa.Array | pa.ChunkedArray") -> NormalTexts:
    """Return texts in their normal form; null is an empty text."""
    column = as_array(texts, pa.large_string()).fill_null("")
    return concatenate([_normalise_piece(piece) for piece in _pieces(column)])


def as_array(values: "Sequence[object] | pa.Array | pa.ChunkedArray", kind: pa.DataType) -> pa.Array:
    """Return values, or a column, as one array of a kind."""
    if isinstance(values, pa.ChunkedArray):
        return values.cast(kind).combine_chunks()
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def concatenate(pieces: Sequence[NormalTexts]) -> NormalTexts:
    """Return texts of several pieces, in their order, as one; all words of a piece are kept, also those of no text."""
    if len(pieces) == 1:
        return pieces[0]
    data_ends = np.cumsum([0, *(piece.words[-1] for piece in pieces)])
    word_ends = np.cumsum([0, *(len(piece.words) - 1 for piece in pieces)])
    data = np.full(data_ends[-1] + PADDING, _SPACE, dtype=np.uint8)
    words = np.full(word_ends[-1] + 1, data_ends[-1], dtype=np.int64)
    for piece, place, word in zip(pieces, data_ends, word_ends, strict=False):
        data[place : place + piece.words[-1]] = piece.data[: piece.words[-1]]
        words[word : word + len(piece.words) - 1] = piece.words[:-1] + place
    none = np.zeros(0, dtype=np.uint64)
    shifts = list(zip(pieces, word_ends, strict=False))
    return NormalTexts(
        data,
        words,
        hashes=np.concatenate([none, *(piece.hashes for piece in pieces)]),
        first=np.concatenate([none.view(np.int64), *(piece.first + word for piece, word in shifts)]),
        last=np.concatenate([none.view(np.int64), *(piece.last + word for piece, word in shifts)]),
        signs=np.concatenate([none, *(piece.signs for piece in pieces)]),
    )


def _pieces(column: pa.Array) -> Iterator[pa.Array]:
    """Cut a column into pieces of some PIECE_BYTES; one piece at least."""
    ends = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
    start = 0
    while True:
        end = max(int(np.searchsorted(ends, ends[start] + PIECE_BYTES)), start + 1) if len(column) else 0
        yield column.slice(start, min(end, len(column)) - start)
        start = end
        if start >= len(column):
            return


def _normalise_piece(column: pa.Array) -> NormalTexts:
    """Return a small column in its normal form."""
    data, ends = _joined(column)
    signs = np.zeros(len(column), dtype=np.uint64)
    letters = np.frombuffer(bytes([_SPACE]) + data.translate(_TABLE) + bytes([_SPACE]) * PADDING, np.uint8).copy()
    starts = ends + 1  # of a space before all texts, so that every byte has one before it
    in_word = letters > _SPACE
    beside = np.flatnonzero(letters < _SPACE)
    kinds = letters[beside]
    dropped = _resolve(letters, in_word, beside, kinds)
    keep = in_word.copy()
    keep[1:] |= in_word[:-1]
    keep[dropped] = False
    word_ends = np.flatnonzero(in_word[:-1] & ~in_word[1:]) + 1
    kept = letters[keep]
    words = np.zeros(len(word_ends) + 1, dtype=np.int64)
    words[1:] = np.flatnonzero(kept == _SPACE) + 1
    kept = np.concatenate([kept, np.full(PADDING, _SPACE, dtype=np.uint8)])
    hashes = word_hashes(kept, words)
    edges = np.searchsorted(word_ends, starts)
    marked = beside[kinds >= _SIGNS]
    if marked.size:
        text = np.searchsorted(starts, marked, side="right") - 1
        before = np.searchsorted(word_ends, marked, side="right") - 1
        _hash_signs(signs, kinds[kinds >= _SIGNS], text, np.where(before >= edges[text], before, -1), hashes)
    return NormalTexts(kept, words, hashes, edges[:-1], edges[1:], signs)


def _joined(column: pa.Array) -> tuple[bytes, Int64[np.ndarray, "N+1"]]:
    """Return all texts, a space after each, and where each begins; what is not ASCII has become letters."""
    data, ends = _buffer(column)
    if len(data) and data.max() >= 128:
        odd = np.maximum.reduceat(data, ends[:-1]) >= 128
        plain = [plain_letters(text) for text in column.filter(pa.array(odd)).to_pylist()]
        column = pc.replace_with_mask(column, pa.array(odd), pa.array(plain, pa.large_string()))
        data, ends = _buffer(column)
    return data.tobytes(), ends


def _buffer(column: pa.Array) -> tuple[UInt8[np.ndarray, "B"], Int64[np.ndarray, "N+1"]]:
    nothing, space = (pa.scalar(text, pa.large_string()) for text in ("", " "))
    spaced = pc.binary_join_element_wise(column, nothing, space)  # a text, a space, and nothing
    ends = np.frombuffer(spaced.buffers()[1], np.int64)[spaced.offset : spaced.offset + len(spaced) + 1]
    data = np.frombuffer(spaced.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    return data, ends - ends[0]


def _resolve(
    letters: UInt8[np.ndarray, "B"],
    in_word: Bool[np.ndarray, "B"],
    beside: Int64[np.ndarray, "C"],
    kinds: UInt8[np.ndarray, "C"],
) -> Int64[np.ndarray, "D"]:
    """Decide in place which points, commas and dashes belong to a number; return the places of those that go."""
    before, after = letters[beside - 1], letters[beside + 1]
    digit_before, digit_after = _is_digit(before), _is_digit(after)
    point = (kinds == _POINT) & digit_after & (digit_before | ((before <= _SPACE) & (before != _POINT)))
    comma = (kinds == _COMMA) & digit_before & digit_after
    minus = (kinds == _MINUS) & (before == _SPACE)
    minus &= digit_after | ((after == _POINT) & _is_digit(letters[beside + 2]))
    at = beside[comma]
    thousands = np.zeros(len(beside), dtype=bool)
    thousands[comma] = _is_digit(letters[at + 2]) & _is_digit(letters[at + 3]) & ~_is_digit(letters[at + 4])
    thousands[comma] &= (letters[at - 1] != ord("0")) | _is_digit(letters[at - 2])
    letters[beside] = _SPACE
    letters[beside[point | comma]] = ord(".")
    letters[beside[minus]] = ord("-")
    in_word[beside[point | comma | minus]] = True
    return beside[thousands]


def _is_digit(letters: UInt8[np.ndarray, "C"]) -> Bool[np.ndarray, "C"]:
    return (letters - np.uint8(ord("0"))) < 10


def _hash_signs(
    signs: UInt64[np.ndarray, "N"],
    kinds: UInt8[np.ndarray, "C"],
    text: Int64[np.ndarray, "C"],
    before: Int64[np.ndarray, "C"],
    hashes: UInt64[np.ndarray, "L"],
) -> None:
    """Put into ``signs`` a hash of each text's signs, in their order, with the words before them (-1: none)."""
    texts, starts, counts = np.unique(text, return_index=True, return_counts=True)
    order = np.arange(len(text)) - np.repeat(starts, counts)
    padded = np.append(hashes, _NO_WORD)
    signs[texts] = np.add.reduceat(mix(padded[before] ^ mix(order.astype(np.uint64) * np.uint64(256) + kinds)), starts)


def _table() -> bytes:
    table = bytearray([_SPACE] * 128 + list(range(128, 256)))  # beyond ASCII only letters are left
    for letter in "0123456789abcdefghijklmnopqrstuvwxyz":
        table[ord(letter)] = table[ord(letter.upper())] = ord(letter)
    for sign, kind in zip(".,-", (_POINT, _COMMA, _MINUS), strict=True):
        table[ord(sign)] = kind
    for kind, sign in enumerate(["+", "<", ">", RISING, FALLING], start=_SIGNS):
        table[ord(sign)] = kind
    return bytes(table)


_TABLE = _table()
