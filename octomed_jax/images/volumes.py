"""NIfTI volumes out of bytes, turned to RAS: the first axis grows to the patient's right, then anterior, superior."""

import dataclasses
import io
import zlib

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError

from octomed_jax.errors import UserError

MAX_VOLUME_BYTES = 512 * 2**20
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
    raw = _gunzip(data, name, max_bytes) if data[:2] == b"\x1f\x8b" else data
    if len(raw) > max_bytes:
        raise UserError(f"{name} has {len(raw)} bytes, over the limit of {max_bytes}")
    if len(raw) < _NIFTI1_HEADER:
        raise UserError(f"{name} is not a NIfTI file; replace it")
    try:
        image = nibabel.Nifti1Image.from_stream(io.BytesIO(raw))
        # The header's claim is checked before anything of that size is made.
        if len(image.shape) != 3 or int(np.prod(image.shape)) * image.get_data_dtype().itemsize > len(raw):
            raise UserError(
                f"{name} has shape {image.shape}, which is not a whole three-dimensional volume; replace it"
            )
        image = nibabel.as_closest_canonical(image)
        return Volume(np.asarray(image.dataobj), np.asarray(image.affine, np.float64))
    except (OSError, ImageFileError, nibabel.spatialimages.HeaderDataError, ValueError) as error:
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
