"""Sizes of examples on a mix like the paper's, as an index that a plan can be made of.

The paper gives shares by body region, not image sizes. The mix here takes its shares (chest 45 %, eyes 19, abdomen 18,
skin 6, the rest 12) with the sizes that the public sources of each have, and a tail of small images (MedMNIST's 28 to
224 pixels); every image goes through smart_resize with the paper's cap of 262,144 pixels. Text takes the paper's mean
of 71 tokens asked and 840 answered, log-normal, with and without images alike; one example in ten with images has two
or three.
"""

import numpy as np

from octomed_jax.images.patches import PatchSpec
from octomed_jax.images.resize import smart_resize
from octomed_jax.inputs.plan import ExampleIndex
from octomed_jax.inputs.windows import window_layout

SPEC = PatchSpec(max_pixels=262144)
PATCHES = SPEC.merge_size**2  # of a merged cell
WITH_IMAGES = 3_687_105 / 8_095_571  # the paper, of all traces
LONGEST = 6000  # tokens of text
SOURCES = tuple(f"source_{number:02d}" for number in range(24))


def image_sizes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return height and width of images of the mix. [count, 2]"""
    sizes = np.empty((count, 2))
    kinds = rng.choice(6, size=count, p=[0.45, 0.18, 0.13, 0.06, 0.13, 0.05])
    chest, eyes, abdomen, skin, figure, small = [np.flatnonzero(kinds == kind) for kind in range(6)]
    # Radiographs of some 2,000 pixels, near square; fundus photographs of 1:1, 2:3 and 3:4, and OCT; CT; dermoscopy.
    sizes[chest] = np.stack([2000 * np.exp(rng.normal(0, 0.15, len(chest))), np.full(len(chest), 2000)], -1)
    sizes[eyes] = np.stack([1500 * rng.choice([1.0, 0.667, 0.75, 0.646], len(eyes)), np.full(len(eyes), 1500)], -1)
    sizes[abdomen] = 512
    sizes[skin] = np.stack([rng.choice([450, 600, 480], len(skin)), np.full(len(skin), 600)], -1)
    # Figures of papers, of any aspect.
    width, aspect = np.exp(rng.normal(6.2, 0.45, len(figure))), np.exp(rng.normal(0, 0.35, len(figure)))
    sizes[figure] = np.maximum(60, np.stack([width / aspect, width], -1))
    sizes[small] = rng.choice([28, 64, 128, 224], len(small))[:, None]
    return sizes.round().astype(np.int64)


def image_cells(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return what images take: cells, cells reserved, pairs of patches within windows and within frames. [count, 4]"""
    distinct, number = np.unique(image_sizes(rng, count), axis=0, return_inverse=True)
    takes = []
    for height, width in distinct.tolist():
        height, width = smart_resize(height, width, SPEC.factor, SPEC.min_pixels, SPEC.max_pixels)
        layout = window_layout((height // SPEC.factor, width // SPEC.factor), SPEC)
        cells, windows = len(layout.window), np.bincount(layout.window)
        takes.append((cells, layout.cells, PATCHES**2 * int((windows**2).sum()), PATCHES**2 * cells**2))
    return np.array(takes)[number.ravel()]


def paper_mix(examples: int, with_images: float = WITH_IMAGES, seed: int = 0) -> ExampleIndex:
    """Return the index of so many examples, a share of them with images (the first ones)."""
    rng = np.random.default_rng(seed)
    tokens = np.minimum(LONGEST, rng.lognormal(np.log(911) - 0.18, 0.6, examples).round()).astype(np.int32)
    images = np.zeros(examples, np.int32)
    share = round(with_images * examples)
    images[:share] = rng.choice([1, 2, 3], size=share, p=[0.9, 0.06, 0.04])
    takes = np.zeros((4, examples), np.int64)
    if share:
        first = np.cumsum(images[:share]) - images[:share]
        takes[:, :share] = np.add.reduceat(image_cells(rng, int(images.sum())), first).T
    sizes = 1 / np.arange(1, len(SOURCES) + 1)  # some large, many small
    source = np.random.default_rng([seed, 1]).choice(len(SOURCES), examples, p=sizes / sizes.sum()).astype(np.int32)
    used, reserved = takes[:2].astype(np.int32)
    return ExampleIndex(
        record=np.arange(examples, dtype=np.int32),
        response=np.zeros(examples, np.int32),
        tokens=tokens + used,
        patches=used * PATCHES,
        cells=reserved,
        images=images,
        window_pairs=takes[2],
        frame_pairs=takes[3],
        source=source,
        benchmark=source,
        sources=SOURCES,
        benchmarks=SOURCES,
        render_key="mix",
    )
