"""Positions on three axes (M-RoPE) of one example.

Rule of transformers 4.57.1's ``get_rope_index`` for still images (all versions from 4.49 to 5.x agree on these): text
takes the same number on all axes; an image that starts at p takes time p, rows p + i, columns p + j over its merged
grid; the text after it goes on at p + max(rows, columns). Positions start at 0 for each example of a packed row.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32


def mrope_positions(
    token_ids: Int32[np.ndarray, "L"], image_token_id: int, cells: Sequence[tuple[int, int]]
) -> Int32[np.ndarray, "3 L"]:
    """Return time, row and column positions.

    Args:
        token_ids: ids with one ``image_token_id`` for every merged cell of every image.
        image_token_id: the id of ``<|image_pad|>``.
        cells: (rows, columns) of each image's merged grid, in order of appearance.

    Raises:
        ValueError: the number of image tokens is not the number of merged cells.
    """
    is_image = token_ids == image_token_id
    if int(is_image.sum()) != sum(rows * columns for rows, columns in cells):
        raise ValueError(f"{int(is_image.sum())} image tokens, but the images have {list(cells)} merged cells")
    positions = np.empty((3, len(token_ids)), np.int32)
    cursor, next_position = 0, 0
    for rows, columns in cells:
        start = cursor + int(np.argmax(is_image[cursor:]))
        text = start - cursor
        positions[:, cursor:start] = next_position + np.arange(text)
        base = next_position + text
        row, column = np.divmod(np.arange(rows * columns), columns)
        positions[:, start : start + rows * columns] = base + np.stack([np.zeros_like(row), row, column])
        cursor, next_position = start + rows * columns, base + max(rows, columns)
    positions[:, cursor:] = next_position + np.arange(len(token_ids) - cursor)
    return positions
