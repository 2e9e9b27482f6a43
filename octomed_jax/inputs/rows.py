"""Rows: fixed-shape packed units of L tokens and W window slots that hold whole examples.

Legend: B rows, L tokens, W window slots, S patches of a slot, E values of a patch.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.examples import Example

Batch = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A shape of row. ``slots`` 0 means text only: such rows have no vision arrays at all."""

    name: str
    tokens: int
    slots: int


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


def _empty(count: int, bucket: Bucket, spec: PatchSpec) -> dict[str, np.ndarray]:
    length = bucket.tokens
    batch = {
        "input_ids": np.zeros((count, length), np.int32),
        "targets": np.zeros((count, length), np.int32),
        "segment_ids": np.zeros((count, length), np.int32),
        "loss_weights": np.zeros((count, length), np.float32),
        "position_ids": np.zeros((count, 3, length), np.int32),
    }
    if bucket.slots:
        places = (count, bucket.slots, spec.slot_patches)
        batch |= {
            "feature_index": np.full((count, length), -1, np.int32),
            "patches": np.zeros((*places, spec.patch_values), np.float32),
            "window_ids": np.zeros(places, np.int32),
            "frame_ids": np.zeros(places, np.int32),
            "patch_positions": np.zeros((*places, 2), np.int32),
        }
    return batch


def _fill(batch: dict[str, np.ndarray], row: int, examples: Sequence[Example], bucket: Bucket, spec: PatchSpec) -> None:
    token, slot, frame = 0, 0, 0
    cells_of_slot = spec.slot_patches // spec.merge_size**2
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
        places = []
        for image in example.images:
            frame += 1
            layout = image.layout
            slots = slice(slot, slot + layout.slots)
            assert slots.stop <= bucket.slots, "the plan put too many window slots into a row"
            batch["patches"][row, slots] = np.where(layout.source[..., None] >= 0, image.patches[layout.source], 0)
            batch["window_ids"][row, slots] = layout.window_ids
            batch["frame_ids"][row, slots] = np.where(layout.window_ids > 0, frame, 0)
            batch["patch_positions"][row, slots] = layout.positions
            places.append(slot * cells_of_slot + layout.cell_place)
            slot = slots.stop
        if places:
            batch["feature_index"][row, here][_image_tokens(example)] = np.concatenate(places)
        token = here.stop


def _image_tokens(example: Example) -> np.ndarray:
    """Return which tokens stand for merged cells."""
    is_image = example.token_ids == example.image_token_id
    assert int(is_image.sum()) == sum(len(image.layout.cell_place) for image in example.images)
    return is_image
