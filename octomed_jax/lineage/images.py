"""Whether the images in a table are those that their hashes name."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from octomed_jax.storage import sha256_bytes


def wrong_images(table: pa.Table, pool: ThreadPoolExecutor) -> Iterator[tuple[str, str]]:
    """Yield the id of each question whose images are not those of its hashes, and what is wrong.

    Args:
        table: with ``id``, ``image`` and ``image_hash``.
        pool: hashes them.
    """
    data = [
        [memoryview(image["bytes"].as_buffer() or b"") for image in row] if row.is_valid else []
        for row in _lists(table["image"])
    ]
    found = iter(list(pool.map(sha256_bytes, [one for row in data for one in row])))
    for name, row, hashes in zip(table["id"].to_pylist(), data, table["image_hash"].to_pylist(), strict=True):
        digests = [next(found) for _ in row]
        if len(digests) != len(hashes or ()):
            yield name, f"has {len(digests)} images and {len(hashes or ())} hashes of images"
        elif digests != list(hashes or ()):
            place = next(place for place, pair in enumerate(zip(digests, hashes, strict=True)) if pair[0] != pair[1])
            yield name, f"has an image {place} that is not the one of its image_hash"


def _lists(column: pa.ChunkedArray) -> Iterator[pa.ListScalar]:
    for chunk in column.chunks:
        yield from chunk
