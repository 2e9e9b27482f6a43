"""Which examples of a set of shards a config trains on, how often each, and in rows of which shapes.

Without JAX, which takes seconds to start: `octomed shard` and the card of a corpus ask for this alone.
"""

import dataclasses
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from octomed_jax.configuration import answer_format_of
from octomed_jax.hf.rendering import rendering, student_folder
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.held_out import held_examples
from octomed_jax.inputs.mixture import check_sources, draw, kept_examples, read_mixture
from octomed_jax.inputs.packing import image_bucket
from octomed_jax.inputs.plan import ExampleIndex, fitting
from octomed_jax.inputs.render import read_index, read_patch_spec
from octomed_jax.inputs.rows import Bucket


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The examples of a set of shards, as a config shares them out.

    Attributes:
        learned: those to train on, and those too long for it, of sources that the mixture keeps.
        times: how often each of them comes in an epoch; None: once.
        held: those of the held-out records, of these sources too.
        buckets: shapes of rows for both.
    """

    learned: ExampleIndex
    times: np.ndarray | None
    held: ExampleIndex
    buckets: tuple[Bucket, ...]

    def numbers(self) -> np.ndarray:
        """Return which of ``learned`` an epoch holds; an example that comes several times, as often."""
        numbers = np.flatnonzero(fitting(self.learned, self.buckets))
        return numbers if self.times is None else np.repeat(numbers, self.times[numbers])


def read_rendered(config: ConfigDict, shards: Path) -> tuple[ExampleIndex, PatchSpec]:
    """Return the index of shards as the config's student sees them, and how it cuts images.

    Raises:
        UserError: they were not rendered for it.
        StopAndLook: the index is damaged.
    """
    student = student_folder(config, shards)
    return read_index(rendering(config, shards), student, answer_format_of(config)), read_patch_spec(student)


def choose(config: ConfigDict, index: ExampleIndex, spec: PatchSpec) -> Chosen:
    """Share out examples: what is held out, and how often in an epoch the mixture takes each of the others.

    Raises:
        UserError: the mixture does not fit the examples, or nothing would be left to train on.
    """
    mixture = read_mixture(config.mixture)
    check_sources(mixture, index.sources)
    kept = kept_examples(index, mixture)
    held = held_examples(index, kept, config.held_out.records, config.seed)
    buckets = row_buckets(config, index, spec)
    fits, learned = fitting(index, buckets), kept & ~held
    times = draw(index, fits & learned, mixture, config.seed)
    if times is not None:  # the room for images is that of what comes, as often as it does
        buckets = row_buckets(config, index, spec, np.where(held, 1, times))
        learned &= (times > 0) | ~fits
    return Chosen(index.only(learned), None if times is None else times[learned], index.only(held), buckets)


def row_buckets(
    config: ConfigDict, index: ExampleIndex, spec: PatchSpec, times: np.ndarray | None = None
) -> tuple[Bucket, ...]:
    """Return the shapes of rows: for text and for images, or one for both; ``times``: how often each example comes."""
    room, patches = config.train.tokens_per_row, config.train.patches_per_row
    together = config.train.rows == "together"
    members = np.flatnonzero(((index.cells > 0) | together) & (index.tokens <= room))
    if times is not None:
        members = np.repeat(members, times[members])
    name = "mixed" if together else "image"
    wide = Bucket(name, room, patches // spec.slot_patches * spec.slot_cells)
    if not patches and index.cells[members].any():
        wide = image_bucket(index.tokens[members], index.cells[members], room, spec, name)
    if together and wide.cells:
        return (wide,)
    return (Bucket("text", room, 0), *[wide] * (wide.cells > 0))
