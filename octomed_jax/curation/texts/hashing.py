"""Hashes of words and of runs of words, for whole buffers at once.

A word's hash mixes its bytes, eight at a time, and its length. The hash of n words in a row is the polynomial of their
hashes, sum(word[k] * BASE**k) modulo 2**64, found for all places at once by doubling: of 1, 2, 4, 8 ... words. So a run
costs log2(n) additions whatever its length, needs no powers of places, and texts may be cut into batches anywhere.

These hashes find; they decide nothing. Whoever removes a question for a hash compares the words themselves.

Legend: B bytes, L words, R runs of words, N ranges of words.
"""

import numpy as np
from jaxtyping import Int64, UInt8, UInt64

PADDING = 8  # bytes after a buffer, so that eight can be read at any place
BASE = 0x9E3779B97F4A7C15  # odd, with bits as random as any: the golden ratio

MASKS = np.array([(1 << (8 * count)) - 1 for count in range(9)], dtype=np.uint64)


def mix(values: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """Return values of which every bit hangs on every bit of the given ones, one to one (splitmix64's last step)."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def eight_bytes(data: UInt8[np.ndarray, "B"]) -> UInt64[np.ndarray, "B-7"]:
    """Return a view of a buffer that reads eight bytes at any place as one number."""
    return np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))


def word_hashes(data: UInt8[np.ndarray, "B"], words: Int64[np.ndarray, "L+1"]) -> UInt64[np.ndarray, "L"]:
    """Return a hash of each word.

    Args:
        data: the words with one space after each, and PADDING more bytes.
        words: where each begins, and where the next one would.
    """
    blocks, starts = eight_bytes(data), words[:-1]
    lengths = np.diff(words) - 1
    first = blocks[starts] & MASKS[np.minimum(lengths, 8)]
    hashes = mix(first ^ (lengths.astype(np.uint64) * np.uint64(BASE)))
    left = np.flatnonzero(lengths > 8)
    done = 8
    while left.size:  # fewer and fewer words are as long
        block = blocks[starts[left] + done] & MASKS[np.minimum(lengths[left] - done, 8)]
        hashes[left] = mix(hashes[left] * np.uint64(BASE) + block)
        done += 8
        left = left[lengths[left] > done]
    return hashes


def run_hashes(hashes: UInt64[np.ndarray, "L"], count: int) -> UInt64[np.ndarray, "R"]:
    """Return the hash of each run of ``count`` words, whatever texts they are of; none if there are fewer words."""
    places = len(hashes) - count + 1
    if places <= 0:
        return np.zeros(0, dtype=np.uint64)
    runs, done = np.zeros(places, dtype=np.uint64), 0
    power, size = hashes, 1
    while True:
        if count & size:
            runs += power[done : done + places] * _base_to(done)
            done += size
        if done == count:
            return runs
        power = power[:-size] + power[size:] * _base_to(size)
        size *= 2


def range_hashes(
    hashes: UInt64[np.ndarray, "L"], first: Int64[np.ndarray, "N"], last: Int64[np.ndarray, "N"], base: int = BASE
) -> UInt64[np.ndarray, "N"]:
    """Return a hash of the words from ``first`` to before ``last``, of any number; ranges stand in order."""
    lengths = last - first
    longest = int(lengths.max(initial=0))
    powers = np.ones(longest + 1, dtype=np.uint64)
    powers[1:] = base
    powers = np.cumprod(powers)
    places = np.arange(lengths.sum()) + np.repeat(first - np.cumsum(lengths) + lengths, lengths)
    sums = np.zeros(len(places) + 1, dtype=np.uint64)
    np.cumsum(hashes[places] * powers[places - np.repeat(first, lengths)], out=sums[1:])
    ends = np.cumsum(lengths)
    return mix(sums[ends] - sums[ends - lengths] + mix(lengths.astype(np.uint64)))


def _base_to(power: int) -> np.uint64:
    return np.uint64(pow(BASE, power, 1 << 64))
