"""Shapes of prompts: few lengths and few sizes of images, so that few programs are compiled."""

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
