"""Rows: fixed-shape packed units of L tokens and W window slots that hold whole examples.

Legend: B rows, L tokens, W window slots, S patches of a slot, U patches of a merged cell, E values of a patch.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.examples import Example, ImagePatches
from octomed_jax.inputs.windows import place_cells


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A shape of row: room for tokens, and for merged cells in whole window slots.

    ``cells`` 0 means text only: such rows have no vision arrays at all.
    """

    name: str
    tokens: int
    cells: int


def assemble(rows: Sequence[Sequence[Example]], count: int, bucket: Bucket, spec: PatchSpec) -> dict[str, np.ndarray]:
    """Pack examples into ``count`` rows; rows beyond ``len(rows)`` are empty.

    Returns:
        input_ids, targets, segment_ids [B, L] int32; loss_weights [B, L] float32; position_ids [B, 3, L] int32.
        With slots also: feature_index [B, L] int32 (place of an image token's merged cell in the row's slots, -1 for
        text), patches [B, W, S, E] float32, window_ids and frame_ids [B, W, S] int32 (0: empty place),
        patch_positions [B, W, S, 2] int32.

    Raises:
        AssertionError: a row does not fit; the plan is wrong.
    """
    assert len(rows) <= count
    batch = _empty(count, bucket, spec)
    for number, examples in enumerate(rows):
        _fill(batch, number, examples, bucket, spec)
    return batch


def shapes(count: int, bucket: Bucket, spec: PatchSpec) -> dict[str, tuple[tuple[int, ...], type]]:
    """Return shape and type of each array of ``count`` rows, as ``assemble`` makes them."""
    tokens = (count, bucket.tokens)
    whole: dict[str, tuple[tuple[int, ...], type]] = {
        "input_ids": (tokens, np.int32),
        "targets": (tokens, np.int32),
        "segment_ids": (tokens, np.int32),
        "loss_weights": (tokens, np.float32),
        "position_ids": ((count, 3, bucket.tokens), np.int32),
    }
    if bucket.cells:
        assert bucket.cells % spec.slot_cells == 0, "a bucket holds whole window slots"
        places = (count, bucket.cells // spec.slot_cells, spec.slot_patches)
        whole |= {
            "feature_index": (tokens, np.int32),
            "patches": ((*places, spec.patch_values), np.float32),
            "window_ids": (places, np.int32),
            "frame_ids": (places, np.int32),
            "patch_positions": ((*places, 2), np.int32),
        }
    return whole


def _empty(count: int, bucket: Bucket, spec: PatchSpec) -> dict[str, np.ndarray]:
    batch: dict[str, np.ndarray] = {
        name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes(count, bucket, spec).items()
    }
    if bucket.cells:
        batch["feature_index"].fill(-1)
    return batch


def _fill(batch: dict[str, np.ndarray], row: int, examples: Sequence[Example], bucket: Bucket, spec: PatchSpec) -> None:
    token = 0
    cells = _fill_images(batch, row, [image for example in examples for image in example.images], bucket, spec)
    for segment, example in enumerate(examples, 1):
        length = len(example.token_ids)
        here = slice(token, token + length)
        assert here.stop <= bucket.tokens, "the plan put too many tokens into a row"
        batch["input_ids"][row, here] = example.token_ids
        batch["segment_ids"][row, here] = segment
        batch["position_ids"][row, :, here] = example.position_ids
        # Shifted inside the example: its last token predicts nothing, so nothing crosses to the next example.
        batch["targets"][row, token : here.stop - 1] = example.token_ids[1:]
        batch["loss_weights"][row, token : here.stop - 1] = example.loss_weights[1:]
        if example.images:
            mine = [next(cells) for _ in example.images]
            batch["feature_index"][row, here][_image_tokens(example)] = np.concatenate(mine)
        token = here.stop


def _fill_images(
    batch: dict[str, np.ndarray], row: int, images: Sequence[ImagePatches], bucket: Bucket, spec: PatchSpec
) -> Iterator[np.ndarray]:
    """Put the patches of a row's images into its slots; return the places of each image's merged cells."""
    if not images:
        return iter(())
    assert sum(image.layout.cells for image in images) <= bucket.cells, "the plan put too many images into a row"
    places = place_cells([image.layout for image in images])
    unit = spec.merge_size**2
    values = batch["patches"][row].reshape(bucket.cells, unit, 3, spec.temporal_patch_size, spec.patch_size**2)
    window_ids, frame_ids = [batch[name][row].reshape(bucket.cells, unit) for name in ("window_ids", "frame_ids")]
    positions = batch["patch_positions"][row].reshape(bucket.cells, unit, 2)
    windows = 0
    for frame, (image, place) in enumerate(zip(images, places, strict=True), 1):
        image.place(place, values)
        window_ids[place] = (windows + 1 + image.layout.window)[:, None]
        frame_ids[place] = frame
        positions[place] = image.layout.positions
        windows += len(image.layout.reserved)
    return iter(places)


def _image_tokens(example: Example) -> np.ndarray:
    """Return which tokens stand for merged cells."""
    is_image = example.token_ids == example.image_token_id
    assert int(is_image.sum()) == sum(len(image.layout.window) for image in example.images)
    return is_image
