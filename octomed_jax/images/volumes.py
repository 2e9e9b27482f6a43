"""NIfTI volumes out of bytes, turned to RAS: the first axis grows to the patient's right, then anterior, superior."""

import dataclasses
import io
import logging
import math
import zlib
from collections.abc import Callable

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import logger
from nibabel.orientations import OrientationError

from octomed_jax.errors import UserError
from octomed_jax.images.decode import BROKEN

logger.setLevel(logging.CRITICAL)  # what it mends in a header is no news; what it cannot mend it raises
MAX_VOLUME_BYTES = 512 * 2**20
MAX_SLICE_PIXELS = 64_000_000
_NIFTI1_HEADER = 348


@dataclasses.dataclass(frozen=True)
class Volume:
    """An array with its place in space.

    Attributes:
        array: (X, Y, Z), RAS order.
        affine: (4, 4), voxel indices to millimetres.
    """

    array: np.ndarray
    affine: np.ndarray

    def voxels(self, points: np.ndarray) -> np.ndarray:
        """Return voxel coordinates (..., 3) of points (..., 3) in millimetres."""
        inverse = np.linalg.inv(self.affine)
        return points @ inverse[:3, :3].T + inverse[:3, 3]


def read_volume(data: bytes, name: str = "volume", max_bytes: int = MAX_VOLUME_BYTES) -> Volume:
    """Return a NIfTI-1 file (plain or gzip) as a volume in RAS order, scaled as its header says.

    Raises:
        UserError: not a three-dimensional NIfTI file, truncated, or larger than ``max_bytes`` unpacked.
    """
    return _read(data, name, max_bytes, lambda image: image)


def read_axial_slice(data: bytes, name: str = "volume", max_bytes: int = MAX_VOLUME_BYTES) -> np.ndarray:
    """Return the middle axial slice of a NIfTI-1 file (plain or gzip) as (H, W) values, scaled as its header says.

    The patient's front is on top, and his left on the right, as radiologists have it. No other slice is read.

    Raises:
        UserError: as ``read_volume``; or its values are no numbers of one channel, or too many.
    """

    def middle(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
        if image.get_data_dtype().kind not in "iuf":
            raise UserError(f"{name} holds {image.get_data_dtype()}, no plain numbers; convert it or remove it")
        upwards = nibabel.io_orientation(image.affine)[:, 0].tolist().index(2)  # the axis that runs from foot to head
        count = image.shape[upwards]
        if (size := math.prod(image.shape) // max(1, count)) > MAX_SLICE_PIXELS:
            raise UserError(f"{name} has slices of {size} pixels, over the limit of {MAX_SLICE_PIXELS}; shrink it")
        flipped = nibabel.aff2axcodes(image.affine)[upwards] == "I"
        at = count - 1 - count // 2 if flipped else count // 2
        return image.slicer[tuple(slice(at, at + 1) if axis == upwards else slice(None) for axis in range(3))]

    return _read(data, name, max_bytes, middle).array[::-1, ::-1, 0].T


def _read(data: bytes, name: str, max_bytes: int, part: Callable[[nibabel.Nifti1Image], nibabel.Nifti1Image]) -> Volume:
    """Return a part of a file as a volume; nothing else of it is read. Errors as ``read_volume``."""
    raw = _gunzip(data, name, max_bytes) if data[:2] == b"\x1f\x8b" else data
    if len(raw) > max_bytes:
        raise UserError(f"{name} has {len(raw)} bytes, over the limit of {max_bytes}")
    if len(raw) < _NIFTI1_HEADER:
        raise UserError(f"{name} is not a NIfTI file; replace it")
    try:
        with np.errstate(all="ignore"):
            image = nibabel.Nifti1Image.from_stream(io.BytesIO(raw))
            # The header's claim is checked before anything of that size is made.
            assert isinstance(image.dataobj, ArrayProxy)  # nothing of it is read yet
            end = image.dataobj.offset + math.prod(image.shape) * image.get_data_dtype().itemsize
            if len(image.shape) != 3 or end > len(raw):
                raise UserError(
                    f"{name} has shape {image.shape}, which is not a whole three-dimensional volume; replace it"
                )
            image = nibabel.as_closest_canonical(part(image))
            return Volume(np.asarray(image.dataobj), np.asarray(image.affine, np.float64))
    except (*BROKEN, ImageFileError, nibabel.spatialimages.HeaderDataError, OrientationError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} is truncated or not a NIfTI file ({error}); replace it") from error


def _gunzip(data: bytes, name: str, limit: int) -> bytes:
    decoder = zlib.decompressobj(wbits=31)
    try:
        raw = decoder.decompress(data, limit + 1)
    except zlib.error as error:
        raise UserError(f"{name} is not a readable gzip file ({error}); replace it") from error
    if len(raw) > limit:
        raise UserError(f"{name} unpacks to over {limit} bytes")
    if not decoder.eof:
        raise UserError(f"{name} is a truncated gzip file; replace it")
    return raw
