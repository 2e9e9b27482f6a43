"""Shapes of prompts: few lengths and few sizes of images, so that few programs are compiled."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from octomed_jax.errors import UserError
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.rows import Bucket

LENGTHS = (128, 192, 256, 384, 512, 768, 1024, 2048, 4096, 8192, 16384, 32768)


def prompt_bucket(tokens: int, cells: int, spec: PatchSpec, unit: int = 1) -> Bucket:
    """Return the smallest bucket that holds a prompt of so many tokens and merged cells.

    Args:
        tokens, cells: of the prompt.
        spec: how images are cut.
        unit: lengths of tokens and of patches are multiples of this (what an attention kernel counts in).

    Raises:
        UserError: the prompt is longer than the longest.
    """
    length = next((length for length in LENGTHS if tokens <= length and length % unit == 0), None)
    if length is None:
        raise UserError(f"a prompt of {tokens} tokens is longer than the longest bucket, {LENGTHS[-1]}")
    slots = max(-(-cells // spec.slot_cells), -(-unit // spec.slot_patches)) if cells else 0
    return Bucket("prompts", length, spec.slot_cells * 2 ** (slots - 1).bit_length() if slots else 0)


def prompt_batches(
    sizes: Sequence[tuple[int, int]], most: int, spec: PatchSpec, unit: int = 1
) -> Iterator[tuple[Bucket, list[int]]]:
    """Yield which prompts are computed together, by number, at most ``most`` of one bucket; small buckets first.

    Args:
        sizes: tokens and merged cells of each prompt.
        most: prompts of a batch.
        spec, unit: as ``prompt_bucket``.

    Raises:
        UserError: a prompt is longer than the longest bucket.
    """
    groups: dict[Bucket, list[int]] = defaultdict(list)
    for number, (tokens, cells) in enumerate(sizes):
        groups[prompt_bucket(tokens, cells, spec, unit)].append(number)
    for bucket in sorted(groups, key=lambda bucket: (bucket.cells, bucket.tokens)):
        numbers = groups[bucket]
        for start in range(0, len(numbers), most):
            yield bucket, numbers[start : start + most]
