"""DICOM files to 8-bit images. Pixels and the two labels below leave this module; no patient field does."""

import dataclasses
import io
import warnings
import zlib

import numpy as np
import pydicom
from PIL import Image
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian

from octomed_jax.errors import UserError
from octomed_jax.images.decode import BROKEN
from octomed_jax.images.gray import scale, stretch

MAX_DICOM_BYTES = 256 * 2**20
MAX_DICOM_PIXELS = 64_000_000
# Fields that the pixels need, and the two labels; everything else in the file is left behind.
_KEPT = ("Modality", "BodyPartExamined")


@dataclasses.dataclass(frozen=True)
class DicomFrames:
    """The pixels of one DICOM file.

    Attributes:
        frames: (N, H, W) or (N, H, W, 3) uint8, windowed; bright is dense also for MONOCHROME1.
        modality: the header's Modality, or an empty string.
        body_part: the header's BodyPartExamined, or an empty string.
    """

    frames: np.ndarray
    modality: str
    body_part: str

    def image(self, index: int) -> Image.Image:
        """Return one frame as a gray or RGB image."""
        return Image.fromarray(self.frames[index])


def read_dicom(data: bytes, name: str = "DICOM file", max_frames: int = 64) -> DicomFrames:
    """Return the frames of a DICOM file as 8-bit images.

    Gray: rescale slope and intercept, then the header's first window, else the 0.5 to 99.5 percentiles of the file.
    MONOCHROME1 is inverted. Palettes and YBR are turned to RGB.

    Args:
        data: the file.
        name: what to call it in a message.
        max_frames: evenly spaced frames are taken where there are more; the middle one where one is asked for.

    Raises:
        UserError: not a DICOM file, no pixels, pixels that need a codec that is not here, or over the limits.
    """
    if len(data) > MAX_DICOM_BYTES:
        raise UserError(f"{name} has {len(data)} bytes, over the limit of {MAX_DICOM_BYTES}; split it first")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities of the header that the pixels do not depend on
            _check_packed(data, name)
            dataset = pydicom.dcmread(io.BytesIO(data))
            _check_size(dataset, name)
            frames = _to_8_bits(_decoded(dataset, max_frames), dataset)
            modality, body_part = (str(dataset.get(field, "") or "").strip() for field in _KEPT)
    except UserError:
        raise
    except InvalidDicomError as error:
        raise UserError(f"{name} is not a DICOM file; replace it or remove it") from error
    except (*BROKEN, BytesLengthException) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"the pixels of {name} cannot be decoded ({reason}); convert it or remove it") from error
    return DicomFrames(np.ascontiguousarray(frames), modality, body_part)


def _check_packed(data: bytes, name: str) -> None:
    """Check what a file unpacks to that is compressed as a whole; the library unpacks it without a limit."""
    file = io.BytesIO(data)
    read_preamble(file, force=False)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag.group != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[file.tell() :], MAX_DICOM_BYTES + 1)
        if len(unpacked) > MAX_DICOM_BYTES:
            raise UserError(f"{name} unpacks to over {MAX_DICOM_BYTES} bytes; split it first")


def _check_size(dataset: pydicom.Dataset, name: str) -> None:
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    pixels = int(dataset.get("Rows", 0)) * int(dataset.get("Columns", 0)) * frames
    if not 0 < pixels <= MAX_DICOM_PIXELS:
        raise UserError(f"{name} claims {pixels} pixels; from 1 to {MAX_DICOM_PIXELS} can be read")


def _decoded(dataset: pydicom.Dataset, max_frames: int) -> np.ndarray:
    """Return (N, H, W) or (N, H, W, 3) stored values; YBR is turned to RGB. Other frames are not decoded."""
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    keep = [count // 2] if max_frames == 1 else np.linspace(0, count - 1, min(count, max_frames)).round().astype(int)
    return np.stack([pixel_array(dataset, index=int(index)) for index in keep])


def _to_8_bits(frames: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    kind = str(dataset.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        coloured = apply_color_lut(frames, dataset)
        return coloured if coloured.dtype == np.uint8 else (coloured >> 8).astype(np.uint8)
    if frames.ndim == 4:
        return frames if frames.dtype == np.uint8 else _stretch(frames, 0.0, 100.0)
    values = np.asarray(apply_modality_lut(frames, dataset), np.float32)
    window = _window(dataset)
    gray = _stretch(values) if window is None else scale(values, *window)
    return 255 - gray if kind == "MONOCHROME1" else gray


def _window(dataset: pydicom.Dataset) -> tuple[float, float] | None:
    """Return the lower and upper end of the first window of the header, if it has one."""
    center, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if center is None or width is None or center == "" or width == "":
        return None
    center = float(center[0] if isinstance(center, pydicom.multival.MultiValue) else center)
    width = float(width[0] if isinstance(width, pydicom.multival.MultiValue) else width)
    return (center - width / 2, center + width / 2) if width > 1 else None


def _stretch(values: np.ndarray, low: float = 0.5, high: float = 99.5) -> np.ndarray:
    return stretch(values, low, high, values[:: max(1, len(values) // 4)])
