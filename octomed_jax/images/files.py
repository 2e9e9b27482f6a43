"""An image file of any kind, as data sets have them, to the PNG or JPEG file that all later stages take."""

from PIL import Image

from octomed_jax.errors import UserError
from octomed_jax.images.decode import CORRUPT, FORMATS, decode_image, encode_png
from octomed_jax.images.gray import stretch
from octomed_jax.images.metadata import JPEG, PNG, turn_of, without_metadata

FILES = (*FORMATS, "TIFF", "BMP", "WEBP", "GIF")  # DICOM and NIfTI have readers of their own
_GZIP, _NIFTI = b"\x1f\x8b", b"n+1\0"


def plain_file(data: bytes, name: str = "image") -> bytes:
    """Return an image as a PNG or JPEG file that says nothing but its pixels.

    - PNG, JPEG: the file itself, byte for byte, without metadata (EXIF, XMP, IPTC, comments, texts, time, previews),
      which can name a patient. What decoding needs stays (colour profile, gamma, transparency). Where its orientation
      says that it lies on its side, it is turned upright and becomes a PNG. Of a JPEG with several pictures, as cameras
      write them, the first stays.
    - TIFF, BMP, WebP, GIF of one page or frame: a PNG as ``decode_image`` sees it.
    - DICOM: its only frame or the middle one, windowed as ``read_dicom`` does. No field of its header is kept.
    - NIfTI-1, plain or gzip: its middle axial slice with the patient's left on the right, scaled by the 0.5 to 99.5
      percentiles of that slice.

    All pixels are decoded once, within the limits of their readers. Equal files give equal bytes.

    Args:
        data: the file.
        name: what to call it in a message.

    Raises:
        UserError: no such file, several frames or pages, truncated, corrupt, or larger than allowed.
    """
    if data.startswith((PNG, JPEG)):
        return _bare(data, name)
    # The readers of these two load libraries of 30 MB, which processes that see none of such files do without.
    if data[128:132] == b"DICM":
        from octomed_jax.images.dicom import read_dicom

        return encode_png(read_dicom(data, name, max_frames=1).image(0))
    if data.startswith(_GZIP) or data[344:348] == _NIFTI:
        from octomed_jax.images.volumes import read_axial_slice

        values = read_axial_slice(data, name)
        try:
            return encode_png(Image.fromarray(stretch(values)))
        except ValueError as error:
            raise UserError(CORRUPT.format(name, error)) from error
    return encode_png(decode_image(data, name=name, keep_gray=True, formats=FILES))


def _bare(data: bytes, name: str) -> bytes:
    if data.startswith(PNG) and b"acTL" in data[: data.find(b"IDAT")]:  # else it would be taken out as unknown
        decode_image(data, name=name, keep_gray=True)  # says that it is a moving picture
    try:
        bare = without_metadata(data)
    except ValueError as error:
        raise UserError(CORRUPT.format(name, error)) from error
    image = decode_image(bare, name=name, keep_gray=True)
    turn = turn_of(data, bare)
    return bare if turn is None else encode_png(image.transpose(turn))
