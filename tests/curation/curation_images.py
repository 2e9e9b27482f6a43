"""Real images that pydicom's own tests carry, so that nothing is fetched."""

import functools
import io
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.data import get_testdata_file

from octomed_jax import storage
from octomed_jax.images.dicom import read_dicom

# Ultrasound with text; a section of the belly, of the head, of the spine, of a shoulder's joint; a film's second frame.
FILES = {
    "ultrasound": ("examples_palette.dcm", 0),
    "node": ("examples_rgb_color.dcm", 0),
    "liver": ("examples_overlay.dcm", 0),
    "head": ("J2K_pixelrep_mismatch.dcm", 0),
    "spine": ("CT_small.dcm", 0),
    "heart": ("examples_ybr_color.dcm", 0),
}
NAMES = tuple(FILES)


@functools.cache
def real_image(name: str) -> Image.Image:
    """Return one of the real images."""
    file, frame = FILES[name]
    path = get_testdata_file(file, download=False)
    return read_dicom(Path(str(path)).read_bytes(), file, max_frames=4).image(frame)


def patient(seed: int, side: int = 160) -> Image.Image:
    """Return one of many images that look alike: the same outline, and other tissue inside it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    radius = np.hypot(x / 0.75, y / 0.9)
    coarse = Image.fromarray(rng.uniform(0, 255, (14, 14)).astype(np.float32)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    inside = 70 + 0.4 * np.asarray(coarse)
    shades = np.where(radius < 0.9, inside, np.where(radius < 1.0, 230, 4))
    return Image.fromarray(shades.clip(0, 255).astype(np.uint8))


def png(image):
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def jpeg(image, quality=85):
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=quality)
    return file.getvalue()


def shown(question, *files):
    """Return a question with these files as its images."""
    hashes = tuple(map(storage.sha256_bytes, files))
    return type(question)(**{**vars(question), "images": files, "image_hashes": hashes})
